"""Forms of what can be done with an invoice."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from billing.admin.form_keys import KeyedForm
from billing.correcting import CreditNoteDraft, preview_credit_note
from billing.models import Invoice, MailKind, PaymentMethod
from billing.rating import currency_digits
from billing.rating.money import round_amount
from billing.shares import Share, remaining_shares
from customers.models import Customer
from metering.periods import local_day

LONGEST_REASON = 400


def shown(amount: Decimal, currency: str) -> Decimal:
    """Give an amount with the digits of its currency, as a field shows it."""
    return round_amount(amount, currency_digits(currency))


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextInputWidget,
        help_text="Kept for good, with your name.",
        error_messages={"required": "Say why: it is kept for good."},
    )


class MoneyForm(KeyedForm):
    """An amount on a day."""

    amount = forms.DecimalField(max_digits=24, widget=UnfoldAdminDecimalFieldWidget)
    received_on = forms.DateField(label="Received on", widget=UnfoldAdminDateWidget)
    method = forms.ChoiceField(choices=PaymentMethod.choices, widget=UnfoldAdminSelectWidget)
    reference = forms.CharField(
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="As on the bank statement.",
    )

    def __init__(self, invoice: Invoice, data: Any = None, *, now: datetime) -> None:
        due = shown(abs(invoice.amount_due), invoice.currency)
        initial = {"received_on": local_day(now, invoice.zone), "method": PaymentMethod.BANK_TRANSFER}
        super().__init__(data, initial=initial | ({"amount": due} if due else {}))
        self.fields["amount"].label = f"Amount ({invoice.currency})"


class PaymentForm(MoneyForm):
    overpaid = forms.BooleanField(
        label="The customer has paid more than is due",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="The rest becomes a credit balance, which can be paid back.",
    )


class CreditForm(KeyedForm):
    """What to credit, and why: all that is left, an amount with tax, or amounts of single lines."""

    how = forms.ChoiceField(
        label="What to credit",
        choices=[("all", "All that is left"), ("amount", "An amount"), ("lines", "Single lines")],
        initial="all",
        widget=UnfoldAdminRadioSelectWidget,
    )
    amount = forms.DecimalField(
        required=False,
        max_digits=24,
        widget=UnfoldAdminDecimalFieldWidget({"data-row-for": "how: amount"}),
        help_text="With tax. It is spread over what is left of the lines.",
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextInputWidget,
        help_text="Printed on the credit note.",
        error_messages={"required": "Say why: it is printed on the credit note."},
    )
    expected = forms.DecimalField(widget=forms.HiddenInput, required=False)

    def __init__(self, invoice: Invoice, data: Any = None) -> None:
        super().__init__(data)
        self.invoice = invoice
        self.left: list[Share] = remaining_shares(invoice)
        self.fields["amount"].label = f"Amount ({invoice.currency})"
        for share in self.left:
            self.fields[f"line_{share.line.n}"] = forms.DecimalField(
                label=share.line.description,
                required=False,
                max_digits=24,
                widget=UnfoldAdminDecimalFieldWidget,
                initial=shown(share.amount, invoice.currency) if not self.is_bound else None,
            )

    def line_rows(self) -> list[dict[str, Any]]:
        """Give each line with its field and what is left of it."""
        return [
            {
                "share": share,
                "field": self[f"line_{share.line.n}"],
                "left": shown(share.amount, self.invoice.currency),
            }
            for share in self.left
            if share.amount
        ]

    def wanted(self) -> dict[str, Any]:
        """Give what was chosen, as `preview_credit_note` and `issue_credit_note` take it."""
        sent = self.cleaned_data
        if sent["how"] == "amount":
            return {"amount": sent["amount"] or Decimal(0)}
        if sent["how"] == "lines":
            lines = {share.line.n: sent.get(f"line_{share.line.n}") for share in self.left}
            return {"lines": {n: amount for n, amount in lines.items() if amount}}
        return {}

    def effect(self) -> CreditNoteDraft:
        """Compute the credit note. Raises NotInThisState, InvalidAmount."""
        return preview_credit_note(self.invoice, **self.wanted())


class MailForm(KeyedForm):
    """Which mail, and to whom."""

    kind = forms.ChoiceField(
        label="Mail",
        choices=[(MailKind.INVOICE, "The invoice"), (MailKind.REMINDER, "A reminder with the invoice")],
        widget=UnfoldAdminSelectWidget,
    )
    to = forms.EmailField(label="To", widget=UnfoldAdminTextInputWidget)


class ItemForm(forms.Form):
    """One line of a one-off invoice; an empty row is left out."""

    description = forms.CharField(required=False, max_length=400, widget=UnfoldAdminTextInputWidget)
    quantity = forms.DecimalField(required=False, max_digits=38, widget=UnfoldAdminDecimalFieldWidget)
    unit_amount = forms.DecimalField(
        label="Unit price", required=False, max_digits=38, widget=UnfoldAdminDecimalFieldWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs["aria-label"] = field.label or name.capitalize()

    def clean(self) -> dict[str, Any]:
        sent: dict[str, Any] = super().clean() or {}
        if any(sent.get(name) not in (None, "") for name in ("description", "unit_amount")):
            if not sent.get("description") and "description" not in self.errors:
                self.add_error("description", "Say what is billed.")
            if sent.get("unit_amount") is None and "unit_amount" not in self.errors:
                self.add_error("unit_amount", "Give the price of one.")
        return sent


ItemFormSet = forms.formset_factory(ItemForm, extra=5, max_num=50)


class OneOffForm(KeyedForm):
    """Whom to bill once; the lines are forms of their own."""

    customer: Any = forms.ModelChoiceField(
        queryset=Customer.objects.filter(archived_at=None),
        widget=UnfoldAdminSelectWidget,
        empty_label="Choose a customer",
    )
    use_coupons = forms.BooleanField(
        label="Use the customer's coupons",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Those that are for no plan or rate. A coupon for the next invoice is used up by it.",
    )
    expected = forms.DecimalField(widget=forms.HiddenInput, required=False)
    draft = forms.BooleanField(
        label="Leave it a draft",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Otherwise it is numbered and issued at once, and never changes.",
    )

    def __init__(self, data: Any = None, *, customer: str = "") -> None:
        super().__init__(data, initial={"customer": customer})


def who_of(request: HttpRequest) -> dict[str, Any]:
    """Give who does something, and when, as the services take it."""
    user: Any = request.user
    return {"by": user.get_full_name() or user.get_username(), "now": timezone.now()}


def media_of(model_admin: Any, form: forms.BaseForm) -> Any:
    """Give the scripts and styles that a page with a form needs."""
    return model_admin.media + form.media
