"""Mails with documents: what was sent to whom, what still waits, and the texts that staff edit."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from billing.models.invoices import Invoice
from billing.models.payments import CreditNote


class MailKind(models.TextChoices):
    INVOICE = "invoice", "Invoice"
    CREDIT_NOTE = "credit_note", "Credit note"
    REMINDER = "reminder", "Reminder"


class MailState(models.TextChoices):
    QUEUED = "queued", "Waiting"
    SENDING = "sending", "Being sent"
    UNSURE = "unsure", "Perhaps sent"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed"


class MailText(models.Model):
    """Subject and body of one kind of mail, where staff have changed them. Names such as $number are filled in."""

    kind = models.CharField(max_length=16, choices=MailKind.choices, primary_key=True)
    subject = models.CharField(max_length=200)
    body = models.TextField()

    class Meta:
        verbose_name = "mail text"

    def __str__(self) -> str:
        return self.get_kind_display()


class Delivery(models.Model):
    """One mail with a document. It is sent by the worker, and tried again for a day while the mail server refuses."""

    kind = models.CharField(max_length=16, choices=MailKind.choices)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="deliveries")
    credit_note = models.ForeignKey(
        CreditNote, on_delete=models.PROTECT, null=True, blank=True, related_name="deliveries"
    )
    to = models.EmailField()
    state = models.CharField(max_length=8, choices=MailState.choices, default=MailState.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    error = models.CharField(max_length=400, blank=True)
    requested_by = models.CharField(
        max_length=200, blank=True, help_text="Empty: by itself, when it was issued."
    )
    requested_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-requested_at", "-id"]
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind="credit_note", credit_note__isnull=False)
                | (~Q(kind="credit_note") & Q(credit_note=None)),
                name="delivery_names_its_document",
            ),
            # What goes out by itself goes out once.
            models.UniqueConstraint(
                fields=["invoice", "kind", "credit_note"],
                condition=Q(requested_by=""),
                nulls_distinct=False,
                name="delivery_once_by_itself",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_try_at"], condition=Q(state="queued"), name="delivery_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.to}"
