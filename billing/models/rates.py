"""The prices of a plan, each as billing.rating reads it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from billing.models.plans import Plan
from billing.models.taxes import TaxCategory
from metering.models import Meter


class RateKind(models.TextChoices):
    USAGE = "usage", "Usage-based rate"
    SUBSCRIPTION = "subscription", "Subscription rate"
    ONE_TIME = "one_time", "One-time fee"


class Rate(models.Model):
    """One price of a plan. `terms` is the rate exactly as billing.rating reads it (see its docstrings)."""

    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="rates")
    position = models.PositiveIntegerField(default=0)
    kind = models.CharField(max_length=16, choices=RateKind.choices, default=RateKind.USAGE)
    label = models.CharField(
        max_length=200,
        blank=True,
        help_text="Printed on the invoice line. The meter's label when left empty.",
    )
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, null=True, blank=True, related_name="rates")
    terms = models.JSONField()
    tax_category = models.CharField(
        max_length=16, choices=TaxCategory.choices, blank=True, help_text="The plan's when left empty."
    )

    class Meta:
        ordering: ClassVar = ["position", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(kind__in=RateKind.values), name="rate_kind_known"),
            models.CheckConstraint(
                condition=models.Q(kind="usage", meter__isnull=False)
                | (~models.Q(kind="usage") & models.Q(meter__isnull=True)),
                name="rate_meter_exactly_on_usage",
            ),
        ]

    def __str__(self) -> str:
        return self.label or (self.meter.label if self.meter else self.get_kind_display())
