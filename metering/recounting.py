"""Counting raw events again in plain Python, one at a time, with fractions: a second way beside metering.statements.

It reads rows of one customer and meter, decides for each whether it was there at a ledger position, and adds it up. It
shares no statement and no arithmetic with `measure()`; the definition of the meter is all that both read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from metering.meter_types import OncePerSubject
from metering.models import EventCorrection, Meter
from metering.outcomes import OutcomeFact, settle
from metering.tallies import Count, RawEvent, Tally, counted_thing

ROWS = 2_000

RAW = """
SELECT e.id, e.occurred_at, e.value, e.subject, e.dimensions, e.signal, e.target_id,
       own.id IS NOT NULL, own.position,
       e.released_batch_id IS NOT NULL, released.position,
       e.voided_batch_id IS NOT NULL, voided.position
FROM metering_event e
LEFT JOIN metering_eventbatch own ON own.id = e.batch_id
LEFT JOIN metering_eventbatch released ON released.id = e.released_batch_id
LEFT JOIN metering_eventbatch voided ON voided.id = e.voided_batch_id
WHERE e.customer_id = %(customer)s AND e.meter_id = %(meter)s
  AND (%(start)s::timestamptz IS NULL OR e.occurred_at >= %(start)s)
  AND (%(end)s::timestamptz IS NULL OR e.occurred_at < %(end)s)
ORDER BY e.occurred_at, e.id
"""


def recount(
    meter: Meter,
    *,
    customer_id: int,
    start: datetime,
    end: datetime,
    zone: str,
    as_of: int,
    group_by: Sequence[str] = (),
    with_values: bool = False,
) -> Count:
    """Count one customer's events of `[start, end)` as they were at a ledger position; groups by dimensions too.

    Memory does not grow with the events, but for percentiles, different subjects and values asked for.
    """
    whole = Tally(meter, start, end, zone, with_values=with_values)
    parts: dict[tuple[str, ...], Tally] = {}
    for event in _counted(meter, customer_id, start, end, as_of):
        whole.add(event)
        if group_by:
            group = tuple(event.dimensions.get(name, "") for name in group_by)
            if group not in parts:
                parts[group] = Tally(meter, start, end, zone, with_values=with_values)
            parts[group].add(event)
    count = whole.count()
    count.groups = {group: parts[group].count() for group in sorted(parts)}
    return count


def _counted(
    meter: Meter, customer_id: int, start: datetime, end: datetime, as_of: int
) -> Iterator[RawEvent]:
    if meter.is_outcome:
        yield from _outcomes(meter, customer_id, start, end, as_of)
        return
    since = None if meter.type == "weighted_sum" else start
    for event in _there(meter.pk, customer_id, since, end, as_of):
        if _fits(meter, event):
            yield event


def _there(
    meter_id: int, customer_id: int, start: datetime | None, end: datetime | None, as_of: int
) -> Iterator[RawEvent]:
    """Give the events that were stored and not yet voided at a position, oldest first."""
    shape = {"customer": customer_id, "meter": meter_id, "start": start, "end": end}
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(RAW, shape)
        while rows := cursor.fetchmany(ROWS):
            for row in rows:
                known, own, was_released, released, was_voided, voided = row[7:]
                stored = not known or (own is not None and own <= as_of)
                matched = not was_released or (released is not None and released <= as_of)
                gone = was_voided and voided is not None and voided <= as_of
                if stored and matched and not gone:
                    yield RawEvent(row[0], row[1], row[2], row[3], _read_dimensions(row[4]), row[5], row[6])


def _read_dimensions(stored: Any) -> dict[str, str]:
    if isinstance(stored, str):
        import json

        stored = json.loads(stored)
    return stored or {}


def _fits(meter: Meter, event: RawEvent) -> bool:
    if any(event.dimensions.get(name) not in values for name, values in meter.filters.items()):
        return False
    if meter.type == "count":
        return True
    if meter.type == "unique":
        return bool(counted_thing(meter, event)) if meter.value_dimension else event.subject is not None
    return event.value is not None


def _outcomes(
    meter: Meter, customer_id: int, start: datetime, end: datetime, as_of: int
) -> Iterator[RawEvent]:
    """Give the outcomes that hold and settle in the period, in the order in which they settle."""
    events = {
        event.id: event
        for event in _there(meter.pk, customer_id, None, None, as_of)
        if event.signal is not None or (event.occurred_at < end and _fits(meter, event))
    }
    worked_at: dict[tuple[int, str], datetime] | None = None
    if meter.evidence_meter_id is not None:
        worked_at = {}
        for event in _there(meter.evidence_meter_id, customer_id, None, None, as_of):
            if event.subject is not None:
                worked_at.setdefault((customer_id, event.subject), event.occurred_at)
    once = OncePerSubject(meter.once_per_subject)

    def in_period(customer: int, at: datetime) -> object:
        """Set this period apart: those that settle in another take nobody's place in it."""
        return start <= at < end

    settled = settle(
        [
            OutcomeFact(
                event.id,
                customer_id,
                event.occurred_at,
                event.subject,
                event.value,
                event.signal,
                event.target_id,
            )
            for event in events.values()
        ],
        once=once,
        window=timedelta(microseconds=int((meter.verification_hours or 0) * 3_600_000_000)),
        replaced={
            event: replacement
            for event, replacement in EventCorrection.objects.filter(customer=customer_id).values_list(
                "event_id", "replacement_id"
            )
            if replacement is not None
        },
        worked_at=worked_at,
        period_of=in_period if once is OncePerSubject.PERIOD else None,
    )
    for each in sorted(settled, key=lambda s: (s.settles_at, s.fact.occurred_at, s.fact.id)):
        if each.counts and start <= each.settles_at < end:
            yield events[each.fact.id]
