"""What is unusual about a customer's month, who approved it, and what customers last saw in their portal."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from billing.models.invoices import AmountField
from billing.models.subscriptions import Subscription
from customers.history import HistoricalRecords
from customers.models import Customer


class FindingKind(models.TextChoices):
    """What can be unusual. The setting CLOSE_HOLDS names those that hold an invoice for approval."""

    JUMP = "jump", "Total jumped"
    PORTAL = "portal", "Differs from the portal"
    LOST_PRICE = "lost_price", "Price is gone"
    MISSING_PRICE = "missing_price", "Usage without a price"
    STOPPED = "stopped", "Usage stopped"
    VANISHED = "vanished", "Line vanished"
    NEW = "new", "New line"
    ZERO = "zero", "Zero invoice"


class CloseReview(models.Model):
    """The findings of one customer's month. While `held`, its invoices stay drafts until a person approves them.

    `findings` are {kind, subject, before, now, holds} with amounts as text; `approved` those a person has seen.
    """

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="reviews")
    month = models.DateField(help_text="Its first day.")
    kinds = ArrayField(models.CharField(max_length=32))
    findings: models.JSONField[Any, Any] = models.JSONField()
    held = models.BooleanField()
    currency = models.CharField(max_length=3)
    weight = AmountField(help_text="The largest difference among the findings, in money.")
    found_at = models.DateTimeField()
    approved: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.CharField(max_length=400, default="", blank=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = "unusual invoice"
        ordering: ClassVar = ["-held", "-weight", "id"]
        permissions: ClassVar = [("approve_invoices", "Can approve invoices that are held")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["customer", "month"], name="closereview_once_per_month"),
            models.CheckConstraint(
                condition=Q(approved_at=None, approved_by=None, reason="")
                | (Q(approved_at__isnull=False, approved_by__isnull=False) & ~Q(reason="")),
                name="closereview_approved_with_reason",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["month", "-held", "-weight"], name="closereview_worst_first")
        ]

    def __str__(self) -> str:
        return f"{self.customer}, {self.month:%B %Y}"


class PortalTotal(models.Model):
    """The total of a period that its customer saw last in the portal. `final` when the period was over by then."""

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="+")
    period_start = models.DateField()
    total = AmountField()
    currency = models.CharField(max_length=3)
    final = models.BooleanField()
    shown_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subscription", "period_start"], name="portaltotal_once_per_period"
            )
        ]

    def __str__(self) -> str:
        return f"{self.total} {self.currency}"
