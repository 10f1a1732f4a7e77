"""Subscriptions: a plan assigned to a customer from a date, and what was agreed about it since."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Value

from billing.models.plans import Plan
from customers.history import HistoricalRecords
from customers.models import Customer
from metering.models import Meter


class AnchorRule(models.TextChoices):
    """Where billing periods begin."""

    CALENDAR = "calendar", "Calendar: on the first of the month, quarter or year"
    ANNIVERSARY = "anniversary", "Anniversary: on the day the subscription began"


class Subscription(models.Model):
    """A plan version a customer has, on the local days `[start_on, end_on)`; open when `end_on` is empty."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    start_on = models.DateField(
        "starts on",
        help_text="The first day that is billed, in the customer's time zone.",
    )
    end_on = models.DateField(
        "ends before",
        null=True,
        blank=True,
        help_text="The first day that is no longer billed. Leave empty while the plan goes on.",
    )
    anchor = models.CharField(
        "billing periods",
        max_length=16,
        choices=AnchorRule.choices,
        default=AnchorRule.CALENDAR,
    )
    timezone = models.CharField(
        "time zone",
        max_length=64,
        editable=False,
        help_text="The customer's, remembered for all periods.",
    )
    anchored_on = models.DateField(
        null=True,
        editable=False,
        help_text="The day anniversary periods are counted from, when it is not the first day.",
    )
    quantity = models.PositiveIntegerField(
        "seats", default=1, help_text="How many seats: rates per seat charge each of them."
    )
    trial_end_on = models.DateField(
        "trial ends before",
        null=True,
        blank=True,
        help_text="The first day after the trial: fixed fees begin on it.",
    )
    trial_usage_free = models.BooleanField(
        "usage is free during the trial",
        default=False,
        help_text="Otherwise usage is charged from the first day on.",
    )
    overrides = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        help_text="Terms that replace the plan's, by the id of the rate.",
    )
    moved_from = models.OneToOneField(
        "self",
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="moved_to",
        help_text="The subscription this one continues, on another plan or after a break.",
    )
    revision = models.PositiveIntegerField(
        default=0, editable=False, help_text="Counts what was agreed since, so that a close sees a change."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["-start_on", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(end_on=None) | models.Q(end_on__gte=F("start_on")),
                name="subscription_ends_after_start",
            ),
            models.CheckConstraint(
                condition=models.Q(anchor__in=AnchorRule.values),
                name="subscription_anchor_known",
            ),
            models.CheckConstraint(
                condition=models.Q(trial_end_on=None, trial_usage_free=False)
                | models.Q(trial_end_on__gt=F("start_on")),
                name="subscription_trial_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan} for {self.customer}"


class AgreementKind(models.TextChoices):
    PLAN = "plan", "Plan changed"
    QUANTITY = "quantity", "Seats changed"
    PAUSE = "pause", "Paused"
    RESUME = "resume", "Resumed"
    CANCEL = "cancel", "Cancelled"
    REACTIVATE = "reactivate", "Reactivated"
    UNDO = "undo", "Taken back"


class SubscriptionChange(models.Model):
    """One thing agreed about a subscription: what, from which local day on, when, by whom and why.

    Rows are only ever added (a trigger refuses the rest); what was planned is taken back by a row that undoes it. Seats
    and pauses exist nowhere else: invoice lines are computed from these rows.
    """

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="changes")
    kind = models.CharField(max_length=16, choices=AgreementKind.choices)
    effective_on = models.DateField(help_text="The first local day on which it holds.")
    until_on = models.DateField(null=True, help_text="Of a pause: the first day that is billed again.")
    quantity = models.PositiveIntegerField("seats", null=True)
    previous_end_on = models.DateField(null=True, help_text="The end that held before, to go back to.")
    following = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="The subscription that goes on from that day.",
    )
    undoes = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="undone_by")
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=200, blank=True, help_text="The person or API key.")
    reason = models.CharField(max_length=400, blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(kind__in=AgreementKind.values), name="subscriptionchange_kind_known"
            ),
            models.CheckConstraint(
                condition=models.Q(kind="quantity", quantity__isnull=False)
                | (~models.Q(kind="quantity") & models.Q(quantity=None)),
                name="subscriptionchange_names_seats",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="undo", undoes__isnull=False)
                | (~models.Q(kind="undo") & models.Q(undoes=None)),
                name="subscriptionchange_undo_names_change",
            ),
            models.CheckConstraint(
                condition=models.Q(until_on=None) | models.Q(kind="pause", until_on__gt=F("effective_on")),
                name="subscriptionchange_pause_not_empty",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} on {self.effective_on}"


class MeterCoverage(models.Model):
    """Which subscription bills a customer's usage of a meter on which days. The database refuses two for one day."""

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="coverages")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    during = DateRangeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["subscription", "meter"], name="metercoverage_one_per_meter"),
            # Ranges of one number stand for the numbers themselves: GiST compares ranges without an extension.
            ExclusionConstraint(
                name="metercoverage_never_twice",
                expressions=[
                    (
                        Func(
                            F("customer_id"),
                            F("customer_id"),
                            Value("[]"),
                            function="int8range",
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                    (
                        Func(
                            F("meter_id"),
                            F("meter_id"),
                            Value("[]"),
                            function="int8range",
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                    ("during", RangeOperators.OVERLAPS),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.meter} by {self.subscription}"
