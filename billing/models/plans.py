"""Plans and their rates. A row of Plan is one version; a version in use is frozen by the database."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models

from billing.models.taxes import TaxCategory
from billing.rating.commitments import PlanTerms
from billing.rating.errors import UnknownCurrency
from billing.rating.money import currency_digits, round_amount
from customers.codes import validate_code
from customers.history import HistoricalRecords
from customers.models import validate_currency
from metering.models import QuantityField
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


# Usage may settle more often than a plan renews, where the longer period is made of whole shorter ones.
SETTLES_WITHIN = {
    BillingPeriod.DAILY: (),
    BillingPeriod.WEEKLY: (BillingPeriod.DAILY,),
    BillingPeriod.MONTHLY: (BillingPeriod.DAILY,),
    BillingPeriod.QUARTERLY: (BillingPeriod.DAILY, BillingPeriod.MONTHLY),
    BillingPeriod.YEARLY: (BillingPeriod.DAILY, BillingPeriod.MONTHLY, BillingPeriod.QUARTERLY),
}
MAX_AMOUNT = Decimal(10) ** 15


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
    usage_period = models.CharField(
        "usage is invoiced",
        max_length=16,
        choices=BillingPeriod.choices,
        blank=True,
        help_text="Leave empty to invoice usage and fees together. A yearly plan may invoice its usage monthly.",
    )
    minimum_amount = QuantityField(
        "plan minimum",
        max_digits=38,
        decimal_places=18,
        null=True,
        blank=True,
        help_text="What usage and fees of an invoice come to at least; the rest is charged. By days for a part.",
    )
    included_spend = QuantityField(
        max_digits=38,
        decimal_places=18,
        null=True,
        blank=True,
        help_text="So much usage of each invoice, of all rates together, is included in the plan.",
    )
    service_fee_percent = QuantityField(
        "service fee",
        max_digits=38,
        decimal_places=18,
        null=True,
        blank=True,
        help_text="Percent of everything else on the invoice.",
    )
    custom_unit = models.CharField(
        max_length=40,
        blank=True,
        help_text="Prices of usage are in this unit, for example “credit”, instead of the currency.",
    )
    custom_unit_value = QuantityField(
        max_digits=38,
        decimal_places=18,
        null=True,
        blank=True,
        help_text="What one custom unit costs in the currency: 0.01.",
    )
    tax_category = models.CharField(
        max_length=16,
        choices=TaxCategory.choices,
        default=TaxCategory.STANDARD,
        help_text="What its prices are for, as tax law sees it. A rate may have another.",
    )
    dispute_days = models.PositiveSmallIntegerField(
        default=30,
        validators=[MaxValueValidator(3650)],
        help_text="So many days after the invoice its customer may dispute outcomes in the portal. 0: not offered.",
    )
    dispute_reason_required = models.BooleanField(
        "a dispute needs a reason", default=True, help_text="Ask the customer to write why."
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
            models.CheckConstraint(
                condition=models.Q(usage_period="")
                | models.Q(
                    *(
                        models.Q(billing_period=whole, usage_period__in=parts)
                        for whole, parts in SETTLES_WITHIN.items()
                        if parts
                    ),
                    _connector=models.Q.OR,
                ),
                name="plan_usage_period_within_period",
            ),
            models.CheckConstraint(
                condition=(models.Q(minimum_amount=None) | models.Q(minimum_amount__range=(0, MAX_AMOUNT)))
                & (models.Q(included_spend=None) | models.Q(included_spend__range=(0, MAX_AMOUNT)))
                & (models.Q(service_fee_percent=None) | models.Q(service_fee_percent__range=(0, 100))),
                name="plan_terms_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(custom_unit="", custom_unit_value=None)
                | (
                    ~models.Q(custom_unit="")
                    & models.Q(custom_unit_value__gt=0, custom_unit_value__lt=MAX_AMOUNT)
                ),
                name="plan_custom_unit_with_value",
            ),
        ]

    def __str__(self) -> str:
        return self.name if self.version == 1 else f"{self.name} (version {self.version})"

    @property
    def is_frozen(self) -> bool:
        return self.status != PlanStatus.DRAFT

    @property
    def interval(self) -> Interval:
        """How long a billing period of the plan's fees is."""
        return BillingPeriod(self.billing_period).interval

    @property
    def invoice_interval(self) -> Interval:
        """How often the plan is invoiced: usage may settle within the billing period of the fees."""
        return BillingPeriod(self.usage_period or self.billing_period).interval

    @property
    def terms(self) -> PlanTerms:
        """What holds for an invoice as a whole, beyond its rates."""
        return PlanTerms(self.included_spend, self.minimum_amount, self.service_fee_percent)

    def clean(self) -> None:
        """Name the field of terms that make no sense, before a constraint does."""
        problems: dict[str, str] = {}
        if self.usage_period and self.usage_period not in SETTLES_WITHIN.get(
            BillingPeriod(self.billing_period), ()
        ):
            problems["usage_period"] = (
                f"A {self.billing_period} plan cannot invoice its usage {self.usage_period}: "
                "choose a shorter period that fits into it whole, or leave it out."
            )
        for name in ("minimum_amount", "included_spend"):
            problem = self._amount_problem(getattr(self, name))
            if problem:
                problems[name] = problem
        if self.service_fee_percent is not None and not 0 <= self.service_fee_percent <= 100:
            problems["service_fee_percent"] = "Give a percentage from 0 to 100."
        if self.custom_unit and self.custom_unit_value is None:
            problems["custom_unit_value"] = f"Say what one {self.custom_unit} costs, such as 0.01."
        if self.custom_unit_value is not None:
            if not self.custom_unit:
                problems["custom_unit"] = "Name the unit that has this value, such as credit."
            if not 0 < self.custom_unit_value < MAX_AMOUNT:
                problems["custom_unit_value"] = "Give an amount above 0."
        if problems:
            raise ValidationError(problems)

    def _amount_problem(self, amount: Decimal | None) -> str | None:
        if amount is None:
            return None
        if not 0 <= amount < MAX_AMOUNT:
            return "Give an amount of 0 or more."
        try:
            digits = currency_digits(self.currency)
        except UnknownCurrency as refused:
            return refused.message
        if round_amount(amount, digits) != amount:
            return f"{self.currency} has {digits} decimals; give an amount with no more."
        return None


class PlanExample(models.Model):
    """A usage and what the plan's invoice for it must come to. A plan is not activated while one fails."""

    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="examples")
    position = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=200)
    usage = models.JSONField(
        default=list, blank=True, help_text="Quantities by meter: [{meter, quantity, dimensions}]."
    )
    seats = models.PositiveIntegerField(default=1)
    expected_amount = QuantityField(
        max_digits=38,
        decimal_places=18,
        help_text="The invoice of one whole period with this usage, without one-time fees.",
    )

    class Meta:
        ordering: ClassVar = ["position", "id"]

    def __str__(self) -> str:
        return self.name
