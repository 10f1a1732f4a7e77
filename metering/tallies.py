"""Adding up events one by one in plain Python, with fractions: what the definition of a meter makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from metering.models import Meter

# More decimals than a division keeps.
DECIMALS = 24


class RawEvent(NamedTuple):
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


def counted_thing(meter: Meter, event: RawEvent) -> str | None:
    """Give what the meter `unique` tells events apart by: a dimension's value, else the subject."""
    return event.dimensions.get(meter.value_dimension) if meter.value_dimension else event.subject


class Tally:
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

    def add(self, event: RawEvent) -> None:
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
                self.things.add(counted_thing(self.meter, event))

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
