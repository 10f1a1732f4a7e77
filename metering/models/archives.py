"""Files to which old events were moved."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class EventArchive(models.Model):
    """A file to which old events were archived before they were deleted."""

    before = models.DateTimeField(help_text="Events that happened before this were archived.")
    events = models.BigIntegerField()
    file = models.TextField()
    sha256 = models.CharField("SHA-256", max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.events} events before {self.before:%Y-%m-%d}"
