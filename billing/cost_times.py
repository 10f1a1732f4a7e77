"""The times of costs: days and calendar months in UTC, whatever the zones of customers are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from fractions import Fraction

from billing.models import CostRate
from metering.periods import month_period


def part_of(first: datetime, last: datetime, start: datetime, end: datetime) -> Fraction:
    """Give how much of the time `[start, end)` is `[first, last)`."""
    return Fraction(_microseconds(first, last), _microseconds(start, end))


def _microseconds(start: datetime, end: datetime) -> int:
    length = end - start
    return (length.days * 86_400 + length.seconds) * 1_000_000 + length.microseconds


@dataclass(frozen=True, slots=True)
class CostMonth:
    """A calendar month in UTC: what a cost rate is applied to as a whole."""

    start: datetime
    end: datetime


def months(start: datetime, end: datetime) -> list[CostMonth]:
    """Give the calendar months in UTC that share time with `[start, end)`."""
    found: list[CostMonth] = []
    year, month = start.astimezone(UTC).year, start.astimezone(UTC).month
    while True:
        period = month_period(year, month, "UTC")
        if period.start >= end:
            return found
        found.append(CostMonth(period.start, period.end))
        year, month = period.end_on.year, period.end_on.month


def midnight(day: date) -> datetime:
    """Give the first instant of a day in UTC."""
    return datetime.combine(day, time(), tzinfo=UTC)


def starts(row: CostRate) -> datetime:
    """Give the first instant at which a rate holds."""
    return midnight(row.effective_from) if row.effective_from else datetime.min.replace(tzinfo=UTC)


def ends(row: CostRate) -> datetime:
    """Give the first instant at which a rate no longer holds."""
    return midnight(row.effective_until) if row.effective_until else datetime.max.replace(tzinfo=UTC)
