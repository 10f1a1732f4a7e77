"""The forms of what can be done with a customer's plan: each says when, and calls one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, ClassVar

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextInputWidget,
)

from billing.admin.subscription_forms import PlanChoice
from billing.agreed_changes import Author
from billing.agreements import Agreement
from billing.changing import When, cancel, change_plan, change_quantity, pause, reactivate, resume
from billing.formatting import day
from billing.models import Plan, PlanStatus, Subscription
from billing.subscription_periods import fee_period
from metering.periods import local_day

Made = Callable[[Author], date]


class ChangeForm(forms.Form):
    """When and why. `verb` is on the button; `purpose` says what the change does."""

    verb: ClassVar[str] = ""
    purpose: ClassVar[str] = ""
    when = forms.ChoiceField(label="When", initial="now", widget=UnfoldAdminRadioSelectWidget)
    on = forms.DateField(
        label="Day",
        required=False,
        widget=UnfoldAdminSingleDateWidget,
        help_text="Only for “On a day”, in the customer's time zone. Days that are invoiced stay.",
    )
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=400,
        widget=UnfoldAdminTextInputWidget,
        help_text="Kept in the timeline with your name.",
    )

    field_order = ["plan", "quantity", "when", "on", "until", "reason"]

    def __init__(
        self, subscription: Subscription, agreement: Agreement, data: Any = None, *, now: datetime
    ) -> None:
        self.subscription, self.agreement = subscription, agreement
        super().__init__(data)
        today = max(local_day(now, subscription.timezone), subscription.start_on)
        field: Any = self.fields["when"]
        field.choices = self.moments(today, fee_period(subscription, today).end_on)
        if len(field.choices) == 1:
            field.initial = field.choices[0][0]

    def moments(self, today: date, period_end: date) -> list[tuple[str, str]]:
        return [
            ("now", f"Now: from today, {day(today)}"),
            ("period_end", f"At the end of the period: from {day(period_end)}"),
            ("date", "On a day"),
        ]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("when") == "date" and not cleaned.get("on") and "on" not in self.errors:
            self.add_error("on", "Choose the day.")
        return cleaned

    @property
    def moment(self) -> When:
        chosen = self.cleaned_data["when"]
        return self.cleaned_data["on"] if chosen == "date" else chosen

    def make(self, author: Author) -> date:
        """Make the change and give the day it begins. Raises BillingError."""
        raise NotImplementedError


class PlanChangeForm(ChangeForm):
    verb = "Change the plan"
    purpose = (
        "Usage is split at the day of the change. Fees paid in advance come back for the days not used; the new plan's "
        "are charged for the days that are left."
    )
    plan = PlanChoice(Plan.objects.none(), empty_label="Choose a plan", widget=UnfoldAdminSelectWidget)

    def __init__(self, subscription: Subscription, *args: Any, **kwargs: Any) -> None:
        super().__init__(subscription, *args, **kwargs)
        choice: Any = self.fields["plan"]
        choice.queryset = Plan.objects.filter(
            status=PlanStatus.ACTIVE, currency=subscription.plan.currency
        ).exclude(pk=subscription.plan_id)

    def make(self, author: Author) -> date:
        plan = self.cleaned_data["plan"]
        return change_plan(self.subscription, to=plan, when=self.moment, author=author).start_on


class QuantityForm(ChangeForm):
    verb = "Change the seats"
    purpose = "Fees per seat are charged by days: the old number up to the day, the new one from it on."
    quantity = forms.IntegerField(
        label="Seats", min_value=0, max_value=1_000_000, widget=UnfoldAdminIntegerFieldWidget
    )

    def make(self, author: Author) -> date:
        seats = self.cleaned_data["quantity"]
        return change_quantity(self.subscription, seats, when=self.moment, author=author).effective_on


class PauseForm(ChangeForm):
    verb = "Pause the plan"
    purpose = "Paused days owe no fixed fees. Usage stays measured and charged by the plan."
    until = forms.DateField(
        label="Until, but not including",
        required=False,
        widget=UnfoldAdminSingleDateWidget,
        help_text="The first day fixed fees are owed again. Leave empty to resume by hand.",
    )

    def make(self, author: Author) -> date:
        until = self.cleaned_data["until"]
        return pause(self.subscription, when=self.moment, until=until, author=author).effective_on


class ResumeForm(ChangeForm):
    verb = "Resume the plan"
    purpose = "Fixed fees are owed again from that day on."

    def make(self, author: Author) -> date:
        return resume(self.subscription, when=self.moment, author=author).effective_on


class CancelForm(ChangeForm):
    verb = "Cancel the plan"
    purpose = (
        "Usage after the end is no longer billed. Fees paid in advance come back for the days not used, on the last "
        "invoice."
    )

    def moments(self, today: date, period_end: date) -> list[tuple[str, str]]:
        return [
            ("now", f"Now: today, {day(today)}, is the last day"),
            ("period_end", f"At the end of the period: before {day(period_end)}"),
            ("date", "Before a day"),
        ]

    def make(self, author: Author) -> date:
        return cancel(self.subscription, when=self.moment, author=author).effective_on


class ReactivateForm(ChangeForm):
    verb = "Reactivate the plan"
    purpose = (
        "Begins again with the same seats. Within the period in which it ended, billing days stay as they were and "
        "one-time fees are not charged again."
    )

    def moments(self, today: date, period_end: date) -> list[tuple[str, str]]:
        return [("now", f"Now: from today, {day(today)}"), ("date", "On a day")]

    def make(self, author: Author) -> date:
        return reactivate(self.subscription, when=self.moment, author=author).start_on


FORMS: Mapping[str, type[ChangeForm]] = {
    "change": PlanChangeForm,
    "quantity": QuantityForm,
    "pause": PauseForm,
    "resume": ResumeForm,
    "cancel": CancelForm,
    "reactivate": ReactivateForm,
}
