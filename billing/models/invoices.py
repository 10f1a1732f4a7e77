"""Invoices and their lines. What an issued invoice says is frozen by the database (triggers in a migration)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value

from billing.models.subscriptions import Subscription
from customers.history import HistoricalRecords
from customers.models import Customer


class AmountField(models.DecimalField):  # type: ignore[type-arg]  # not generic at run time
    """A rounded amount in major units of its invoice's currency."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 24)
        kwargs.setdefault("decimal_places", 4)
        super().__init__(*args, **kwargs)


class InvoiceStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    ISSUED = "issued", "Issued"
    PAID = "paid", "Paid"
    VOID = "void", "Void"
    WRITTEN_OFF = "written_off", "Written off"
    PART = "part", "On a consolidated invoice"


# Issued and not taken back: what these say was billed. What is to pay for a part is on the invoice it is part of.
BILLED = (InvoiceStatus.ISSUED, InvoiceStatus.PAID, InvoiceStatus.WRITTEN_OFF, InvoiceStatus.PART)


NOT_WRITTEN_OFF = Q(amount_written_off=0)
SETTLED = F("credits_applied") + F("amount_paid") + F("amount_credited") + F("amount_written_off")


class InvoiceKind(models.TextChoices):
    PERIODIC = "periodic", "Periodic"
    ADJUSTMENT = "adjustment", "Adjustment"
    ONE_OFF = "one_off", "One-off"
    AT_START = "at_start", "At the start"
    CONSOLIDATED = "consolidated", "Consolidated"


class InvoiceSeries(models.Model):
    """A gapless row of numbers. Its row lock is held until the numbers taken are committed."""

    prefix = models.CharField(max_length=32, primary_key=True)
    last_number = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "invoice series"

    def __str__(self) -> str:
        return self.prefix


class Invoice(models.Model):
    """One customer's invoice for one billing period: a draft until it is issued, frozen from then on.

    A consolidated invoice has no lines of its own: its parts have them, each the invoice of one subscription that is
    billed on it, before tax. A part has no number of a series; its number says where it is printed.
    `total` is `subtotal - discount + tax`; `tax_included` is the tax contained in prices that include it, and part of
    the total already. What is paid, credited or written off comes later and is all that may still change.
    """

    # A close writes many rows: an index that the beginning of another one serves as well is left out.
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="invoices", db_index=False)
    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        null=True,
        related_name="invoices",
        help_text="None on a one-off invoice, which belongs to no plan, and on a consolidated one.",
    )
    kind = models.CharField(max_length=16, choices=InvoiceKind.choices, default=InvoiceKind.PERIODIC)
    part_of = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_index=False,
        related_name="parts",
        help_text="The consolidated invoice that this is printed on and paid with.",
    )
    part_n = models.PositiveIntegerField(null=True, blank=True, help_text="Its place on it, from 1.")
    status = models.CharField(max_length=16, choices=InvoiceStatus.choices, default=InvoiceStatus.DRAFT)
    series = models.ForeignKey(
        InvoiceSeries, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    sequence = models.BigIntegerField(null=True)
    number = models.CharField(max_length=64, null=True)
    period_start = models.DateField(help_text="First local day of the period.")
    period_end = models.DateField(help_text="First local day after the period.")
    zone = models.CharField("time zone", max_length=64)
    starts_at = models.DateTimeField(help_text="The first instant of the period.")
    ends_at = models.DateTimeField(help_text="The first instant after the period.")
    currency = models.CharField(max_length=3)
    subtotal = AmountField(help_text="The sum of the lines.")
    discount = AmountField(default=0, help_text="What coupons take off the lines.")
    tax = AmountField(help_text="Added on top of the lines.")
    tax_included = AmountField(default=0, help_text="Contained in the lines where prices include tax.")
    total = AmountField()
    taxes = models.JSONField(
        default=list, blank=True, help_text="Tax by rate, as printed: base, percent, amount, sentence."
    )
    credits_applied = AmountField(
        default=0,
        help_text="Paid from credits when it was issued. Below 0: a total below 0 that became a credit.",
    )
    amount_paid = AmountField(default=0)
    amount_credited = AmountField(default=0, help_text="Taken off by credit notes.")
    amount_written_off = AmountField(default=0)
    issuer = models.JSONField(help_text="Who bills, as printed: frozen when drawn up.")
    recipient = models.JSONField(help_text="Who is billed, as printed: frozen when drawn up.")
    plan_name = models.CharField(max_length=200)
    plan_code = models.CharField(max_length=200)
    plan_version = models.PositiveIntegerField()
    plan_terms = models.JSONField(
        null=True,
        help_text="The terms of the plan as a whole and what they looked at, so that late usage applies them again.",
    )
    watermark = models.BigIntegerField(help_text="Events of batches up to this position were measured.")
    drawn_up_at = models.DateTimeField(help_text="When its figures were computed.")
    issue_after = models.DateTimeField(help_text="End of the grace days.")
    issued_at = models.DateTimeField(null=True, blank=True)
    due_on = models.DateField(null=True, blank=True)
    key = models.CharField(
        max_length=200,
        null=True,
        blank=True,
        help_text="The caller's own name for a one-off invoice: made once.",
    )
    history = HistoricalRecords(excluded_fields=["issuer", "recipient", "taxes", "plan_terms"])

    class Meta:
        ordering: ClassVar = ["-period_start", "-sequence", "-id"]
        permissions: ClassVar = [
            ("close_month", "Can close a month"),
            ("issue_invoice", "Can issue drafts and one-off invoices"),
            ("settle_invoice", "Can record payments and refunds"),
            ("correct_invoice", "Can write credit notes, void and write off invoices"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subscription", "period_start", "kind"],
                condition=~Q(status="void"),
                name="invoice_one_live_per_period",
            ),
            # No day of a subscription is billed by two issued invoices. Ranges of one number stand for the numbers.
            ExclusionConstraint(
                name="invoice_periods_never_overlap",
                expressions=[
                    (
                        Func(F("subscription_id"), F("subscription_id"), Value("[]"), function="int8range"),
                        RangeOperators.OVERLAPS,
                    ),
                    (Func(F("period_start"), F("period_end"), function="daterange"), RangeOperators.OVERLAPS),
                ],
                condition=Q(kind="periodic") & ~Q(status__in=["draft", "void"]),
            ),
            models.UniqueConstraint(fields=["series", "sequence"], name="invoice_sequence_once"),
            models.UniqueConstraint(fields=["number"], name="invoice_number_once"),
            models.UniqueConstraint(fields=["key"], condition=Q(key__isnull=False), name="invoice_key_once"),
            models.CheckConstraint(
                condition=Q(status__in=InvoiceStatus.values),
                name="invoice_status_known",
            ),
            models.CheckConstraint(
                condition=Q(
                    status="draft",
                    number=None,
                    sequence=None,
                    series=None,
                    issued_at=None,
                )
                | (
                    ~Q(status="draft")
                    & Q(number__isnull=False, issued_at__isnull=False)
                    & (
                        Q(sequence__gte=1, series__isnull=False, part_of=None)
                        | Q(sequence=None, series=None, part_of__isnull=False)
                    )
                ),
                name="invoice_numbered_when_issued",
            ),
            models.CheckConstraint(
                condition=Q(period_end__gt=F("period_start")),
                name="invoice_period_not_empty",
            ),
            models.CheckConstraint(
                condition=Q(total=F("subtotal") - F("discount") + F("tax")),
                name="invoice_total_is_sum_of_parts",
            ),
            models.CheckConstraint(
                condition=Q(discount__gte=0, amount_credited__gte=0, amount_written_off__gte=0)
                & (
                    Q(credits_applied=0)
                    | Q(credits_applied__gt=0, credits_applied__lte=F("total"))
                    | Q(credits_applied__lt=0, credits_applied=F("total"))
                ),
                name="invoice_reductions_in_range",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["one_off", "consolidated"], subscription=None)
                | (~Q(kind__in=["one_off", "consolidated"]) & Q(subscription__isnull=False)),
                name="invoice_subscription_unless_one_off",
            ),
            models.CheckConstraint(
                condition=(
                    Q(status__in=["draft", "void"], amount_paid=0, amount_credited=0) & NOT_WRITTEN_OFF
                )
                | (Q(status="issued", total__gt=SETTLED) & NOT_WRITTEN_OFF)
                | (Q(status="paid", total__lte=SETTLED) & NOT_WRITTEN_OFF)
                | Q(status="written_off", total=SETTLED, amount_written_off__gt=0)
                | Q(status="part", amount_paid=0, amount_credited=0, amount_written_off=0),
                name="invoice_status_fits_balance",
            ),
            models.CheckConstraint(
                condition=Q(part_of=None, part_n=None) & ~Q(status="part")
                | Q(
                    part_of__isnull=False,
                    part_n__gte=1,
                    status__in=["draft", "part", "void"],
                    subscription__isnull=False,
                    tax=0,
                    tax_included=0,
                    credits_applied=0,
                ),
                name="invoice_part_is_paid_elsewhere",
            ),
            models.UniqueConstraint(
                fields=["part_of", "part_n"],
                condition=Q(part_of__isnull=False),
                name="invoice_part_placed_once",
            ),
            models.CheckConstraint(
                condition=Q(amount_credited=0) | Q(amount_credited__lte=F("total")),
                name="invoice_credited_up_to_total",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["status", "period_start"], name="invoice_by_status"),
            models.Index(fields=["customer", "-period_start"], name="invoice_by_customer"),
            models.Index(fields=["ends_at"], name="invoice_by_end"),
        ]

    def __str__(self) -> str:
        return self.number or f"Draft for {self.recipient.get('name', self.customer_id)}"

    @property
    def amount_due(self) -> Any:
        """What is still to pay; negative where the customer has paid or been credited too much."""
        return (
            self.total
            - self.credits_applied
            - self.amount_paid
            - self.amount_credited
            - self.amount_written_off
        )
