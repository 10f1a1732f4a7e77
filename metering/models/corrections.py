"""Why stored events do not count any more."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from customers.models import Customer


class CorrectionKind(models.TextChoices):
    VOID = "void", "Voided"
    AMEND = "amend", "Amended"


class EventCorrection(models.Model):
    """Why a stored event does not count any more, and by which event it was replaced. Written once, never changed.

    Events are referred to by value: nothing points into the table of events.
    """

    event_id = models.UUIDField(unique=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=8, choices=CorrectionKind.choices)
    replacement_id = models.UUIDField(null=True, unique=True)
    reason = models.TextField()
    by = models.CharField(max_length=255, help_text="The person or the API key.")
    at = models.DateTimeField()
    batch_id = models.UUIDField()

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(kind="void", replacement_id=None)
                | models.Q(kind="amend", replacement_id__isnull=False),
                name="eventcorrection_replaced_when_amended",
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="eventcorrection_has_reason"),
            models.CheckConstraint(condition=~models.Q(by=""), name="eventcorrection_has_author"),
        ]
        indexes: ClassVar = [models.Index(fields=["-at"], name="eventcorrection_at")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.at:%Y-%m-%d %H:%M}: {self.reason}"
