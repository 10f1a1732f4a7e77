"""Counting raw events again in plain Python, one at a time, with fractions: a second way beside metering.statements.

It reads rows of one customer and meter, decides for each whether it was there at a ledger position, and adds it up. It
shares no statement and no arithmetic with `measure()`; the definition of the meter is all that both read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from metering.meter_types import OncePerSubject
from metering.models import EventCorrection, Meter
from metering.outcomes import OutcomeFact, settle

# More decimals than a division keeps.
DECIMALS = 24
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


class Raw(NamedTuple):
    """One stored event that was there at the position asked for."""

    id: UUID
    occurred_at: datetime
    value: Decimal | None
    subject: str | None
    dimensions: dict[str, str]
    signal: str | None
    target_id: UUID | None


@dataclass(slots=True)
class Count:
    """What events come to: the quantity converted and rounded, the peaks of windows, the values of single events."""

    quantity: Fraction
    values: list[Fraction] = field(default_factory=list)
    windows: list[Fraction] | None = None
    groups: dict[tuple[str, ...], Count] = field(default_factory=dict)


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
    whole = _Tally(meter, start, end, zone, with_values=with_values)
    parts: dict[tuple[str, ...], _Tally] = {}
    for event in _counted(meter, customer_id, start, end, as_of):
        whole.add(event)
        if group_by:
            group = tuple(event.dimensions.get(name, "") for name in group_by)
            if group not in parts:
                parts[group] = _Tally(meter, start, end, zone, with_values=with_values)
            parts[group].add(event)
    count = whole.count()
    count.groups = {group: parts[group].count() for group in sorted(parts)}
    return count


# ---- which events count --------------------------------------------------------------------------


def _counted(meter: Meter, customer_id: int, start: datetime, end: datetime, as_of: int) -> Iterator[Raw]:
    if meter.is_outcome:
        yield from _outcomes(meter, customer_id, start, end, as_of)
        return
    since = None if meter.type == "weighted_sum" else start
    for event in _there(meter.pk, customer_id, since, end, as_of):
        if _fits(meter, event):
            yield event


def _there(
    meter_id: int, customer_id: int, start: datetime | None, end: datetime | None, as_of: int
) -> Iterator[Raw]:
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
                    yield Raw(row[0], row[1], row[2], row[3], _read_dimensions(row[4]), row[5], row[6])


def _read_dimensions(stored: Any) -> dict[str, str]:
    if isinstance(stored, str):
        import json

        stored = json.loads(stored)
    return stored or {}


def _fits(meter: Meter, event: Raw) -> bool:
    if any(event.dimensions.get(name) not in values for name, values in meter.filters.items()):
        return False
    if meter.type == "count":
        return True
    if meter.type == "unique":
        return bool(_thing(meter, event)) if meter.value_dimension else event.subject is not None
    return event.value is not None


def _thing(meter: Meter, event: Raw) -> str | None:
    return event.dimensions.get(meter.value_dimension) if meter.value_dimension else event.subject


def _outcomes(meter: Meter, customer_id: int, start: datetime, end: datetime, as_of: int) -> Iterator[Raw]:
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


# ---- what they come to ---------------------------------------------------------------------------


class _Tally:
    """Adds up events one by one, in the order of their times."""

    def __init__(self, meter: Meter, start: datetime, end: datetime, zone: str, *, with_values: bool) -> None:
        self.meter, self.start, self.end, self.zone = meter, start, end, zone
        self.with_values = with_values
        self.values: list[Fraction] = []
        self.number = 0
        self.sum = Fraction(0)
        self.best: Fraction | None = None
        self.peaks: dict[object, Fraction] = {}
        self.ranked: list[Fraction] = []
        self.things: set[str | None] = set()
        self.level = Fraction(0)
        self.last_at: datetime | None = None
        self.held = Fraction(0)

    def add(self, event: Raw) -> None:
        value = Fraction(1 if event.value is None else event.value)
        if self.meter.type == "weighted_sum":
            self._hold(event.occurred_at, value)
            return
        self.number += 1
        self.sum += value
        if self.with_values:
            self.values.append(value)
        match self.meter.type:
            case "max" if self.meter.window:
                place = _local_window(event.occurred_at, self.meter.window, self.zone)
                self.peaks[place] = max(self.peaks.get(place, value), value)
            case "max":
                self.best = value if self.best is None else max(self.best, value)
            case "min":
                self.best = value if self.best is None else min(self.best, value)
            case "latest":
                self.best = value
            case "percentile":
                self.ranked.append(value)
            case "unique":
                self.things.add(_thing(self.meter, event))

    def count(self) -> Count:
        values = [self._converted(value, Fraction(1)) for value in self.values]
        if self.meter.window:
            peaks = [self._rounded(self._converted(peak, Fraction(1))) for peak in self.peaks.values()]
            return Count(sum(peaks, Fraction(0)), values, peaks)
        total, over = self._total()
        return Count(self._rounded(self._converted(total, over)), values)

    def _total(self) -> tuple[Fraction, Fraction]:
        one = Fraction(1)
        match self.meter.type:
            case "count" | "sum":
                return self.sum, one
            case "max" | "min" | "latest":
                return self.best or Fraction(0), one
            case "average":
                return self.sum, Fraction(max(self.number, 1))
            case "unique":
                return Fraction(len(self.things)), one
            case "percentile":
                if not self.ranked:
                    return Fraction(0), one
                rank = math.ceil(Fraction(self.meter.percentile or 0) * len(self.ranked) / 100)
                return sorted(self.ranked)[rank - 1], one
            case "weighted_sum":
                self._hold(self.end, Fraction(0))
                return self.held, Fraction((self.end - self.start) // timedelta(microseconds=1))
        raise ValueError(f"{self.meter.type} is not a type of meter.")

    def _hold(self, now: datetime, change: Fraction) -> None:
        """Add up the level times the time it was held inside the period, then change it."""
        if self.last_at is not None:
            until = now
            if self.meter.timeout_hours is not None:
                timeout = timedelta(microseconds=int(self.meter.timeout_hours * 3_600_000_000))
                until = min(now, self.last_at + timeout)
            lasted = min(until, self.end) - max(self.last_at, self.start)
            if lasted > timedelta(0):
                self.held += self.level * (lasted // timedelta(microseconds=1))
            if until < now or (self.meter.timeout_hours is not None and now - self.last_at >= timeout):
                self.level = Fraction(0)
        self.level += change
        self.last_at = now

    def _converted(self, amount: Fraction, over: Fraction) -> Fraction:
        divisor = over * Fraction(self.meter.divisor)
        quantity = amount * Fraction(self.meter.factor) / divisor
        return quantity if divisor == 1 else _to_decimals(quantity, DECIMALS, "half_up")

    def _rounded(self, quantity: Fraction) -> Fraction:
        if not self.meter.rounding_function:
            return quantity
        return _to_decimals(quantity, self.meter.rounding_digits, self.meter.rounding_function)


def _to_decimals(quantity: Fraction, digits: int, function: str) -> Fraction:
    scaled = quantity * Fraction(10) ** digits
    match function:
        case "up":
            whole = math.ceil(scaled)
        case "down":
            whole = math.floor(scaled)
        case _:
            whole = math.floor(abs(scaled) + Fraction(1, 2)) * (-1 if scaled < 0 else 1)
    return Fraction(whole) / Fraction(10) ** digits


def _local_window(instant: datetime, window: str, zone: str) -> object:
    local = instant.astimezone(ZoneInfo(zone))
    if window == "day":
        return local.date()
    # The offset tells apart the two hours that a clock set back shows alike.
    return local.replace(tzinfo=None, minute=0, second=0, microsecond=0), local.utcoffset()
