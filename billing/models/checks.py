"""Runs of the audit and of the verification of invoices: when, what they found, and the last clean one."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q


class CheckKind(models.TextChoices):
    AUDIT = "audit", "Audit"
    VERIFICATION = "verification", "Verification of invoices"


class CheckRun(models.Model):
    """One run of a check, as asked for. `findings` is a list of {code, words, differences, named}, in order.

    `whole` is false for a run over some invoices only: it says nothing about the others. A run with a `failure` came to
    no end.
    """

    kind = models.CharField(max_length=16, choices=CheckKind.choices)
    whole = models.BooleanField(default=True)
    scope = models.CharField(
        max_length=400, blank=True, help_text="What was checked, in words; empty: everything."
    )
    asked_by = models.CharField(max_length=255)
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    checked = models.PositiveBigIntegerField(default=0, help_text="Equations or invoices.")
    differing = models.PositiveBigIntegerField(default=0, help_text="Equations or invoices that differ.")
    not_computable = models.PositiveBigIntegerField(
        default=0, help_text="Invoices whose events are archived."
    )
    findings = models.JSONField(default=list)
    failure = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["-asked_at", "-id"]
        permissions: ClassVar = [("run_checks", "Can run the audit and verify invoices")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=CheckKind.values), name="checkrun_kind_known"),
            models.CheckConstraint(
                condition=Q(finished_at=None) | Q(started_at__isnull=False),
                name="checkrun_starts_before_it_ends",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["kind", "-asked_at"], name="checkrun_latest")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.asked_at:%Y-%m-%d %H:%M}"

    @property
    def is_clean(self) -> bool:
        return self.finished_at is not None and not self.differing and not self.failure
