"""Lines of invoices. What an issued line says is frozen by the database (triggers in a migration)."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from billing.models.invoices import AmountField, Invoice
from billing.models.rates import Rate
from billing.models.subscriptions import Subscription
from billing.models.taxes import TaxCategory
from metering.models import Meter, QuantityField


class LineKind(models.TextChoices):
    USAGE = "usage", "Usage"
    SUBSCRIPTION = "subscription", "Subscription"
    ONE_TIME = "one_time", "One-time"
    INCLUDED_SPEND = "included_spend", "Included spend"
    MINIMUM = "minimum", "Plan minimum"
    SERVICE_FEE = "service_fee", "Service fee"
    ADJUSTMENT = "adjustment", "Adjustment"
    ITEM = "item", "Item"


class InvoiceLine(models.Model):
    """One line: a quantity, the terms it was rated by, and the working that explains the amount."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines", db_index=False)
    n = models.PositiveIntegerField("line")
    kind = models.CharField(max_length=16, choices=LineKind.choices)
    description = models.CharField(max_length=400)
    rate = models.ForeignKey(
        Rate,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="None for what the plan as a whole charges or includes.",
    )
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, null=True, related_name="+")
    meter_definition = models.JSONField(null=True, help_text="The meter as it was when measured.")
    unit = models.CharField(max_length=40, blank=True)
    quantity = QuantityField(max_digits=38, decimal_places=18)
    unit_amount = QuantityField(null=True, max_digits=38, decimal_places=18)
    amount = AmountField()
    discount = AmountField(default=0, help_text="Its share of what coupons took off the invoice.")
    tax_category = models.CharField(max_length=16, choices=TaxCategory.choices, default=TaxCategory.STANDARD)
    taxed_by = ArrayField(
        models.PositiveSmallIntegerField(),
        default=list,
        blank=True,
        help_text="The numbers of the invoice's taxes that its amount less discount is part of.",
    )
    terms = models.JSONField(help_text="The rate as it was when rated.")
    working = models.JSONField()
    period_start = models.DateField()
    period_end = models.DateField()
    adjusts = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="adjustments", db_index=False
    )
    adjustment_n = models.PositiveIntegerField(null=True, help_text="Counts the adjustments of one line.")
    adjusts_plan = models.BooleanField(
        default=False,
        help_text="Of an adjustment: what the minimum, included spend and service fee come to otherwise.",
    )
    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="Of a fee in advance: whose it is; a plan that follows settles the one before.",
    )
    fee_start = models.DateField(null=True, help_text="Of a fee in advance: the first day it is for.")
    fee_n = models.PositiveIntegerField(null=True, help_text="Counts the lines of one fee and period.")

    class Meta:
        ordering: ClassVar = ["n"]
        constraints: ClassVar = [
            # Two invoices drawn up at once cannot both carry the same difference.
            models.UniqueConstraint(
                fields=["adjusts", "adjustment_n"],
                condition=Q(adjusts__isnull=False),
                name="invoiceline_adjusted_once",
            ),
            # Nor the same fee.
            models.UniqueConstraint(
                fields=["subscription", "rate", "fee_start", "fee_n"],
                condition=Q(subscription__isnull=False),
                name="invoiceline_fee_once",
            ),
            models.CheckConstraint(
                condition=Q(fee_start=None, fee_n=None)
                | Q(
                    kind="subscription",
                    fee_start__isnull=False,
                    fee_n__isnull=False,
                    subscription__isnull=False,
                ),
                name="invoiceline_fee_names_subscription",
            ),
            models.CheckConstraint(
                condition=Q(kind="adjustment", adjusts__isnull=False, adjustment_n__isnull=False)
                | (~Q(kind="adjustment") & Q(adjusts=None, adjustment_n=None)),
                name="invoiceline_adjustment_names_line",
            ),
            models.CheckConstraint(
                condition=Q(adjusts_plan=False) | Q(kind="adjustment"),
                name="invoiceline_adjusts_plan_by_adjustment",
            ),
            models.UniqueConstraint(fields=["invoice", "n"], name="invoiceline_numbered_once"),
            models.CheckConstraint(
                condition=Q(discount=0) | Q(discount__gt=0, discount__lte=F("amount")),
                name="invoiceline_discount_in_range",
            ),
            models.CheckConstraint(condition=Q(kind__in=LineKind.values), name="invoiceline_kind_known"),
        ]

    def __str__(self) -> str:
        return self.description
