"""The ledger of batches: what arrived together, in the order in which it became visible."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class EventLedger(models.Model):
    """One row: the position of the last batch. Its row lock puts batches in one order."""

    singleton = models.BooleanField(primary_key=True, default=True)
    last_position = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(singleton=True), name="eventledger_one_row")
        ]

    def __str__(self) -> str:
        return f"position {self.last_position}"


class BatchKind(models.TextChoices):
    RECEIVED = "received", "Received"
    RELEASED = "released", "Released from unmatched"
    CORRECTED = "corrected", "Corrected"


class EventBatch(models.Model):
    """The ledger row of one batch, written in the same transaction as its events.

    `stored` is the number of event rows that carry this batch's id: as the batch that stored, released or voided
    them. `position` is given after the commit, in commit order as others can see it: every batch up to a position
    is visible to whoever can see that position.
    """

    id = models.UUIDField(primary_key=True)
    kind = models.CharField(max_length=16, choices=BatchKind.choices, default=BatchKind.RECEIVED)
    source = models.CharField(max_length=100)
    received_at = models.DateTimeField()
    stored = models.IntegerField(help_text="Event rows written with this batch's id.")
    pruned = models.IntegerField(
        db_default=0, help_text="Rows of these that were archived and deleted since."
    )
    accepted = models.IntegerField(default=0)
    duplicates = models.IntegerField(default=0)
    conflicts = models.IntegerField(default=0)
    unmatched = models.IntegerField(default=0)
    rejected = models.IntegerField(default=0)
    first_occurred_at = models.DateTimeField(null=True)
    last_occurred_at = models.DateTimeField(null=True)
    has_signals = models.BooleanField(
        db_default=False,
        help_text="Holds events that reverse or confirm outcomes, which may be of any earlier time.",
    )
    position = models.BigIntegerField(null=True, unique=True)

    class Meta:
        verbose_name_plural = "event batches"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["released", "corrected"])
                | models.Q(stored=models.F("accepted") + models.F("unmatched")),
                name="eventbatch_stored_is_accepted_and_unmatched",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=BatchKind.values),
                name="eventbatch_kind_known",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["received_at"],
                condition=models.Q(position=None),
                name="eventbatch_unplaced",
            ),
            models.Index(fields=["received_at"], name="eventbatch_received"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.received_at:%Y-%m-%d %H:%M:%S}"
