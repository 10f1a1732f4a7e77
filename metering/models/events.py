"""What happened: events, and refused ones whose key was used before."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from customers.models import Customer
from metering.meter_types import Signal
from metering.models.fields import QuantityField
from metering.models.meters import Meter
from metering.models.workloads import WorkloadName


class Event(models.Model):
    """Something that happened once. Never changed, never deleted; its primary key is its idempotency key.

    Foreign keys are not checked row by row by the database because nothing they point to can ever be deleted
    (triggers in the first migration); that keeps two index look-ups and a row lock out of every insert.
    `meter` and `customer` are null while the event is unmatched; the codes it was sent with are kept.
    """

    id = models.UUIDField(primary_key=True)
    source = models.CharField(max_length=100)
    key = models.TextField()
    batch_id = models.UUIDField()
    meter = models.ForeignKey(
        Meter,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    customer = models.ForeignKey(
        Customer,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    workload = models.ForeignKey(
        WorkloadName,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    value = QuantityField(null=True, max_digits=38, decimal_places=18)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    subject = models.TextField(null=True)
    dimensions = models.JSONField(null=True)
    meter_code = models.TextField(null=True)
    customer_code = models.TextField(null=True)
    signal = models.CharField(
        max_length=8,
        choices=Signal.choices,
        null=True,
        help_text="Set where the event is no outcome itself but reverses or confirms one.",
    )
    target_id = models.UUIDField(
        null=True, help_text="The outcome a signal is about; null: all of its subject."
    )
    released_batch_id = models.UUIDField(null=True)
    voided_batch_id = models.UUIDField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(meter__isnull=False, customer__isnull=False)
                | models.Q(meter_code__isnull=False, customer_code__isnull=False),
                name="event_matched_or_named",
            ),
            models.CheckConstraint(
                condition=models.Q(signal=None, target_id=None)
                | (
                    models.Q(signal__in=Signal.values, value=None)
                    & (models.Q(target_id__isnull=False) | models.Q(subject__isnull=False))
                ),
                name="event_signal_names_outcome",
            ),
        ]
        indexes: ClassVar = [
            # Holds what counts and sums need, so that they never look at the rows themselves: docs/storage.md.
            models.Index(
                fields=["customer", "meter", "occurred_at"],
                include=["value", "voided_batch_id"],
                name="event_measured",
            ),
            BrinIndex(fields=["received_at"], name="event_received", pages_per_range=32),
            models.Index(
                fields=["received_at"],
                condition=models.Q(meter=None) | models.Q(customer=None),
                name="event_unmatched",
            ),
            models.Index(
                fields=["released_batch_id"],
                condition=models.Q(released_batch_id__isnull=False),
                name="event_released",
            ),
            models.Index(
                fields=["customer", "meter", "subject", "occurred_at"],
                condition=models.Q(signal__isnull=False),
                name="event_signals",
            ),
            models.Index(
                fields=["target_id"],
                condition=models.Q(target_id__isnull=False),
                name="event_targets",
            ),
            models.Index(
                fields=["voided_batch_id"],
                condition=models.Q(voided_batch_id__isnull=False),
                name="event_voided",
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def counted_value(self) -> Decimal:
        """The value as a count meter adds it: 1 when none was sent."""
        return Decimal(1) if self.value is None else self.value


class EventConflict(models.Model):
    """A refused event: its key was used before for other content. Both are kept for staff to compare."""

    event_id = models.UUIDField(db_index=True)
    source = models.CharField(max_length=100)
    key = models.TextField()
    batch_id = models.UUIDField()
    offered = models.JSONField()
    received_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-received_at", "-id"]

    def __str__(self) -> str:
        return self.key
