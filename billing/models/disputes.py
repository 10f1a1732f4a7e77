"""Disputes: what a customer says about outcomes it was billed for, and what was decided. Steps are only added."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from billing.models.invoices import AmountField, Invoice
from billing.models.lines import InvoiceLine
from billing.models.payments import CreditNote
from customers.models import Customer


class DisputeState(models.TextChoices):
    """Whether somebody has still to decide."""

    OPEN = "open", "Open"
    DECIDED = "decided", "Decided"
    WITHDRAWN = "withdrawn", "Withdrawn"


class DisputedState(models.TextChoices):
    """What became of one disputed outcome."""

    OPEN = "open", "Open"
    ACCEPTED = "accepted", "Accepted"
    DECLINED = "declined", "Declined"
    WITHDRAWN = "withdrawn", "Withdrawn"


class DisputeStepKind(models.TextChoices):
    OPENED = "opened", "Disputed"
    DECIDED = "decided", "Decided"
    REOPENED = "reopened", "Reopened"
    WITHDRAWN = "withdrawn", "Withdrawn"


class DisputeRemedy(models.TextChoices):
    """How an accepted outcome is given back."""

    CREDIT_NOTE = "credit_note", "Credit note now"
    ADJUSTMENT = "adjustment", "Adjustment on the next invoice"


class Dispute(models.Model):
    """Outcomes of one invoice line that a customer disputes, with the reason. It may be an adjustment.

    `customer` is whose outcomes they are. `asked_for` is who disputes them: that customer, or who pays for it.
    """

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="disputes")
    asked_for = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="disputes")
    line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, related_name="disputes")
    state = models.CharField(max_length=9, choices=DisputeState.choices, default=DisputeState.OPEN)
    reason = models.TextField(blank=True, max_length=1000)
    opened_at = models.DateTimeField()
    opened_by = models.CharField(max_length=300)
    at_stake = AmountField(
        null=True,
        help_text="What accepting all of it came to, before tax, when it was opened or reopened. Negative: less owed.",
    )

    class Meta:
        ordering: ClassVar = ["-opened_at", "-id"]
        permissions: ClassVar = [("decide_dispute", "Can decide disputes")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=DisputeState.values), name="dispute_state_known")
        ]
        indexes: ClassVar = [
            models.Index(fields=["opened_at"], condition=Q(state="open"), name="dispute_waiting")
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        """The name people use: D-12."""
        return f"D-{self.pk}"

    @property
    def printed_on(self) -> Invoice:
        """The invoice that was sent: the consolidated one where the disputed line is on a part of it."""
        return self.invoice.part_of or self.invoice

    @property
    def payer(self) -> Customer | None:
        """Who pays for the outcomes in their customer's place; None where nobody else does."""
        whole = self.invoice.part_of
        return None if whole is None or whole.customer_id == self.customer_id else whole.customer


class DisputeStep(models.Model):
    """Something that happened to a dispute, with the words both sides read.

    Of a decision, `amount` is the effect on the line before tax, as an adjustment has it: negative when less is owed.
    """

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="steps")
    kind = models.CharField(max_length=9, choices=DisputeStepKind.choices)
    at = models.DateTimeField()
    by = models.CharField(max_length=300)
    text = models.TextField(blank=True, max_length=1000)
    accepted = models.PositiveIntegerField(default=0)
    declined = models.PositiveIntegerField(default=0)
    remedy = models.CharField(max_length=12, choices=DisputeRemedy.choices, blank=True)
    amount = AmountField(null=True)
    credit_note = models.OneToOneField(
        CreditNote, on_delete=models.PROTECT, null=True, related_name="dispute_step"
    )

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind__in=DisputeStepKind.values), name="disputestep_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(kind="decided", amount__isnull=False)
                | (~Q(kind="decided") & Q(amount=None, remedy="", credit_note=None)),
                name="disputestep_only_decisions_pay",
            ),
            models.CheckConstraint(
                condition=Q(credit_note=None) | Q(remedy="credit_note", accepted__gt=0),
                name="disputestep_credits_accepted",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dispute}: {self.get_kind_display()}"


class DisputedOutcome(models.Model):
    """One outcome of a dispute. An outcome is disputed once, for ever; reopening its dispute opens this row again."""

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="outcomes")
    event_id = models.UUIDField()
    key = models.TextField()
    subject = models.TextField(null=True)
    occurred_at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=DisputedState.choices, default=DisputedState.OPEN)
    decided_by = models.ForeignKey(
        DisputeStep, on_delete=models.PROTECT, null=True, related_name="outcomes", editable=False
    )

    class Meta:
        ordering: ClassVar = ["occurred_at", "event_id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["event_id"], name="disputedoutcome_once"),
            models.CheckConstraint(
                condition=Q(state="open", decided_by=None)
                | Q(state__in=["accepted", "declined", "withdrawn"], decided_by__isnull=False),
                name="disputedoutcome_decided_by_step",
            ),
        ]

    def __str__(self) -> str:
        return self.subject or self.key
