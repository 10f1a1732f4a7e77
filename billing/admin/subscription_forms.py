"""Assigning a plan, with the effect shown before it is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.db import transaction
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldBooleanWidget,
)

from billing.formatting import period as days_words
from billing.models import AnchorRule, Plan, PlanStatus
from billing.subscribing import subscribe
from billing.subscription_periods import whole_period
from customers.codes import code_from_label
from customers.models import Customer
from metering.periods import clip, local_day


@dataclass(frozen=True, slots=True)
class Effect:
    """What assigning a plan brings: the first billing period and the day its invoice can be closed."""

    plan: Plan
    first_period: str
    partial: bool
    invoice_on: date
    zone: str


class PlanChoice(forms.ModelChoiceField):
    def label_from_instance(self, plan: Any) -> str:
        """Two plans may have one name, never one code: a code that does not follow from the name is said."""
        code = "" if plan.code == code_from_label(plan.name) else f"{plan.code}, "
        period = plan.get_billing_period_display().lower()
        return f"{plan.name}, version {plan.version} ({code}{period}, {plan.currency})"


class AssignForm(forms.Form):
    plan = PlanChoice(
        Plan.objects.none(), empty_label="Choose a plan", widget=UnfoldAdminSelectWidget,
        help_text="Active plans in the customer's currency.",
    )  # fmt: skip
    start_on = forms.DateField(
        label="From",
        widget=UnfoldAdminSingleDateWidget,
        help_text="The first day that is billed, in the customer's time zone.",
    )
    end_on = forms.DateField(
        label="Until, but not including", required=False, widget=UnfoldAdminSingleDateWidget,
        help_text="The first day that is no longer billed. Leave empty while the plan goes on.",
    )  # fmt: skip
    quantity = forms.IntegerField(
        label="Seats",
        initial=1,
        min_value=1,
        max_value=1_000_000,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Only fees per seat depend on it.",
    )
    anchor = forms.ChoiceField(
        label="Billing periods", choices=AnchorRule.choices, initial=AnchorRule.CALENDAR,
        widget=UnfoldAdminRadioSelectWidget,
    )  # fmt: skip

    trial_days = forms.IntegerField(
        label="Trial",
        required=False,
        min_value=0,
        max_value=3650,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Days at the start without fixed fees; then it goes on by itself. Leave empty for none.",
    )
    trial_usage_free = forms.BooleanField(
        label="Usage is free during the trial too", required=False, widget=UnfoldBooleanWidget
    )

    def __init__(self, customer: Customer, data: Any = None, *, now: datetime) -> None:
        self.customer = customer
        plans = Plan.objects.filter(status=PlanStatus.ACTIVE, currency=customer.currency)
        self.plan_count = plans.count()
        only = plans.first() if self.plan_count == 1 else None
        super().__init__(
            data,
            initial={
                "plan": only,
                "quantity": 1,
                "start_on": local_day(now, customer.timezone).replace(day=1),
            },
        )
        choice: Any = self.fields["plan"]
        choice.queryset = plans

    def clean_trial_days(self) -> int:
        return self.cleaned_data["trial_days"] or 0

    def effect(self) -> Effect:
        """Say what assigning would bring, by assigning it and taking that back. Raises what `subscribe` raises."""
        with transaction.atomic():
            subscription = subscribe(self.customer, **self.cleaned_data)
            whole = whole_period(subscription, subscription.start_on)
            transaction.set_rollback(True)
        first = clip(whole, start_on=subscription.start_on, end_on=subscription.end_on)
        assert first is not None  # the period was asked for by a day of the subscription
        return Effect(
            subscription.plan,
            days_words(first.start_on, first.end_on),
            first != whole,
            local_day(first.end + timedelta(days=settings.GRACE_DAYS), first.zone),
            first.zone,
        )
