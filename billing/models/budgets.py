"""Budgets: what a workload, customer or plan may cost or bring in a month, and the alarms that came of it."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from billing.models.invoices import AmountField
from customers.history import HistoricalRecords
from customers.models import Customer, validate_currency
from metering.models import Workload


class BudgetMeasure(models.TextChoices):
    """What is compared with the budget, each calendar month in UTC."""

    COST = "cost", "Cost: what the work costs us"
    SPEND = "spend", "Spend: what is billed"
    MARGIN = "margin", "Margin: what is left of what is billed"


class ExactField(models.DecimalField):  # type: ignore[type-arg]  # not generic at run time
    """A figure as it was worked out, to twelve decimals."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs |= {"max_digits": 38, "decimal_places": 12}
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]


class Budget(models.Model):
    """A monthly amount with thresholds, or the least margin in percent, of one workload, customer or plan."""

    name = models.CharField(max_length=200, help_text="Named in mails and webhooks.")
    measure = models.CharField(max_length=8, choices=BudgetMeasure.choices)
    workload = models.ForeignKey(
        Workload, on_delete=models.PROTECT, null=True, blank=True, related_name="budgets",
        help_text="With all workloads that are part of it.",
    )  # fmt: skip
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, blank=True, related_name="budgets"
    )
    plan_code = models.CharField("plan", max_length=200, blank=True, help_text="In any version.")
    currency = models.CharField(max_length=3, validators=[validate_currency])
    amount = AmountField(null=True, blank=True, help_text="For a calendar month (UTC). A margin has none.")
    thresholds = ArrayField(
        models.PositiveSmallIntegerField(), default=list, blank=True,
        help_text="Percentages of the amount at which an alarm is raised.",
    )  # fmt: skip
    least_percent = models.DecimalField(
        "least margin", max_digits=7, decimal_places=2, null=True, blank=True,
        help_text="In percent: an alarm is raised below it.",
    )  # fmt: skip
    forecast_alarm = models.BooleanField(
        "warn ahead", default=True,
        help_text="Raise an alarm as soon as the month is going to exceed the amount at its present pace.",
    )  # fmt: skip
    emails = ArrayField(
        models.EmailField(), default=list, blank=True, verbose_name="mail to",
        help_text="Addresses that get a mail with each alarm.",
    )  # fmt: skip
    active = models.BooleanField(default=True)
    revision = models.PositiveIntegerField(
        default=0, editable=False, help_text="Counts changes of what it allows: alarms may be raised again."
    )
    made_at = models.DateTimeField(editable=False)
    made_by = models.CharField(max_length=200, editable=False)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["name", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(workload__isnull=False, customer=None, plan_code="")
                | Q(workload=None, customer__isnull=False, plan_code="")
                | (Q(workload=None, customer=None) & ~Q(plan_code="")),
                name="budget_is_for_one_thing",
            ),
            models.CheckConstraint(
                condition=Q(measure="cost", plan_code="")
                | Q(measure="spend", workload=None)
                | Q(measure="margin"),
                name="budget_measure_fits",
            ),
            models.CheckConstraint(
                condition=(
                    Q(measure__in=["cost", "spend"], amount__gt=0, least_percent=None) & ~Q(thresholds=[])
                )
                | Q(
                    measure="margin",
                    amount=None,
                    thresholds=[],
                    least_percent__gte=-1000,
                    least_percent__lte=100,
                    forecast_alarm=False,
                ),
                name="budget_amount_or_margin",
            ),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="budget_currency_iso"),
        ]

    def __str__(self) -> str:
        return self.name


class AlarmKind(models.TextChoices):
    THRESHOLD = "threshold", "Threshold reached"
    FORECAST = "forecast", "Going to exceed"
    MARGIN = "margin", "Margin too low"


class BudgetAlarm(models.Model):
    """One alarm: raised once for a month and threshold, as long as what the budget allows stays the same."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="alarms")
    revision = models.PositiveIntegerField()
    month = models.DateField(help_text="Its first day.")
    kind = models.CharField(max_length=16, choices=AlarmKind.choices)
    threshold = models.PositiveSmallIntegerField(default=0, help_text="In percent; 0 where there is none.")
    sentence = models.CharField(max_length=400)
    spent = ExactField(null=True)
    forecast = ExactField(null=True)
    percent = ExactField(null=True)
    raised_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-raised_at", "-threshold", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["budget", "revision", "month", "kind", "threshold"], name="budgetalarm_once"
            ),
            models.CheckConstraint(
                condition=Q(kind="threshold", threshold__gt=0)
                | Q(kind__in=["forecast", "margin"], threshold=0),
                name="budgetalarm_threshold_fits",
            ),
        ]

    def __str__(self) -> str:
        return self.sentence


class BudgetPoint(models.Model):
    """Where a budget stood when it was last checked on a day. `percent` is of the amount, or the margin."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="points")
    on = models.DateField()
    spent = ExactField(null=True, help_text="Cost or spend of the month so far; none for a margin.")
    forecast = ExactField(null=True)
    revenue = ExactField(null=True, help_text="Of a margin.")
    cost = ExactField(null=True, help_text="Of a margin.")
    percent = ExactField(null=True, help_text="None where nothing was billed.")
    unknown = ArrayField(models.CharField(max_length=400), default=list, help_text="What is missing in it.")
    checked_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["on"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["budget", "on"], name="budgetpoint_one_a_day")
        ]

    def __str__(self) -> str:
        return f"{self.budget} on {self.on.day} {self.on:%B %Y}"
