"""What internal work costs: rates on meters, and fixed monthly costs of workloads."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value

from customers.history import HistoricalRecords
from customers.models import validate_currency
from metering.models import Meter, QuantityField, Workload


class CostRateKind(models.TextChoices):
    USAGE = "usage", "For what a meter counts"
    FIXED = "fixed", "Fixed, each month"


class CostRate(models.Model):
    """What one unit of a meter costs us, or what a workload costs each month, on the UTC days `[from, until)`.

    `terms` of a usage cost are those of a price (billing.rating). A rate is never changed: another one takes its place
    from a later day, and one that was wrong is withdrawn. Both stay readable.
    """

    kind = models.CharField(max_length=16, choices=CostRateKind.choices, default=CostRateKind.USAGE)
    meter = models.ForeignKey(
        Meter,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="cost_rates",
        help_text="Whose units it prices. Of a fixed cost: the meter whose quantity it is spread by.",
    )
    workload = models.ForeignKey(
        Workload, on_delete=models.PROTECT, null=True, blank=True, related_name="cost_rates"
    )
    terms = models.JSONField(default=dict)
    amount = QuantityField(
        max_digits=38, decimal_places=18, null=True, blank=True, help_text="Of a fixed cost: for one month."
    )
    currency = models.CharField(max_length=3, default="USD", validators=[validate_currency])
    label = models.CharField(
        max_length=200, blank=True, help_text="Where it comes from: provider prices Jan 2026."
    )
    effective_from = models.DateField(
        null=True, blank=True, help_text="The first day, in UTC. Empty: from the beginning."
    )
    effective_until = models.DateField(
        null=True,
        blank=True,
        help_text="The first day it no longer holds. Empty: until another takes its place.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = [
            "meter__label",
            "workload__name",
            F("effective_from").desc(nulls_last=True),
            "-id",
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind="usage", meter__isnull=False, workload=None, amount=None)
                | Q(kind="fixed", workload__isnull=False, amount__gte=0),
                name="costrate_meter_or_workload",
            ),
            models.CheckConstraint(
                condition=Q(effective_from=None)
                | Q(effective_until=None)
                | Q(effective_until__gt=F("effective_from")),
                name="costrate_until_after_from",
            ),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="costrate_currency_iso"),
            # Ranges of one number stand for the numbers themselves: GiST compares ranges without an extension.
            ExclusionConstraint(
                name="costrate_meter_never_twice",
                expressions=[
                    (
                        Func(F("meter_id"), F("meter_id"), Value("[]"), function="int8range"),
                        RangeOperators.OVERLAPS,
                    ),
                    (
                        Func("effective_from", "effective_until", function="daterange"),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(kind="usage", withdrawn_at=None),
            ),
            # A workload may have several fixed costs at a time when their labels differ.
            ExclusionConstraint(
                name="costrate_fixed_never_twice",
                expressions=[
                    (
                        Func(F("workload_id"), F("workload_id"), Value("[]"), function="int8range"),
                        RangeOperators.OVERLAPS,
                    ),
                    (
                        Func(
                            Func("label", Value(0), function="hashtextextended"),
                            Func("label", Value(0), function="hashtextextended"),
                            Value("[]"),
                            function="int8range",
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                    (
                        Func("effective_from", "effective_until", function="daterange"),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(kind="fixed", withdrawn_at=None),
            ),
        ]

    def __str__(self) -> str:
        what = self.meter if self.kind == CostRateKind.USAGE else self.workload
        return f"{what} ({self.label})" if self.label else str(what)
