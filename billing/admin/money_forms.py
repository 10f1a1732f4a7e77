"""Forms of credits and coupons on a customer's pages."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from billing.admin.choices import billable_currency, currency_choices
from billing.admin.form_keys import KeyedForm
from billing.crediting import DEFAULT_PRIORITY, CreditTerms
from billing.models import Coupon, CreditKind, GrantInterval
from billing.recurring import RecurringTerms
from customers.models import Customer
from metering.periods import local_day

GRANTABLE = [
    (CreditKind.PROMOTIONAL.value, "Promotional: given"),
    (CreditKind.PREPAID.value, "Prepaid: bought"),
]


class GrantForm(KeyedForm):
    """A credit as staff give it: days in the customer's time zone."""

    amount = forms.DecimalField(widget=UnfoldAdminDecimalFieldWidget, max_digits=24, decimal_places=4)
    currency = forms.ChoiceField(choices=currency_choices, widget=UnfoldAdminSelectWidget)
    kind = forms.ChoiceField(
        choices=GRANTABLE, initial=CreditKind.PROMOTIONAL.value, widget=UnfoldAdminRadioSelectWidget
    )
    name = forms.CharField(
        max_length=200, initial="Credit", widget=UnfoldAdminTextInputWidget,
        help_text="The customer reads it in the portal and on invoices.",
    )  # fmt: skip
    reference = forms.CharField(
        max_length=200, required=False, widget=UnfoldAdminTextInputWidget,
        help_text="For example the payment by which it was bought.",
    )  # fmt: skip
    expires_on = forms.DateField(
        label="Last day", required=False, widget=UnfoldAdminSingleDateWidget,
        help_text="The last day it can be used. Leave empty when it does not expire.",
    )  # fmt: skip
    effective_on = forms.DateField(
        label="First day", required=False, widget=UnfoldAdminSingleDateWidget, help_text="Empty: at once."
    )
    priority = forms.IntegerField(
        initial=DEFAULT_PRIORITY, widget=UnfoldAdminIntegerFieldWidget, min_value=0,
        help_text="Low numbers are used first; then what expires soonest; then the oldest.",
    )  # fmt: skip
    rollover_limit = forms.DecimalField(
        label="Rolls over at most", required=False, widget=UnfoldAdminDecimalFieldWidget, max_digits=24,
        decimal_places=4, help_text="So much of what is left goes on into a new credit when this one expires.",
    )  # fmt: skip
    rollover_days = forms.IntegerField(
        label="For so many days", required=False, widget=UnfoldAdminIntegerFieldWidget,
        help_text="How long the new credit lasts. Empty: it does not expire.",
    )  # fmt: skip
    # What the service calls differently from the form.
    named = {"expires_at": "expires_on", "effective_at": "effective_on"}

    def __init__(self, customer: Customer, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.customer = customer
        self.fields["currency"].initial = customer.currency

    def clean_currency(self) -> str:
        return billable_currency(self.cleaned_data["currency"])

    def terms(self) -> CreditTerms:
        """Give what was asked for, days as instants in the customer's time zone."""
        sent = self.cleaned_data
        last = sent["expires_on"]
        return CreditTerms(
            amount=sent["amount"],
            currency=sent["currency"],
            name=sent["name"],
            kind=sent["kind"],
            priority=sent["priority"],
            effective_at=self._midnight(sent["effective_on"]),
            expires_at=self._midnight(last + timedelta(days=1)) if last else None,
            rollover_limit=sent["rollover_limit"],
            rollover_days=sent["rollover_days"],
            reference=sent["reference"],
        )

    def _midnight(self, day: Any) -> datetime | None:
        if day is None:
            return None
        return datetime.combine(day, time(), ZoneInfo(self.customer.timezone)).astimezone(UTC)


class RecurringForm(KeyedForm):
    """A credit granted anew in every period, counted in the customer's time zone."""

    amount = forms.DecimalField(widget=UnfoldAdminDecimalFieldWidget, max_digits=24, decimal_places=4)
    currency = forms.ChoiceField(choices=currency_choices, widget=UnfoldAdminSelectWidget)
    interval = forms.ChoiceField(
        label="How often", choices=GrantInterval.choices, widget=UnfoldAdminSelectWidget
    )
    start_on = forms.DateField(
        label="From", widget=UnfoldAdminSingleDateWidget,
        help_text="The first period begins on this day, the next ones on the same day of a month.",
    )  # fmt: skip
    name = forms.CharField(
        max_length=200, initial="Monthly credit", widget=UnfoldAdminTextInputWidget,
        help_text="The customer reads it in the portal and on invoices.",
    )  # fmt: skip
    kind = forms.ChoiceField(
        choices=GRANTABLE, initial=CreditKind.PROMOTIONAL.value, widget=UnfoldAdminRadioSelectWidget
    )
    expires = forms.BooleanField(
        label="What is left expires at the end of its period", required=False, initial=True,
        widget=UnfoldBooleanWidget, help_text="Otherwise it adds up.",
    )  # fmt: skip
    rollover_limit = forms.DecimalField(
        label="Rolls over at most", required=False, widget=UnfoldAdminDecimalFieldWidget, max_digits=24,
        decimal_places=4, help_text="So much of what is left can still be used in the period after.",
    )  # fmt: skip
    end_on = forms.DateField(
        label="Until before", required=False, widget=UnfoldAdminSingleDateWidget,
        help_text="No period begins on this day or later. Empty: until you stop it.",
    )  # fmt: skip
    priority = forms.IntegerField(
        initial=DEFAULT_PRIORITY, widget=UnfoldAdminIntegerFieldWidget, min_value=0,
        help_text="Low numbers are used first; then what expires soonest; then the oldest.",
    )  # fmt: skip

    def __init__(self, customer: Customer, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["currency"].initial = customer.currency
        self.fields["start_on"].initial = local_day(now, customer.timezone).replace(day=1)

    def clean_currency(self) -> str:
        return billable_currency(self.cleaned_data["currency"])

    def terms(self) -> RecurringTerms:
        said = {name: value for name, value in self.cleaned_data.items() if name != "key"}
        return RecurringTerms(**said)


class CouponChoice(forms.ModelChoiceField):
    def label_from_instance(self, coupon: Any) -> str:
        return f"{coupon.name} ({coupon.code})"


class GiveForm(forms.Form):
    coupon = CouponChoice(
        Coupon.objects.none(), empty_label="Choose a coupon", widget=UnfoldAdminSelectWidget,
        help_text="Coupons that can be given today and that the customer does not hold.",
    )  # fmt: skip
    start_on = forms.DateField(
        label="From", widget=UnfoldAdminSingleDateWidget,
        help_text="It is on invoices whose billing period goes on past the beginning of this day.",
    )  # fmt: skip

    def __init__(self, customer: Customer, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        today = local_day(now, customer.timezone)
        given = Coupon.objects.filter(given__customer=customer, given__removed_at=None)
        self.choosable = Coupon.objects.filter(
            Q(valid_from=None) | Q(valid_from__lte=today),
            Q(valid_until=None) | Q(valid_until__gt=today),
            Q(currency="") | Q(currency=customer.currency),
            archived_at=None,
        ).exclude(pk__in=given.values("pk"))
        self.fields["coupon"].queryset = self.choosable  # type: ignore[attr-defined]
        self.fields["start_on"].initial = today


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget, help_text="The customer reads it in the ledger."
    )


class AlertForm(forms.Form):
    threshold = forms.DecimalField(
        label="Tell when the balance falls below", required=False, widget=UnfoldAdminDecimalFieldWidget,
        max_digits=24, decimal_places=4, help_text="Leave empty to tell nobody.",
    )  # fmt: skip

    def clean_threshold(self) -> Any:
        threshold = self.cleaned_data["threshold"]
        if threshold is not None and threshold <= 0:
            raise ValidationError("Give an amount above 0, or leave it empty.")
        return threshold
