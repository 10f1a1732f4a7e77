"""Closes of months as staff see them: each run with its progress, and the customers that could not be billed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from customers.models import Customer

# A close reports each chunk, many times a minute; one that is silent so long was stopped.
SILENT = timedelta(minutes=5)


class CloseState(models.TextChoices):
    WAITING = "waiting", "Waiting for the worker"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class CloseEntrance(models.TextChoices):
    ADMIN = "admin", "Admin"
    COMMAND = "command", "Command"
    SCHEDULE = "schedule", "Schedule"


class CloseRun(models.Model):
    """One close of a month, as asked for, and how far it is. Counts are of invoices, `total` of subscriptions."""

    month = models.DateField(help_text="Its first day.")
    dry_run = models.BooleanField(default=False, help_text="Looks only, and writes no invoice.")
    grace_days = models.PositiveIntegerField(help_text="0 issued at once.")
    customer_codes = models.JSONField(default=list, help_text="Only these customers; empty: all.")
    entrance = models.CharField(max_length=16, choices=CloseEntrance.choices)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    state = models.CharField(max_length=16, choices=CloseState.choices, default=CloseState.WAITING)
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True, help_text="When it last reported progress.")
    finished_at = models.DateTimeField(null=True)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    issued = models.PositiveIntegerField(default=0)
    drafted = models.PositiveIntegerField(default=0)
    held = models.PositiveIntegerField(default=0, help_text="Invoices that wait for approval.")
    unchanged = models.PositiveIntegerField(default=0)
    not_over = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0, help_text="Customers that could not be billed.")
    amounts = models.JSONField(default=dict, help_text="Totals drawn up, by currency, as text.")
    refusal = models.TextField(default="", blank=True, help_text="Why the whole close failed.")

    class Meta:
        verbose_name = "close"
        ordering: ClassVar = ["-asked_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=CloseState.values), name="closerun_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=(CloseState.DONE, CloseState.FAILED), finished_at__isnull=False)
                | Q(state__in=(CloseState.WAITING, CloseState.RUNNING), finished_at=None),
                name="closerun_finished_when_ended",
            ),
        ]

    def __str__(self) -> str:
        return f"Close of {self.month:%B %Y}"

    @property
    def ended(self) -> bool:
        return self.finished_at is not None

    def is_silent(self, now: datetime) -> bool:
        """Tell whether it runs in name only: its process was stopped, and another close goes on where it ended."""
        return self.state == CloseState.RUNNING and now - (self.seen_at or self.asked_at) > SILENT


class ParkedCustomer(models.Model):
    """A customer whose month could not be billed, with the reason. `cleared_at` is when it was billed after all."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="parked")
    month = models.DateField(help_text="Its first day.")
    code = models.CharField(max_length=64, help_text="Stable name of the reason.")
    reason = models.TextField()
    parked_at = models.DateTimeField()
    tried_at = models.DateTimeField(help_text="When the last close tried to bill it.")
    tries = models.PositiveIntegerField(default=1)
    cleared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "customer not billed"
        verbose_name_plural = "customers not billed"
        ordering: ClassVar = ["-month", "parked_at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["customer", "month"],
                condition=Q(cleared_at=None),
                name="parkedcustomer_once_per_month",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="parkedcustomer_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.customer}, {self.month:%B %Y}"
