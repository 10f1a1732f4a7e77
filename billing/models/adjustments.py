"""Closed periods whose events changed after they were invoiced, and what staff decided not to bill."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from billing.models.invoices import AmountField, Invoice
from billing.models.lines import InvoiceLine
from billing.models.payments import CreditNote
from metering.models import QuantityField


class AdjustmentScan(models.Model):
    """One row: the ledger position up to which changes to closed periods were looked for.

    Issuing an invoice locks it for sharing and requires a watermark that is not before it: so a change is either in the
    invoice or found by a later scan, whatever commits when.
    """

    singleton = models.BooleanField(primary_key=True, default=True)
    position = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(singleton=True), name="adjustmentscan_one_row")
        ]

    def __str__(self) -> str:
        return f"position {self.position}"


class ChangedLine(models.Model):
    """An issued usage line whose events changed up to `position`; it goes when an invoice has settled that.

    The effect is what is still to settle as of `effect_position`, None until it was computed.
    """

    line = models.OneToOneField(InvoiceLine, on_delete=models.CASCADE, related_name="change")
    position = models.BigIntegerField()
    found_at = models.DateTimeField()
    effect_position = models.BigIntegerField(null=True)
    effect_quantity = QuantityField(null=True, max_digits=38, decimal_places=18)
    effect_amount = AmountField(null=True)
    bill_up_to = models.BigIntegerField(
        null=True, help_text="Somebody decided to bill what changed up to this position."
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "late usage"
        verbose_name_plural = "late usage"
        permissions: ClassVar = [
            ("bill_late_usage", "Can decide to bill late usage"),
            ("waive_late_usage", "Can waive late usage"),
        ]

    def __str__(self) -> str:
        return str(self.line)


class LineSettlement(models.Model):
    """An issued invoice took in all that changed of an earlier line up to `position`, also where that cost nothing.

    Void again, the invoice settled nothing.
    """

    line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, related_name="settlements")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="settlements")
    position = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["line", "invoice"], name="linesettlement_once_per_invoice")
        ]

    def __str__(self) -> str:
        return f"{self.line} up to {self.position}"


class AdjustmentWaiver(models.Model):
    """A difference that was settled beside the invoices, with the reason: waived, or paid back by a credit note."""

    line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, related_name="waivers")
    adjustment_n = models.PositiveIntegerField()
    position = models.BigIntegerField(help_text="Events of batches up to this position were looked at.")
    quantity = QuantityField(max_digits=38, decimal_places=18)
    amount = AmountField()
    adjusts_plan = models.BooleanField(
        default=False, help_text="It is of the minimum, included spend and service fee of the line's invoice."
    )
    reason = models.CharField(max_length=400)
    waived_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    waived_through = models.CharField(
        max_length=200, blank=True, help_text="What decided it over HTTP: the name of an API key."
    )
    credit_note = models.ForeignKey(
        CreditNote,
        on_delete=models.PROTECT,
        null=True,
        related_name="late_usage",
        help_text="What paid the difference back; none where it was waived.",
    )
    waived_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~models.Q(reason=""), name="adjustmentwaiver_has_reason"),
            models.CheckConstraint(
                condition=models.Q(waived_by__isnull=False)
                | models.Q(credit_note__isnull=False)
                | ~models.Q(waived_through=""),
                name="adjustmentwaiver_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of {self.line}"

    @property
    def who(self) -> str:
        """Name who decided: a person of the staff, what spoke over HTTP, or who wrote the credit note."""
        if self.waived_by is not None:
            return self.waived_by.get_full_name() or self.waived_by.get_username()
        return self.waived_through or (self.credit_note.recorded_by if self.credit_note else "")


class AdjustmentNumber(models.Model):
    """The numbers of a line's adjustments that are settled, by an issued invoice or by a waiver: never by both.

    Triggers write it, so that whoever is second is refused, whatever either of them saw.
    """

    line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, related_name="+")
    n = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["line", "n"], name="adjustment_settled_once")
        ]

    def __str__(self) -> str:
        return f"{self.line}, {self.n}"
