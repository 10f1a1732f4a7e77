"""Coupons, the customers that hold them, and what they took off which invoice."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from billing.models.invoices import AmountField, Invoice
from billing.rating.discounts import CouponKind
from customers.codes import validate_code
from customers.history import HistoricalRecords
from customers.models import Customer, validate_currency
from metering.models import QuantityField


class CouponType(models.TextChoices):
    PERCENT = CouponKind.PERCENT.value, "Percentage"
    FIXED = CouponKind.FIXED.value, "Fixed amount"


class CouponDuration(models.TextChoices):
    ONCE = "once", "Once: the next invoice"
    REPEATING = "repeating", "A number of invoices"
    FOREVER = "forever", "For ever: every invoice"


class Coupon(models.Model):
    """A discount that can be given to customers. What holds a coupon already keeps the terms it was given with."""

    code = models.CharField(max_length=200, unique=True, validators=[validate_code])
    name = models.CharField(max_length=200, help_text="Printed on invoices.")
    kind = models.CharField(max_length=16, choices=CouponType.choices, default=CouponType.PERCENT)
    value = QuantityField(
        max_digits=38, decimal_places=18, help_text="Percent from 0 to 100, or an amount in the currency."
    )
    currency = models.CharField(
        max_length=3,
        blank=True,
        validators=[validate_currency],
        help_text="Of a fixed amount. A percentage has none.",
    )
    duration = models.CharField(
        max_length=16,
        choices=CouponDuration.choices,
        default=CouponDuration.ONCE,
        help_text="How long it lasts.",
    )
    invoices = models.PositiveIntegerField(
        "number of invoices", null=True, blank=True, help_text="Of a coupon for a number of invoices."
    )
    plan_codes = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        verbose_name="plans",
        help_text="Codes of the plans it is for, in any version. Empty: all.",
    )
    rates = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        help_text="Lines it is for: the code of the meter, or the name of a fee. Empty: all.",
    )
    valid_from = models.DateField(
        null=True, blank=True, help_text="The first day it can be given to a customer."
    )
    valid_until = models.DateField(
        "valid before", null=True, blank=True, help_text="The first day it can no longer be given."
    )
    max_redemptions = models.PositiveIntegerField(
        null=True, blank=True, help_text="To how many customers it can be given. Empty: any number."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["code"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(code=""), name="coupon_code_not_empty"),
            models.CheckConstraint(
                condition=Q(kind="percent", currency="", value__gt=0, value__lte=100)
                | Q(kind="fixed", currency__regex=r"^[A-Z]{3}$", value__gt=0, value__lt=10**15),
                name="coupon_value_in_range",
            ),
            models.CheckConstraint(
                condition=Q(duration__in=["once", "forever"], invoices=None)
                | Q(duration="repeating", invoices__gte=1),
                name="coupon_duration_known",
            ),
            models.CheckConstraint(
                condition=Q(valid_from=None) | Q(valid_until=None) | Q(valid_until__gt=F("valid_from")),
                name="coupon_valid_for_a_day",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def limit(self) -> int | None:
        """On how many invoices it takes something off; None: on every one."""
        return {CouponDuration.ONCE: 1, CouponDuration.FOREVER: None}.get(
            CouponDuration(self.duration), self.invoices
        )


class CustomerCoupon(models.Model):
    """A coupon given to a customer, for invoices whose period reaches into or past `start_on`.

    How often it was used is not kept: it is the number of invoices that carry it (InvoiceDiscount).
    """

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="coupons")
    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="given")
    start_on = models.DateField(
        "from", help_text="Invoices whose period ends after the beginning of this day are discounted."
    )
    given_at = models.DateTimeField()
    given_by = models.CharField(max_length=200, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)
    removed_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering: ClassVar = ["given_at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["customer", "coupon"],
                condition=Q(removed_at=None),
                name="customercoupon_held_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.coupon} for {self.customer}"


class InvoiceDiscount(models.Model):
    """What one coupon took off one invoice, frozen with it. Rows of a void invoice no longer count as uses.

    `use_n` counts the uses of a customer's coupon: two invoices drawn up at once cannot both take the same.
    """

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="discounts")
    n = models.PositiveSmallIntegerField()
    customer_coupon = models.ForeignKey(CustomerCoupon, on_delete=models.PROTECT, related_name="uses")
    use_n = models.PositiveIntegerField()
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=CouponType.choices)
    value = QuantityField(max_digits=38, decimal_places=18)
    amount = AmountField(help_text="What it took off, above 0.")

    class Meta:
        ordering: ClassVar = ["n"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["invoice", "n"], name="invoicediscount_numbered_once"),
            models.UniqueConstraint(fields=["customer_coupon", "use_n"], name="invoicediscount_used_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="invoicediscount_takes_off"),
        ]

    def __str__(self) -> str:
        return self.name
