"""Areas period.*: boundaries of billing periods from a remembered anchor."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from metering.measuring import measure_series
from metering.periods import Anchor, Interval, start_of_day, windows
from tests.acceptance.adapters.metering import a_story, send
from tests.acceptance.adapters.registry import Figures, adapts

# The interval that a system's word stands for, and how many of it.
WORDS = {
    "hourly": ("hour", 1),
    "daily": ("day", 1),
    "weekly": ("week", 1),
    "biweekly": ("week", 2),
    "monthly": ("month", 1),
    "quarterly": ("quarter", 1),
    "semiannual": ("month", 6),
    "half_year": ("month", 6),
    "annual": ("year", 1),
    "yearly": ("year", 1),
}


def interval_of(word: str) -> tuple[Interval, int]:
    """Give an interval and how many of it make one period: "yearly" is 1 year, "semiannual" 6 months."""
    name, count = WORDS.get(word.lower(), (word.lower(), 1))
    return Interval(name), count


@adapts("period.month_end_anchor", required="anchor interval count", optional="interval_count")
def ends_of_periods(*, anchor: str, interval: str, count: int, interval_count: int = 1) -> Figures:
    first = Anchor.on(date.fromisoformat(anchor))
    each, step = interval_of(interval)
    ends = [first.boundary(each, index * step * interval_count) for index in range(1, count + 1)]
    return {"ends_exclusive": [end.isoformat() for end in ends]}


def from_billing_day(start_on: date, day: int) -> Anchor:
    """Boundaries are counted from the billing day in the month of the start."""
    assert 1 <= day <= 31, f"{day} is not a day of a month"
    return Anchor(start_on.year, start_on.month, day)


@adapts("period.bill_cycle_day", required="start bill_cycle_day interval")
def first_cycle_date(*, start: str, bill_cycle_day: int, interval: str) -> Figures:
    """The first boundary on or after the start."""
    start_on = date.fromisoformat(start)
    anchor = from_billing_day(start_on, bill_cycle_day)
    each, step = interval_of(interval)
    boundaries = (anchor.boundary(each, index * step) for index in (0, 1))
    return {"first_cycle_date": next(day for day in boundaries if day >= start_on).isoformat()}


@adapts("period.first_stub", required="start billing_day months")
def end_of_first_period(*, start: str, billing_day: int, months: int) -> Figures:
    """The first boundary after the start."""
    start_on = date.fromisoformat(start)
    anchor = from_billing_day(start_on, billing_day)
    boundaries = (anchor.boundary(Interval.MONTH, index * months) for index in (0, 1))
    return {"end_exclusive": next(day for day in boundaries if day > start_on).isoformat()}


@adapts("period.dst", required="zone window first last one_event_of at_local", database=True)
def windows_over_a_clock_change(
    *, zone: str, window: str, first: str, last: str, one_event_of: Any, at_local: str
) -> Figures:
    """One event a day at a local time; `first` to `last` are local days, both included."""
    meter, customer = a_story(type="sum")
    days = [date.fromisoformat(first)]
    while days[-1] < date.fromisoformat(last):
        days.append(days[-1] + timedelta(days=1))
    clock, (interval, _) = time.fromisoformat(at_local), interval_of(window)
    send(
        meter,
        customer,
        [
            {"t": datetime.combine(day, clock, ZoneInfo(zone)).isoformat(), "value": one_event_of}
            for day in days
        ],
    )
    start, end = start_of_day(days[0], zone), start_of_day(days[-1] + timedelta(days=1), zone)
    (series,) = measure_series(
        meter, start=start, end=end, interval=interval, zone=zone, customer_id=customer.pk
    )
    cuts = windows(start, end, interval=interval, zone=zone)
    return {
        "windows": len(series.points),
        "values": [point.value for point in series.points],
        "contiguous": [point.start for point in series.points] == [cut for cut, _ in cuts]
        and all(cuts[place][1] == cuts[place + 1][0] for place in range(len(cuts) - 1)),
        "window_hours": [(after - before) / timedelta(hours=1) for before, after in cuts],
    }
