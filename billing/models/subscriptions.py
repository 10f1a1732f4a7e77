"""Subscriptions: a plan assigned to a customer from a date."""

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
        help_text="The subscription this one continues on another version of the plan.",
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
        ]

    def __str__(self) -> str:
        return f"{self.plan} for {self.customer}"


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
