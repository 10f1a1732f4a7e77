"""Areas period.*: boundaries of billing periods from a remembered anchor."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from metering.measuring import measure_series
from metering.periods import MONTHS, Anchor, Interval, start_of_day, windows
from tests.acceptance.adapters.metering import a_story, send
from tests.acceptance.adapters.registry import Figures, adapts

# The interval that a system's word stands for, and how many of it.
WORDS = {
    "hourly": ("hour", 1),
    "daily": ("day", 1),
    "weekly": ("week", 1),
    "biweekly": ("week", 2),
    "thirty_days": ("day", 30),
    "monthly": ("month", 1),
    "bimonthly": ("month", 2),
    "quarterly": ("quarter", 1),
    "semiannual": ("month", 6),
    "biannual": ("month", 6),
    "half_year": ("month", 6),
    "half_yearly": ("month", 6),
    "annual": ("year", 1),
    "annually": ("year", 1),
    "yearly": ("year", 1),
    "biennial": ("year", 2),
}


def interval_of(word: str) -> tuple[Interval, int]:
    """Give an interval and how many of it make one period: "yearly" is 1 year, "semiannual" 6 months."""
    said = word.lower().replace("-", "_")
    name, count = WORDS.get(said, (said.removesuffix("s"), 1))
    return Interval(name), count


def first_boundaries(start_on: date, day: Any, interval: str) -> list[date]:
    """Give boundaries from around a start on: months are counted from the billing day, days and weeks from the
    start.
    """
    each, step = interval_of(interval)
    anchor = from_billing_day(start_on, int(day)) if each in MONTHS else Anchor.on(start_on)
    return [anchor.boundary(each, index * step) for index in (0, 1)]


@adapts("period.month_end_anchor", required="anchor interval count", optional="interval_count")
def ends_of_periods(*, anchor: str, interval: str, count: Any, interval_count: Any = 1) -> Figures:
    first = Anchor.on(date.fromisoformat(anchor))
    each, step = interval_of(interval)
    ends = [first.boundary(each, index * step * int(interval_count)) for index in range(1, int(count) + 1)]
    return {"ends_exclusive": [end.isoformat() for end in ends]}


def from_billing_day(start_on: date, day: int) -> Anchor:
    """Boundaries are counted from the billing day in the month of the start."""
    assert 1 <= day <= 31, f"{day} is not a day of a month"
    return Anchor(start_on.year, start_on.month, day)


@adapts("period.bill_cycle_day", required="start bill_cycle_day interval")
def first_cycle_date(*, start: str, bill_cycle_day: Any, interval: str) -> Figures:
    """The first boundary on or after the start."""
    start_on = date.fromisoformat(start)
    boundaries = first_boundaries(start_on, bill_cycle_day, interval)
    return {"first_cycle_date": next(day for day in boundaries if day >= start_on).isoformat()}


@adapts("period.first_stub", required="start billing_day months", optional="index")
def end_of_first_period(*, start: str, billing_day: Any, months: Any, index: Any = 0) -> Figures:
    """The first period ends at the first boundary after the start, those with an index one boundary later each."""
    start_on = date.fromisoformat(start)
    anchor = from_billing_day(start_on, int(billing_day))
    place, step = int(index), int(months)
    boundaries = (anchor.boundary(Interval.MONTH, number * step) for number in range(place + 2))
    cuts = [start_on, *(day for day in boundaries if day > start_on)]
    return {"start": cuts[place].isoformat(), "end_exclusive": cuts[place + 1].isoformat()}


@adapts("period.first_stub", required="start billing_day interval", optional="index")
def end_of_first_interval(*, interval: str, **given: Any) -> Figures:
    each, step = interval_of(interval)
    return end_of_first_period(months=MONTHS[each] * step, **given)


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
