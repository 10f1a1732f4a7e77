"""Plans and their rates. A row of Plan is one version; a version in use is frozen by the database."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from simple_history.models import HistoricalRecords

from customers.codes import validate_code
from customers.models import validate_currency
from metering.models import Meter
from metering.periods import Interval


class BillingPeriod(models.TextChoices):
    """How often a plan is invoiced."""

    DAILY = "daily", "Daily"
    WEEKLY = "weekly", "Weekly"
    MONTHLY = "monthly", "Monthly"
    QUARTERLY = "quarterly", "Quarterly"
    YEARLY = "yearly", "Yearly"

    @property
    def interval(self) -> Interval:
        return INTERVALS[self]


INTERVALS = {
    BillingPeriod.DAILY: Interval.DAY,
    BillingPeriod.WEEKLY: Interval.WEEK,
    BillingPeriod.MONTHLY: Interval.MONTH,
    BillingPeriod.QUARTERLY: Interval.QUARTER,
    BillingPeriod.YEARLY: Interval.YEAR,
}


class PlanStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    DEPRECATED = "deprecated", "Deprecated"


class Plan(models.Model):
    """One version of a pricing plan, for example "Support Outcome Plan", version 1."""

    code = models.CharField(
        max_length=200,
        validators=[validate_code],
        help_text="The name integrations use. Made from the name when left empty.",
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    name = models.CharField(max_length=200, help_text="The name customers read on invoices.")
    description = models.TextField(blank=True)
    currency = models.CharField(max_length=3, default="USD", validators=[validate_currency])
    billing_period = models.CharField(
        max_length=16, choices=BillingPeriod.choices, default=BillingPeriod.MONTHLY
    )
    status = models.CharField(
        max_length=16,
        choices=PlanStatus.choices,
        default=PlanStatus.DRAFT,
        editable=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, blank=True, editable=False)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["name", "-version"]
        permissions: ClassVar = [("activate_plan", "Can activate plan")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~models.Q(code=""), name="plan_code_not_empty"),
            models.UniqueConstraint(fields=["code", "version"], name="plan_one_row_per_version"),
            models.UniqueConstraint(
                fields=["code"],
                condition=models.Q(status="draft"),
                name="plan_one_draft_per_code",
            ),
            models.UniqueConstraint(
                fields=["code"],
                condition=models.Q(status="active"),
                name="plan_one_active_per_code",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=PlanStatus.values),
                name="plan_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(billing_period__in=BillingPeriod.values),
                name="plan_period_known",
            ),
            models.CheckConstraint(
                condition=models.Q(currency__regex=r"^[A-Z]{3}$"),
                name="plan_currency_iso",
            ),
        ]

    def __str__(self) -> str:
        return self.name if self.version == 1 else f"{self.name} (version {self.version})"

    @property
    def is_frozen(self) -> bool:
        return self.status != PlanStatus.DRAFT

    @property
    def interval(self) -> Interval:
        return BillingPeriod(self.billing_period).interval


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
