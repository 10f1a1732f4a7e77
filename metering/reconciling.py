"""Accounting for every event: what arrived against what is stored, and where each accepted event stands.

Two statements over two times, both to the event. What arrived is counted by the time of receipt, from the batch ledger,
which knows every outcome without a row for each; that the rows are there is checked batch by batch. Where accepted
events stand is counted by the time they occurred, as invoices count. Nothing is written for it when events arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection

from customers.models import Customer
from metering.models import Event, Meter
from metering.statements import counted_events

SHOWN_MISMATCHES = 20


class Standing(StrEnum):
    """What became of an accepted event. Exactly one holds at any time."""

    BILLED = "billed"
    NOT_YET_BILLED = "not_yet_billed"
    FREE = "free"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Intake:
    """What arrived from one source, by outcome on arrival. `released` of the unmatched were accepted since.

    Of one customer the ledger does not say how many events were repeated or refused: `duplicates` and `rejected` are
    None then, and so is `received`. `source` is None over all sources.
    """

    source: str | None
    received: int | None
    accepted: int
    duplicates: int | None
    conflicts: int
    unmatched: int
    rejected: int | None
    released: int

    @property
    def difference(self) -> int:
        if self.received is None or self.duplicates is None or self.rejected is None:
            return 0
        return (
            self.received - self.accepted - self.duplicates - self.conflicts - self.unmatched - self.rejected
        )


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A batch whose rows are not as many as the ledger says; `ledger` is 0 for rows without a batch."""

    batch: UUID
    source: str
    ledger: int
    rows: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A time `[first, last)` in which a customer's usage of a meter has a price.

    `watermark` is the ledger position up to which an invoice billed it, None while none did. `second` is that of
    another invoice for the same time, which must never be.
    """

    customer_id: int
    meter_id: int
    first: datetime
    last: datetime
    watermark: int | None
    second: int | None = None


@dataclass(frozen=True, slots=True)
class Standings:
    """How many accepted events of a meter stand where. `difference` is not 0 when an event was billed twice.

    `voided_after_billing` are among the voided: an invoice counted them, and a later one takes them back.
    """

    meter_id: int
    customer_id: int | None
    accepted: int
    billed: int
    not_yet_billed: int
    free: int
    voided: int
    voided_after_billing: int
    billed_twice: int

    @property
    def difference(self) -> int:
        stands = self.billed + self.billed_twice + self.not_yet_billed + self.free + self.voided
        return self.accepted - stands


# ---- what arrived --------------------------------------------------------------------------------

ARRIVED = """
SELECT batch.source, sum(accepted)::bigint, sum(duplicates)::bigint, sum(conflicts)::bigint, sum(unmatched)::bigint,
       sum(rejected)::bigint
FROM metering_eventbatch batch
WHERE received_at >= %(start)s AND received_at < %(end)s AND kind = 'received'
GROUP BY batch.source ORDER BY batch.source
"""
RELEASED = """
SELECT source, count(*) FROM metering_event
WHERE released_batch_id IS NOT NULL AND received_at >= %(start)s AND received_at < %(end)s GROUP BY source
"""
ARRIVED_OF_CUSTOMER = """
SELECT e.source, count(*) FILTER (WHERE e.meter_code IS NULL), count(*) FILTER (WHERE e.meter_code IS NOT NULL),
       count(*) FILTER (WHERE e.released_batch_id IS NOT NULL)
FROM metering_event e
JOIN metering_eventbatch batch ON batch.id = e.batch_id AND batch.kind = 'received'
WHERE e.received_at >= %(start)s AND e.received_at < %(end)s
  AND (e.customer_id = %(customer)s OR e.customer_code = %(code)s)
GROUP BY e.source
"""
CONFLICTS_OF_CUSTOMER = """
SELECT source, count(*) FROM metering_eventconflict
WHERE received_at >= %(start)s AND received_at < %(end)s AND offered ->> 'customer' = %(code)s GROUP BY source
"""
MISMATCHES = """
WITH received AS (
    SELECT batch_id, count(*) AS rows FROM metering_event
    WHERE received_at >= %(start)s AND received_at < %(end)s GROUP BY batch_id
), named AS (
    SELECT b.id, count(*) AS rows FROM metering_eventbatch b JOIN metering_event e ON e.released_batch_id = b.id
    WHERE b.kind = 'released' AND b.received_at >= %(start)s AND b.received_at < %(end)s GROUP BY b.id
    UNION ALL
    SELECT b.id, count(*) FROM metering_eventbatch b JOIN metering_event e ON e.voided_batch_id = b.id
    WHERE b.kind = 'corrected' AND b.received_at >= %(start)s AND b.received_at < %(end)s GROUP BY b.id
), checked AS (
    SELECT coalesce(batch.id, received.batch_id) AS id, coalesce(batch.source, '') AS source,
           coalesce(batch.stored - batch.pruned, 0) AS ledger,
           coalesce(received.rows, 0) + coalesce(named.rows, 0) AS rows
    FROM (SELECT * FROM metering_eventbatch WHERE received_at >= %(start)s AND received_at < %(end)s) batch
    FULL JOIN received ON received.batch_id = batch.id
    LEFT JOIN named ON named.id = batch.id
)
SELECT id, source, ledger, rows, sum(abs(ledger - rows)) OVER ()::bigint FROM checked WHERE ledger <> rows
ORDER BY id LIMIT %(shown)s
"""


def count_arrivals(start: datetime, end: datetime) -> list[Intake]:
    """Count what arrived in `[start, end)` by outcome and source, from the ledger."""
    shape: dict[str, Any] = {"start": start, "end": end}
    with connection.cursor() as cursor:
        cursor.execute(RELEASED, shape)
        released = dict(cursor.fetchall())
        cursor.execute(ARRIVED, shape)
        rows = cursor.fetchall()
    return [
        Intake(
            source=source,
            received=accepted + duplicates + conflicts + unmatched + rejected,
            accepted=accepted,
            duplicates=duplicates,
            conflicts=conflicts,
            unmatched=unmatched,
            rejected=rejected,
            released=released.get(source, 0),
        )
        for source, accepted, duplicates, conflicts, unmatched, rejected in rows
    ]


def count_arrivals_of(customer: Customer, start: datetime, end: datetime) -> list[Intake]:
    """Count what arrived for one customer in `[start, end)`, from the stored events and conflicts."""
    shape: dict[str, Any] = {"start": start, "end": end, "customer": customer.pk, "code": customer.code}
    with connection.cursor() as cursor:
        cursor.execute(CONFLICTS_OF_CUSTOMER, shape)
        conflicts = dict(cursor.fetchall())
        cursor.execute(ARRIVED_OF_CUSTOMER, shape)
        rows = {source: counts for source, *counts in cursor.fetchall()}
    found = []
    for source in sorted(rows.keys() | conflicts.keys()):
        accepted, unmatched, released = rows.get(source, (0, 0, 0))
        refused = conflicts.get(source, 0)
        found.append(Intake(source, None, accepted, None, refused, unmatched, None, released))
    return found


def find_mismatches(start: datetime, end: datetime) -> tuple[int, list[Mismatch]]:
    """Compare rows and ledger of every batch received in `[start, end)`.

    Give by how many rows they differ altogether, and the first batches that do: 0 and nothing when all is well.
    """
    with connection.cursor() as cursor:
        cursor.execute(MISMATCHES, {"start": start, "end": end, "shown": SHOWN_MISMATCHES})
        rows = cursor.fetchall()
    return (rows[0][4] if rows else 0), [Mismatch(*row[:4]) for row in rows]


# ---- where accepted events stand -----------------------------------------------------------------

# Batches placed after the lowest watermark, or not placed. The others are below all of them.
LATE = """
(SELECT id, coalesce(position, 9223372036854775807) AS position FROM metering_eventbatch
 WHERE (position IS NULL OR position > %(lowest)s) AND first_occurred_at < %(end)s AND last_occurred_at >= %(start)s)
"""
EVENTS = f"""
FROM metering_event e
LEFT JOIN unnest(%(customers)s::bigint[], %(meters)s::bigint[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[],
                 %(watermarks)s::bigint[], %(seconds)s::bigint[])
    AS segment (customer_id, meter_id, first, last, watermark, second)
    ON segment.customer_id = e.customer_id AND segment.meter_id = e.meter_id
    AND e.occurred_at >= segment.first AND e.occurred_at < segment.last
LEFT JOIN {LATE} own ON own.id = e.batch_id
LEFT JOIN {LATE} released ON released.id = e.released_batch_id
LEFT JOIN {LATE} voided ON voided.id = e.voided_batch_id,
LATERAL (SELECT greatest(coalesce(own.position, 0), coalesce(released.position, 0)) AS position,
                {{counts}} AS counts) event,
LATERAL (SELECT event.counts AND coalesce(event.position <= segment.watermark, false) AS billed,
                event.counts AND coalesce(event.position <= segment.second, false) AS billed_twice,
                event.counts AND segment.first IS NOT NULL AS priced) stand
WHERE e.meter_id IS NOT NULL AND e.customer_id IS NOT NULL
  AND e.occurred_at >= %(start)s AND e.occurred_at < %(end)s
"""
STANDS = {
    Standing.VOIDED: "e.voided_batch_id IS NOT NULL",
    Standing.BILLED: "e.voided_batch_id IS NULL AND stand.billed",
    Standing.NOT_YET_BILLED: "e.voided_batch_id IS NULL AND stand.priced AND NOT stand.billed",
    Standing.FREE: "e.voided_batch_id IS NULL AND NOT stand.priced",
}


def count_standings(
    segments: Sequence[Segment],
    *,
    start: datetime,
    end: datetime,
    customer_id: int | None = None,
    by_customer: bool = False,
) -> list[Standings]:
    """Count the accepted events that occurred in `[start, end)` by where they stand, for each meter.

    `segments` say what has a price and what is billed; those of one customer and meter do not overlap. One query.
    An event that its meter's filters leave out is free of charge.
    """
    text, shape = _events(segments, start=start, end=end, customer_id=customer_id)
    customer = "e.customer_id" if by_customer else "NULL::bigint"
    columns = ", ".join(f"count(*) FILTER (WHERE {STANDS[standing]})" for standing in Standing)
    statement = f"""
        SELECT e.meter_id, {customer}, count(*), {columns},
               count(*) FILTER (WHERE e.voided_batch_id IS NOT NULL AND stand.billed
                                AND coalesce(voided.position, 0) > segment.watermark),
               count(*) FILTER (WHERE e.voided_batch_id IS NULL AND stand.billed_twice)
        {text} GROUP BY 1, 2 ORDER BY 1, 2
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, shape)
        return [Standings(*row) for row in cursor.fetchall()]


def events_standing(
    segments: Sequence[Segment],
    standing: Standing,
    *,
    meter: Meter,
    start: datetime,
    end: datetime,
    customer_id: int | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> list[Event]:
    """Give the events behind one of the counts, oldest first, a page at a time.

    `after` is the time and id of the last event seen; None begins at the first.
    """
    text, shape = _events(segments, start=start, end=end, customer_id=customer_id)
    statement = f"""
        SELECT e.id {text} AND e.meter_id = %(meter)s AND {STANDS[standing]}
          AND (%(after_time)s::timestamptz IS NULL
               OR (e.occurred_at, e.id) > (%(after_time)s::timestamptz, %(after_id)s::uuid))
        ORDER BY e.occurred_at, e.id LIMIT %(limit)s
    """
    after_time, after_id = after or (None, None)
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            shape | {"meter": meter.pk, "after_time": after_time, "after_id": after_id, "limit": limit},
        )
        ids = [row[0] for row in cursor.fetchall()]
    return list(
        Event.objects.filter(pk__in=ids).select_related("meter", "customer").order_by("occurred_at", "id")
    )


def _events(
    segments: Sequence[Segment], *, start: datetime, end: datetime, customer_id: int | None
) -> tuple[str, dict[str, Any]]:
    """Give FROM and WHERE of the accepted events, each with its segment, and the parameters."""
    watermarks = [each.watermark for each in segments if each.watermark is not None]
    shape: dict[str, Any] = {
        "start": start,
        "end": end,
        "lowest": min(watermarks, default=2**63 - 1),
        "customers": [each.customer_id for each in segments],
        "meters": [each.meter_id for each in segments],
        "firsts": [each.first for each in segments],
        "lasts": [each.last for each in segments],
        "watermarks": [each.watermark for each in segments],
        "seconds": [each.second for each in segments],
    }
    counts = ["true"]
    for meter in Meter.objects.exclude(filters={}):
        counted = counted_events(meter)
        names = [f"filter_{meter.pk}_{place}" for place in range(len(counted.parameters))]
        condition = counted.text % tuple(f"%({name})s" for name in names)
        counts.append(f"(e.meter_id <> {meter.pk:d} OR (true{condition}))")
        shape |= dict(zip(names, counted.parameters, strict=True))
    text = EVENTS.format(counts=" AND ".join(counts))
    if customer_id is not None:
        text += " AND e.customer_id = %(customer)s"
        shape["customer"] = customer_id
    return text, shape
