"""Where each accepted event stands: billed, not yet billed, free of charge or voided, to the event.

Counted by the time events occurred. Which times have a price and what was billed comes from billing as segments;
whether an event is among what a segment speaks of depends on when it was placed in the batch ledger. Whether an outcome
counts depends on other events too, and it is billed where it settles, so billing says of each where it stands.
"""

# ruff: noqa: S608  the text of a statement stands in this module; whatever comes from outside is a parameter

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection

from metering.fragments import counted_events
from metering.models import Event, Meter

# Before the first position of the ledger, and after the last: a batch that has none yet stands there.
FIRST_POSITION, LAST_POSITION = -1, 2**63 - 1


class Standing(StrEnum):
    """What became of an accepted event. Exactly one holds at any time."""

    BILLED = "billed"
    NOT_YET_BILLED = "not_yet_billed"
    FREE = "free"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Segment:
    """A time `[first, last)` of a customer and meter that has a price, and a stretch of the ledger `(after, upto]`.

    `standing` holds for the events of that time that were placed in that stretch; FREE is what staff waived.
    An event that was voided in a stretch that is not yet billed has still to be taken back. `invoices` is how many
    invoices billed the events: more than one must never be.
    """

    customer_id: int
    meter_id: int
    first: datetime
    last: datetime
    standing: Standing = Standing.NOT_YET_BILLED
    after: int = FIRST_POSITION
    upto: int = LAST_POSITION
    invoices: int = 0


class OutcomeStanding(StrEnum):
    """Where an event on an outcome meter stands; all but the first two are free of charge.

    A signal reverses or confirms and is no outcome itself. What was reversed, repeats its subject or has no evidence so
    far does not count. UNPRICED settles when no plan prices the meter.
    """

    BILLED = "billed"
    NOT_YET_BILLED = "not_yet_billed"
    WAIVED = "free"
    UNPRICED = "unpriced"
    SIGNAL = "signal"
    REVERSED = "reversed"
    REPEATED = "repeated"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class StandingOutcome:
    """Where one outcome stands, voided ones too. `to_take_back`: an invoice counted it and nothing settled that since.

    `invoices` is how many invoices of one time count it: more than one must never be.
    """

    event_id: UUID
    standing: OutcomeStanding
    to_take_back: bool = False
    invoices: int = 0


@dataclass(frozen=True, slots=True)
class Standings:
    """How many accepted events of a meter stand where. `difference` is not 0 when one is missing or billed twice.

    `waived`, `signals`, `reversed`, `repeated` and `unproven` are among the free: staff decided not to bill them, or
    see OutcomeStanding. `voided_after_billing` are among the voided, `reversed_after_billing` among the reversed,
    repeated and unproven: an invoice counted them, and a later one has to take them back.
    """

    meter_id: int
    customer_id: int | None
    accepted: int
    billed: int
    not_yet_billed: int
    free: int
    voided: int
    waived: int
    voided_after_billing: int
    billed_twice: int
    signals: int = 0
    reversed: int = 0
    repeated: int = 0
    unproven: int = 0
    reversed_after_billing: int = 0

    @property
    def difference(self) -> int:
        stands = self.billed + self.not_yet_billed + self.free + self.voided
        return abs(self.accepted - stands) + self.billed_twice


# Batches placed after the lowest watermark, or not placed. The others are below all of them.
LATE = """
(SELECT id, coalesce(position, 9223372036854775807) AS position FROM metering_eventbatch
 WHERE (position IS NULL OR position > %(lowest)s) AND first_occurred_at < %(end)s AND last_occurred_at >= %(start)s)
"""
WHICH = """
e.meter_id IS NOT NULL AND e.customer_id IS NOT NULL AND e.occurred_at >= %(start)s AND e.occurred_at < %(end)s
AND (%(customer)s::bigint IS NULL OR e.customer_id = %(customer)s)
"""
SEGMENTS = """
WITH segment AS MATERIALIZED (
    SELECT * FROM unnest(%(customers)s::bigint[], %(meters)s::bigint[], %(firsts)s::timestamptz[],
                         %(lasts)s::timestamptz[], %(afters)s::bigint[], %(uptos)s::bigint[], %(standings)s::text[],
                         %(invoices)s::int[])
        AS segment (customer_id, meter_id, first, last, after, upto, standing, invoices)
), outcome AS MATERIALIZED (
    SELECT * FROM unnest(%(outcome_ids)s::uuid[], %(outcome_standings)s::text[], %(outcomes_back)s::boolean[],
                         %(outcome_invoices)s::int[])
        AS outcome (id, standing, to_take_back, invoices)
)
"""
EVENTS = f"""
FROM metering_event e
LEFT JOIN {LATE} own ON own.id = e.batch_id
LEFT JOIN {LATE} released ON released.id = e.released_batch_id
LEFT JOIN {LATE} voided ON voided.id = e.voided_batch_id
LEFT JOIN segment ON segment.customer_id = e.customer_id AND segment.meter_id = e.meter_id
    AND e.occurred_at >= segment.first AND e.occurred_at < segment.last
    AND greatest(coalesce(own.position, 0), coalesce(released.position, 0)) > segment.after
    AND greatest(coalesce(own.position, 0), coalesce(released.position, 0)) <= segment.upto
LEFT JOIN outcome ON e.meter_id = ANY(%(outcome_meters)s::bigint[]) AND outcome.id = e.id
LEFT JOIN segment leaving ON e.voided_batch_id IS NOT NULL
    AND leaving.customer_id = e.customer_id AND leaving.meter_id = e.meter_id
    AND e.occurred_at >= leaving.first AND e.occurred_at < leaving.last
    AND coalesce(voided.position, 0) > leaving.after AND coalesce(voided.position, 0) <= leaving.upto,
LATERAL (SELECT CASE WHEN e.signal IS NOT NULL THEN 'signal'
                     WHEN NOT {{counts}} THEN 'left_out'
                     WHEN e.meter_id <> ALL(%(outcome_meters)s::bigint[]) THEN coalesce(segment.standing, 'unpriced')
                     WHEN outcome.id IS NOT NULL THEN outcome.standing
                     WHEN segment.standing IS NOT NULL THEN 'not_yet_billed' -- came while this was counted
                     ELSE 'unpriced' END AS standing) event
WHERE {WHICH}
"""
STANDS = {
    Standing.BILLED: "e.voided_batch_id IS NULL AND event.standing = 'billed'",
    Standing.NOT_YET_BILLED: "e.voided_batch_id IS NULL AND event.standing = 'not_yet_billed'",
    Standing.FREE: "e.voided_batch_id IS NULL AND event.standing NOT IN ('billed', 'not_yet_billed')",
    Standing.VOIDED: "e.voided_batch_id IS NOT NULL",
}
WAIVED = "e.voided_batch_id IS NULL AND event.standing = 'free'"
# Placed where it was settled, and voided where nothing is settled.
TO_TAKE_BACK = """
e.voided_batch_id IS NOT NULL AND CASE WHEN e.meter_id = ANY(%(outcome_meters)s::bigint[]) THEN outcome.to_take_back
    ELSE event.standing IN ('billed', 'free') AND leaving.standing = 'not_yet_billed' END
"""
TWICE = """
e.voided_batch_id IS NULL AND event.standing = 'billed' AND coalesce(outcome.invoices, segment.invoices) > 1
"""
UNCOUNTED = [
    f"e.voided_batch_id IS NULL AND event.standing = '{standing}'"
    for standing in (
        OutcomeStanding.SIGNAL,
        OutcomeStanding.REVERSED,
        OutcomeStanding.REPEATED,
        OutcomeStanding.UNPROVEN,
    )
]
REVERSED_TO_TAKE_BACK = """
e.voided_batch_id IS NULL AND event.standing IN ('reversed', 'repeated', 'unproven') AND outcome.to_take_back
"""


def count_standings(
    segments: Sequence[Segment],
    outcomes: Sequence[StandingOutcome] = (),
    *,
    start: datetime,
    end: datetime,
    customer_id: int | None = None,
    by_customer: bool = False,
) -> list[Standings]:
    """Count the accepted events that occurred in `[start, end)` by where they stand, for each meter.

    `segments` say what has a price and what is billed; those of one customer and meter do not overlap. `outcomes` say
    where each outcome stands that occurred then. One statement, so of one moment; it counts the accepted events by
    themselves as well. An event that its meter's filters leave out is free of charge.
    """
    text, shape = _events(segments, outcomes, start=start, end=end, customer_id=customer_id)
    customer = "e.customer_id" if by_customer else "0::bigint"
    kinds = [*(STANDS[standing] for standing in Standing), WAIVED, TO_TAKE_BACK, TWICE]
    kinds += [*UNCOUNTED, REVERSED_TO_TAKE_BACK]
    counts = ", ".join(f"count(*) FILTER (WHERE {kind}) AS n{place}" for place, kind in enumerate(kinds))
    shown = ", ".join(f"coalesce(n{place}, 0)" for place in range(len(kinds)))
    statement = f"""
        {SEGMENTS}, standing AS (
            SELECT e.meter_id, {customer} AS customer_id, {counts} {text} GROUP BY 1, 2
        ), accepted AS (
            SELECT e.meter_id, {customer} AS customer_id, count(*) AS events
            FROM metering_event e WHERE {WHICH} GROUP BY 1, 2
        )
        SELECT meter_id, nullif(customer_id, 0), coalesce(events, 0), {shown}
        FROM accepted FULL JOIN standing USING (meter_id, customer_id) ORDER BY meter_id, customer_id
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, shape)
        return [Standings(*row) for row in cursor.fetchall()]


def events_standing(
    segments: Sequence[Segment],
    outcomes: Sequence[StandingOutcome],
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
    text, shape = _events(segments, outcomes, start=start, end=end, customer_id=customer_id)
    statement = f"""
        {SEGMENTS} SELECT e.id {text} AND e.meter_id = %(meter)s AND {STANDS[standing]}
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
    segments: Sequence[Segment],
    outcomes: Sequence[StandingOutcome],
    *,
    start: datetime,
    end: datetime,
    customer_id: int | None,
) -> tuple[str, dict[str, Any]]:
    """Give FROM and WHERE of the accepted events, each with its segment, and the parameters."""
    meters = list(Meter.objects.all())
    marks = [mark for each in segments for mark in (each.after, each.upto)]
    shape: dict[str, Any] = {
        "start": start,
        "end": end,
        "customer": customer_id,
        "lowest": min((mark for mark in marks if mark != FIRST_POSITION), default=LAST_POSITION),
        "customers": [each.customer_id for each in segments],
        "meters": [each.meter_id for each in segments],
        "firsts": [each.first for each in segments],
        "lasts": [each.last for each in segments],
        "afters": [each.after for each in segments],
        "uptos": [each.upto for each in segments],
        "standings": [each.standing.value for each in segments],
        "invoices": [each.invoices for each in segments],
        "outcome_meters": [meter.pk for meter in meters if meter.is_outcome],
        "outcome_ids": [each.event_id for each in outcomes],
        "outcome_standings": [each.standing.value for each in outcomes],
        "outcomes_back": [each.to_take_back for each in outcomes],
        "outcome_invoices": [each.invoices for each in outcomes],
    }
    counts = ["true"]
    for meter in meters:
        if not meter.filters:
            continue
        counted = counted_events(meter)
        names = [f"filter_{meter.pk}_{place}" for place in range(len(counted.parameters))]
        condition = counted.text % tuple(f"%({name})s" for name in names)
        counts.append(f"(e.meter_id <> {meter.pk:d} OR (true{condition}))")
        shape |= dict(zip(names, counted.parameters, strict=True))
    return EVENTS.format(counts=f"({' AND '.join(counts)})"), shape
