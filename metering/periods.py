"""Half-open billing periods and windows in a customer's time zone. Pure: no clock, no database.

A period is `[start, end)`. Boundaries are computed from a remembered anchor, never chained from the previous end, so an
anchor on the 31st gives 29 February and then 31 March again.
"""

from __future__ import annotations

import calendar
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Interval(StrEnum):
    """How long a billing period or a window of a series is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


MONTHS = {Interval.MONTH: 1, Interval.QUARTER: 3, Interval.YEAR: 12}
DAYS = {Interval.DAY: 1, Interval.WEEK: 7}


@dataclass(frozen=True, slots=True)
class Anchor:
    """The day boundaries are counted from. `day` may be later than the month has days; it is remembered as it is."""

    year: int
    month: int
    day: int

    @classmethod
    def on(cls, day: date) -> Anchor:
        return cls(day.year, day.month, day.day)

    def boundary(self, interval: Interval, index: int) -> date:
        """Give the `index`-th boundary after the anchor (negative: before it)."""
        if interval in MONTHS:
            year, month = _shift_month(self.year, self.month, MONTHS[interval] * index)
            return date(year, month, min(self.day, calendar.monthrange(year, month)[1]))
        return date(self.year, self.month, self.day) + timedelta(days=DAYS[interval] * index)

    def index_of(self, interval: Interval, day: date) -> int:
        """Give the index of the period that contains `day`."""
        if interval in MONTHS:
            months = (day.year - self.year) * 12 + day.month - self.month
            index = months // MONTHS[interval]
        else:
            index = (day - date(self.year, self.month, self.day)).days // DAYS[interval]
        return index - 1 if self.boundary(interval, index) > day else index


# A Monday that is also the first of a month, of a quarter and of a year: the calendar's own boundaries.
CALENDAR_ANCHOR = Anchor(2001, 1, 1)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The local days `[start_on, end_on)` in `zone`."""

    start_on: date
    end_on: date
    zone: str

    @property
    def start(self) -> datetime:
        return start_of_day(self.start_on, self.zone)

    @property
    def end(self) -> datetime:
        return start_of_day(self.end_on, self.zone)

    @property
    def days(self) -> int:
        return (self.end_on - self.start_on).days

    def is_over(self, now: datetime) -> bool:
        return self.end <= now


@functools.lru_cache(maxsize=4_096)  # thousands of customers have the same few days
def start_of_day(day: date, zone: str) -> datetime:
    """Give the first instant of a local day, in UTC; where midnight does not exist, the instant the clock jumps."""
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return local.astimezone(UTC)


def local_day(instant: datetime, zone: str) -> date:
    """Give the local date on which an instant falls."""
    return instant.astimezone(ZoneInfo(zone)).date()


def period_of(day: date, *, anchor: Anchor, interval: Interval, zone: str) -> Period:
    """Give the whole period, by anchor and interval, that contains a local day."""
    index = anchor.index_of(interval, day)
    return Period(anchor.boundary(interval, index), anchor.boundary(interval, index + 1), zone)


def periods_between(
    start_on: date, end_on: date, *, anchor: Anchor, interval: Interval, zone: str
) -> Iterator[Period]:
    """Give the whole periods that share a day with `[start_on, end_on)`, in order."""
    index = anchor.index_of(interval, start_on)
    first = anchor.boundary(interval, index)
    while first < end_on:
        index += 1
        following = anchor.boundary(interval, index)
        yield Period(first, following, zone)
        first = following


def clip(period: Period, *, start_on: date, end_on: date | None) -> Period | None:
    """Give the part of a period inside `[start_on, end_on)`; None when nothing is left."""
    first = max(period.start_on, start_on)
    last = period.end_on if end_on is None else min(period.end_on, end_on)
    return Period(first, last, period.zone) if first < last else None


def month_period(year: int, month: int, zone: str) -> Period:
    """Give a calendar month."""
    following = _shift_month(year, month, 1)
    return Period(date(year, month, 1), date(*following, 1), zone)


def windows(
    start: datetime, end: datetime, *, interval: Interval, zone: str
) -> list[tuple[datetime, datetime]]:
    """Cut `[start, end)` at the local boundaries of an interval. Windows touch; the first and last may be short.

    Hours are real hours that begin where the local clock shows a full one, so a day with a clock change has 23 or 25.
    """
    if start >= end:
        return []
    if interval is Interval.HOUR:
        cuts = _hour_cuts(start, end, zone=zone)
    else:
        cuts = _day_cuts(start, end, interval=interval, zone=zone)
    edges = [start, *cuts, end]
    return [(edges[i], edges[i + 1]) for i in range(len(edges) - 1) if edges[i] < edges[i + 1]]


def _hour_cuts(start: datetime, end: datetime, *, zone: str) -> list[datetime]:
    cuts = []
    cut = _next_full_hour(start, zone)
    while cut < end:
        cuts.append(cut)
        cut = _next_full_hour(cut, zone)
    return cuts


def _next_full_hour(instant: datetime, zone: str) -> datetime:
    """Give the end of the local hour; a clock change by half an hour makes one short."""
    local = instant.astimezone(ZoneInfo(zone))
    into_hour = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return instant - into_hour + timedelta(hours=1)


def _day_cuts(start: datetime, end: datetime, *, interval: Interval, zone: str) -> list[datetime]:
    first = local_day(start, zone)
    last = local_day(end, zone) + timedelta(days=1)
    spans = periods_between(first, last, anchor=CALENDAR_ANCHOR, interval=interval, zone=zone)
    return [instant for instant in (span.end for span in spans) if start < instant < end]


def _shift_month(year: int, month: int, months: int) -> tuple[int, int]:
    position = year * 12 + month - 1 + months
    return position // 12, position % 12 + 1
