"""The order of batches: a watermark that loses nothing to transactions that commit late.

Positions are given after the commit, under one row lock: whoever sees position N sees every batch up to N with all its
events. Clocks, ids and transaction numbers cannot promise that, because transactions commit out of their order.
"As of N" then means exactly the batches placed up to N, today and at any later time.
"""

from __future__ import annotations

from uuid import UUID

from django.db import connection, transaction

from metering.models import EventBatch, EventLedger

PLACE = """
WITH unplaced AS (
    SELECT id, row_number() OVER (ORDER BY received_at, id) AS place
    FROM metering_eventbatch WHERE position IS NULL
)
UPDATE metering_eventbatch batch SET position = %s + unplaced.place
FROM unplaced WHERE batch.id = unplaced.id
"""


def place_next(batch: UUID) -> int:
    """Give the position after the last to one batch of the caller's own transaction; `place_batches` was called in it.

    Nobody else places anything until that transaction ends, so nothing comes between the two positions.
    """
    ledger = EventLedger.objects.select_for_update().get(singleton=True)
    ledger.last_position += 1
    ledger.save(update_fields=["last_position"])
    EventBatch.objects.filter(pk=batch).update(position=ledger.last_position)
    return ledger.last_position


def place_batches() -> int:
    """Give every committed batch its position and return the last one. Safe to run at once from many places."""
    with transaction.atomic():
        ledger, _ = EventLedger.objects.get_or_create(singleton=True)
        ledger = EventLedger.objects.select_for_update().get(pk=ledger.pk)
        with connection.cursor() as cursor:
            cursor.execute(PLACE, [ledger.last_position])
            placed = cursor.rowcount
        if placed:
            ledger.last_position += placed
            ledger.save(update_fields=["last_position"])
    return ledger.last_position
