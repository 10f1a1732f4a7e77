"""What staff write about a customer: who it is, where it is taxed, whom it belongs to."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import UnfoldAdminSelectWidget

from billing.admin.choices import (
    billable_currency,
    country_choices,
    currency_choices,
    locale_choices,
    timezone_choices,
)
from customers.code_forms import CodeForm
from customers.families import family_problems
from customers.models import BillTo, Customer
from customers.staff_pages import put_errors
from customers.tax_treatment import tax_problems


class CustomerForm(CodeForm):
    class Meta:
        model = Customer
        fields = (
            "name", "code", "email", "timezone", "currency", "address", "country", "region", "tax_id",
            "tax_treatment", "tax_exempt_reason", "payment_days", "locale", "parent", "bill_to",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "code" in self.fields:
            self.fields["code"].help_text = (
                "How your systems name this customer in events. Made from the name when left empty. It cannot be "
                "changed later."
            )
        if "locale" in self.fields:
            self.fields["locale"].help_text = "Of invoices and mails."
        if "bill_to" in self.fields:
            self.fields["bill_to"].required = False  # left out: itself
        if "country" in self.fields:
            self.fields["country"] = forms.ChoiceField(
                required=False, choices=[("", "Not given"), *country_choices()], widget=UnfoldAdminSelectWidget,
                help_text="It decides which tax is charged.",
            )  # fmt: skip
        if "payment_days" in self.fields:
            self.fields[
                "payment_days"
            ].help_text = (
                f"From the day an invoice is issued until it is due. Empty: {settings.PAYMENT_DAYS}."
            )
        if "locale" in self.fields:
            self.fields["locale"].help_text = "Of invoices, mails and the portal."
        listed = {"currency": currency_choices(), "timezone": timezone_choices(), "locale": locale_choices()}
        for name, choices in listed.items():
            if name in self.fields:
                known = self.fields[name]
                current = getattr(self.instance, name) if self.instance.pk else None
                extra = [] if current in (None, *dict(choices)) else [(current, current)]
                self.fields[name] = forms.ChoiceField(
                    label=known.label,
                    help_text=known.help_text,
                    choices=[*choices, *extra],
                    widget=UnfoldAdminSelectWidget,
                )

    def clean_bill_to(self) -> str:
        return self.cleaned_data["bill_to"] or BillTo.ITSELF.value

    def clean_currency(self) -> str:
        return billable_currency(self.cleaned_data["currency"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        touched = {"country", "tax_id", "tax_treatment", "tax_exempt_reason"} & set(self.changed_data)
        if touched and not self.errors:
            problems = tax_problems(cleaned)
            if problems:
                put_errors(self, problems, message=next(iter(problems.values())))
        if {"parent", "bill_to", "currency"} & set(self.changed_data) and not self.errors:
            known = self.instance if self.instance.pk else None
            parent, bill_to = cleaned.get("parent"), cleaned.get("bill_to") or BillTo.ITSELF
            family = [pk for pk in (self.instance.pk, parent and parent.pk) if pk]
            # Nobody else gives them a parent, children or another currency until this is saved.
            list(Customer.objects.select_for_update().filter(pk__in=family).order_by("pk"))
            currency = cleaned.get("currency") or self.instance.currency
            if parent is not None:
                parent = Customer.objects.get(pk=parent.pk)
            problems = family_problems(known, parent=parent, bill_to=bill_to, currency=currency)
            if problems:
                put_errors(self, problems, message=next(iter(problems.values())))
        return cleaned


FAMILY = (
    "A customer that belongs to another one. Billed to its parent, what its plans cost goes on one invoice of the "
    "parent for all periods that end on the same day: with the parent's address, tax, days to pay and credits. Its own "
    "coupons still come off its own lines. A change counts for drafts and later invoices; what is issued stays."
)
