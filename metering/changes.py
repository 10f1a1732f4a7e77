"""What changed since a ledger position: found by the batches that came after it, never by measuring again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from metering.models import Event, EventBatch

# A batch's rows lie together in arrival order, so the BRIN index on received_at finds them; the other two kinds have
# partial indexes. LATERAL with OFFSET 0 keeps the planner from reading the whole table instead.
CHANGED = """
WITH RECURSIVE late AS MATERIALIZED (
    SELECT id, kind, received_at, position FROM metering_eventbatch
    WHERE ((position > %(after)s AND position <= %(until)s) OR (%(unplaced)s AND position IS NULL))
      AND (first_occurred_at < %(before)s OR has_signals)
), touched AS (
    SELECT e.customer_id, e.meter_id, e.occurred_at, e.signal, e.target_id, e.subject, late.position
    FROM late, LATERAL (
        SELECT customer_id, meter_id, occurred_at, signal, target_id, subject FROM metering_event
        WHERE received_at = late.received_at AND batch_id = late.id OFFSET 0
    ) e WHERE late.kind = 'received'
    UNION ALL
    SELECT e.customer_id, e.meter_id, e.occurred_at, e.signal, e.target_id, e.subject, late.position
    FROM late JOIN metering_event e ON e.released_batch_id = late.id WHERE late.kind = 'released'
    UNION ALL
    SELECT e.customer_id, e.meter_id, e.occurred_at, e.signal, e.target_id, e.subject, late.position
    FROM late JOIN metering_event e ON e.voided_batch_id = late.id WHERE late.kind = 'corrected'
), target (named, id) AS (
    SELECT target_id, target_id FROM touched WHERE target_id IS NOT NULL
    UNION
    SELECT target.named, correction.replacement_id
    FROM target JOIN metering_eventcorrection correction ON correction.event_id = target.id
    WHERE correction.replacement_id IS NOT NULL
), changed AS (
    SELECT customer_id, meter_id, occurred_at, occurred_at AS first, position FROM touched WHERE signal IS NULL
    UNION ALL
    -- A reversal or confirmation changes what the outcome it is about was worth, however long ago that was. One that
    -- replaced the outcome named may be of another time.
    SELECT touched.customer_id, touched.meter_id, touched.occurred_at, outcome.occurred_at, position
    FROM touched JOIN target ON target.named = touched.target_id
    JOIN metering_event outcome ON outcome.id = target.id
         AND outcome.customer_id = touched.customer_id AND outcome.meter_id = touched.meter_id
    UNION ALL
    SELECT customer_id, meter_id, occurred_at, (
        SELECT min(outcome.occurred_at) FROM metering_event outcome
        WHERE outcome.customer_id = touched.customer_id AND outcome.meter_id = touched.meter_id
          AND outcome.signal IS NULL AND outcome.subject = touched.subject
    ), position FROM touched WHERE signal IS NOT NULL AND target_id IS NULL
)
SELECT customer_id, meter_id, min(first), max(occurred_at), max(position)
FROM changed
WHERE customer_id IS NOT NULL AND meter_id IS NOT NULL AND first < %(before)s
      AND (%(customers)s::bigint[] IS NULL OR customer_id = ANY(%(customers)s::bigint[]))
GROUP BY customer_id, meter_id
"""


@dataclass(frozen=True, slots=True)
class UsageChange:
    """Events of one customer and meter that were stored, released or voided after a position.

    `first_occurred_at` is of the outcome where a reversal or confirmation arrived. `position` is the last of them; None
    where a batch has none yet.
    """

    customer_id: int
    meter_id: int
    first_occurred_at: datetime
    last_occurred_at: datetime
    position: int | None


def usage_changes(
    *, after: int, until: int | None, before: datetime, customer_ids: Collection[int] | None = None
) -> list[UsageChange]:
    """Give what changed in events that occurred before an instant, by customer and meter.

    `after` and `until` are ledger positions; without `until`, batches that have no position yet count too.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            CHANGED,
            {
                "after": after,
                "until": until if until is not None else 2**62,
                "unplaced": until is None,
                "before": before,
                "customers": None if customer_ids is None else list(customer_ids),
            },
        )
        return [UsageChange(*row) for row in cursor.fetchall()]


def changed_events(
    *, customer_id: int, meter_id: int, start: datetime, end: datetime, after: int
) -> QuerySet[Event]:
    """Give the events in `[start, end)` that were stored, released or voided after a ledger position, newest first.

    `was_voided` says of each whether it no longer counts because of that.
    """

    def changed(batch: str) -> Exists:
        later = EventBatch.objects.filter(Q(position__gt=after) | Q(position=None), id=OuterRef(batch))
        return Exists(later)

    return (
        Event.objects.filter(
            customer=customer_id, meter=meter_id, occurred_at__gte=start, occurred_at__lt=end
        )
        .annotate(was_voided=changed("voided_batch_id"))
        .filter(changed("batch_id") | changed("released_batch_id") | Q(was_voided=True))
        .order_by("-occurred_at", "-id")
    )
