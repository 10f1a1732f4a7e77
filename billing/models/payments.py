"""What happens to an issued invoice: payments, credit notes, write-offs. Rows are added, never changed.

The database holds that an invoice's sums equal these rows (deferred triggers in a migration).
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from billing.models.invoices import AmountField, Invoice, InvoiceSeries
from billing.models.lines import InvoiceLine


class PaymentKind(models.TextChoices):
    PAYMENT = "payment", "Payment"
    REFUND = "refund", "Refund"
    REVERSAL = "reversal", "Reversal"
    MOVED = "moved", "Moved to credits"


class PaymentMethod(models.TextChoices):
    BANK_TRANSFER = "bank_transfer", "Bank transfer"
    CARD = "card", "Card"
    DIRECT_DEBIT = "direct_debit", "Direct debit"
    CHEQUE = "cheque", "Cheque"
    CASH = "cash", "Cash"
    OTHER = "other", "Other"


class Payment(models.Model):
    """Money that came in for an invoice, went back or became a credit, or one of these taken back by its opposite."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    kind = models.CharField(max_length=16, choices=PaymentKind.choices, default=PaymentKind.PAYMENT)
    amount = AmountField(help_text="Above zero what came in; below zero what went back or was taken back.")
    currency = models.CharField(max_length=3)
    received_on = models.DateField(help_text="The day of the money, as the bank says.")
    method = models.CharField(
        max_length=16, choices=PaymentMethod.choices, blank=True, help_text="Empty where no money moved."
    )
    reference = models.CharField(max_length=200, blank=True)
    reverses = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversal"
    )
    reason = models.CharField(max_length=400, blank=True)
    key = models.CharField(
        max_length=200, null=True, unique=True, help_text="The caller's own name for it: recorded once."
    )
    recorded_by = models.CharField(max_length=200)
    recorded_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-recorded_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind="payment", amount__gt=0, reverses=None)
                | Q(kind__in=["refund", "moved"], amount__lt=0, reverses=None)
                | (Q(kind="reversal", reverses__isnull=False) & ~Q(reason="") & ~Q(amount=0)),
                name="payment_sign_fits_kind",
            ),
            models.CheckConstraint(
                condition=Q(method__in=PaymentMethod.values) | Q(method="", kind__in=["moved", "reversal"]),
                name="payment_method_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.amount.normalize():f} {self.currency}"


class ChangeKind(models.TextChoices):
    APPROVED = "approved", "Approved and issued"
    WRITE_OFF = "write_off", "Written off"
    REINSTATE = "reinstate", "Write-off taken back"
    VOID = "void", "Voided"


class InvoiceChange(models.Model):
    """What a person decided about an invoice, and why. Its amounts add up to what is written off."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="changes")
    kind = models.CharField(max_length=16, choices=ChangeKind.choices)
    amount = AmountField(default=0)
    reason = models.CharField(max_length=400, blank=True)
    recorded_by = models.CharField(max_length=200)
    recorded_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["recorded_at", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind__in=["approved", "void"], amount=0)
                | Q(kind="write_off", amount__gt=0)
                | Q(kind="reinstate", amount__lt=0),
                name="invoicechange_amount_fits_kind",
            ),
            models.CheckConstraint(
                condition=Q(kind="approved") | ~Q(reason=""), name="invoicechange_has_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.invoice}"


class CreditNote(models.Model):
    """An issued invoice taken back in whole or in part: numbered in its own series and frozen at once."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credit_notes")
    series = models.ForeignKey(InvoiceSeries, on_delete=models.PROTECT, related_name="+")
    sequence = models.BigIntegerField()
    number = models.CharField(max_length=64, unique=True)
    issued_at = models.DateTimeField()
    zone = models.CharField("time zone", max_length=64)
    currency = models.CharField(max_length=3)
    subtotal = AmountField(help_text="The sum of the lines.")
    discount = AmountField(default=0)
    tax = AmountField(default=0)
    tax_included = AmountField(default=0)
    total = AmountField()
    taxes = models.JSONField(
        default=list, blank=True, help_text="Tax by rate, as on the invoice: what is taken back."
    )
    issuer = models.JSONField()
    recipient = models.JSONField()
    reason = models.CharField(max_length=400)
    key = models.CharField(
        max_length=200, null=True, unique=True, help_text="The caller's own name for it: issued once."
    )
    recorded_by = models.CharField(max_length=200)

    class Meta:
        ordering: ClassVar = ["-issued_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["series", "sequence"], name="creditnote_sequence_once"),
            models.CheckConstraint(
                condition=Q(total=F("subtotal") - F("discount") + F("tax"), total__gt=0),
                name="creditnote_total_is_sum_of_parts",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="creditnote_has_reason"),
        ]

    def __str__(self) -> str:
        return self.number


class CreditNoteLine(models.Model):
    """What a credit note takes back of one line, with the line's share of discount and tax."""

    credit_note = models.ForeignKey(CreditNote, on_delete=models.PROTECT, related_name="lines")
    n = models.PositiveIntegerField("line")
    invoice_line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, related_name="credits")
    description = models.CharField(max_length=400)
    amount = AmountField()
    discount = AmountField(default=0)
    tax = AmountField(default=0)
    tax_included = AmountField(default=0)
    taxes = models.JSONField(
        default=dict, blank=True, help_text="Tax by the number of the invoice's tax, as text."
    )

    class Meta:
        ordering: ClassVar = ["n"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["credit_note", "n"], name="creditnoteline_numbered_once"),
            models.UniqueConstraint(fields=["credit_note", "invoice_line"], name="creditnoteline_line_once"),
        ]

    def __str__(self) -> str:
        return self.description

    @property
    def total(self) -> Any:
        return self.amount - self.discount + self.tax
