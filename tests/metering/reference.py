"""A slow second way to measure, in plain Python with fractions, to compare the database with."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from metering.models import Meter


@dataclass(frozen=True)
class Fact:
    """One event as the reference sees it. `id` breaks ties as the primary key does."""

    id: str
    occurred_at: datetime
    value: Decimal | None = None
    subject: str | None = None
    dimensions: tuple[tuple[str, str], ...] = ()


def slow_total(meter: Meter, facts: Sequence[Fact], *, start: datetime, end: datetime, zone: str) -> Fraction:
    """Give the total of one customer's facts before conversion and rounding; zero when none counts."""
    counted = [fact for fact in facts if _counts(meter, fact) and fact.occurred_at < end]
    inside = sorted(
        (fact for fact in counted if fact.occurred_at >= start), key=lambda fact: (fact.occurred_at, fact.id)
    )
    values = [Fraction(fact.value) for fact in inside if fact.value is not None]
    if meter.type == "weighted_sum":
        return _level(meter, counted, start, end)
    if not inside:
        return Fraction(0)
    if meter.window:
        peaks: dict[object, Fraction] = {}
        for fact in inside:
            assert fact.value is not None
            place = _local_window(fact.occurred_at, meter.window, zone)
            peaks[place] = max(peaks.get(place, Fraction(fact.value)), Fraction(fact.value))
        return sum(peaks.values(), Fraction(0))
    match meter.type:
        case "count":
            return Fraction(sum(Fraction(1 if fact.value is None else fact.value) for fact in inside))
        case "sum":
            return sum(values, Fraction(0))
        case "max":
            return max(values)
        case "min":
            return min(values)
        case "latest":
            return values[-1]
        case "average":
            return sum(values, Fraction(0)) / len(values)
        case "unique":
            return Fraction(len({_thing(meter, fact) for fact in inside}))
        case "percentile":
            assert meter.percentile is not None
            rank = math.ceil(Fraction(meter.percentile) * len(values) / 100)
            return sorted(values)[rank - 1]
    raise AssertionError(meter.type)


def by_dimension(facts: Sequence[Fact], name: str) -> dict[str, list[Fact]]:
    groups: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[dict(fact.dimensions).get(name, "")].append(fact)
    return groups


def _counts(meter: Meter, fact: Fact) -> bool:
    dimensions = dict(fact.dimensions)
    if any(dimensions.get(name) not in values for name, values in meter.filters.items()):
        return False
    if meter.type == "count":
        return True
    if meter.type == "unique":
        return bool(_thing(meter, fact))
    return fact.value is not None


def _thing(meter: Meter, fact: Fact) -> str | None:
    return dict(fact.dimensions).get(meter.value_dimension) if meter.value_dimension else fact.subject


def _local_window(instant: datetime, window: str, zone: str) -> object:
    local = instant.astimezone(ZoneInfo(zone))
    if window == "day":
        return local.date()
    # The offset tells apart the two hours that a clock set back shows alike.
    return local.replace(tzinfo=None, minute=0, second=0, microsecond=0), local.utcoffset()


def _level(meter: Meter, facts: Sequence[Fact], start: datetime, end: datetime) -> Fraction:
    """Walk along the changes of a level, and add up level times the time it was held inside the span."""
    timeout = None
    if meter.timeout_hours is not None:
        timeout = timedelta(microseconds=int(meter.timeout_hours * 3_600_000_000))
    held = Fraction(0)
    level = Fraction(0)
    changes = sorted(facts, key=lambda fact: fact.occurred_at)
    for place, fact in enumerate(changes):
        if place and timeout is not None and fact.occurred_at - changes[place - 1].occurred_at >= timeout:
            level = Fraction(0)
        assert fact.value is not None
        level += Fraction(fact.value)
        until = changes[place + 1].occurred_at if place + 1 < len(changes) else end
        if timeout is not None:
            until = min(until, fact.occurred_at + timeout)
        duration = min(until, end) - max(fact.occurred_at, start)
        if duration > timedelta(0):
            held += level * Fraction(duration // timedelta(microseconds=1))
    return held / Fraction((end - start) // timedelta(microseconds=1))
