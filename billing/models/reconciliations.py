"""The last reconciliation of each month: what the dashboard's alarm looks at."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class ReconciliationRun(models.Model):
    """How the last reconciliation of a time came out, over all customers. `clean_at` is the last without difference."""

    start = models.DateTimeField()
    end = models.DateTimeField()
    ran_at = models.DateTimeField()
    difference = models.BigIntegerField(help_text="Events not accounted for exactly once. 0 is right.")
    clean_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "reconciliation"
        ordering: ClassVar = ["-start"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["start", "end"], name="reconciliationrun_once_per_time")
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m}: {self.difference}"
