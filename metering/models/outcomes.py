"""Outcomes settled ahead, so that nobody has to settle a million of them to count them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from customers.models import Customer
from metering.models.fields import QuantityField
from metering.models.meters import Meter


class OutcomeStanding(models.IntegerChoices):
    """What an outcome does in the period in which it settles."""

    DOES_NOT_COUNT = 0, "Does not count"
    COUNTS = 1, "Counts"
    FIRST_COUNTS = 2, "Counts unless another of its subject settles before it in the period"


class SettledOutcome(models.Model):
    """What became of one outcome, from the events as of `Rollup.settled_position`: see metering.settling_ahead.

    A note of what the events say and nothing else: it may be deleted and made again at any time. `position` is the
    last batch that said something about the outcome or its subject: as of an earlier one it says nothing.
    """

    event_id = models.UUIDField(primary_key=True)
    meter = models.ForeignKey(
        Meter, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    customer = models.ForeignKey(
        Customer, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    subject = models.TextField(null=True)
    occurred_at = models.DateTimeField()
    settles_at = models.DateTimeField()
    value = QuantityField(max_digits=38, decimal_places=18)
    dimensions = models.JSONField(null=True)
    standing = models.SmallIntegerField(choices=OutcomeStanding.choices)
    position = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(standing__in=OutcomeStanding.values), name="settledoutcome_standing_known"
            ),
            models.CheckConstraint(
                condition=models.Q(settles_at__gte=models.F("occurred_at")),
                name="settledoutcome_settles_after_it_happened",
            ),
        ]
        indexes: ClassVar = [
            # Holds what a count needs, as event_measured does for events.
            models.Index(
                fields=["customer", "meter", "settles_at"],
                include=["value"],
                condition=models.Q(standing=1),
                name="settledoutcome_counts",
            ),
            models.Index(
                fields=["customer", "meter", "settles_at"],
                condition=models.Q(standing=2),
                name="settledoutcome_first_counts",
            ),
            models.Index(fields=["customer", "meter", "subject"], name="settledoutcome_subject"),
            models.Index(fields=["position"], name="settledoutcome_position"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id}: {OutcomeStanding(self.standing).label}"
