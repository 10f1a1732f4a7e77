"""Areas period.*: boundaries of billing periods from a remembered anchor."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from metering.measuring import measure_series
from metering.periods import Anchor, Interval, start_of_day, windows
from tests.acceptance.adapters.metering import a_story, send
from tests.acceptance.adapters.registry import Figures, adapts


@adapts("period.month_end_anchor", required="anchor interval count")
def ends_of_periods(*, anchor: str, interval: str, count: int) -> Figures:
    first = Anchor.on(date.fromisoformat(anchor))
    ends = [first.boundary(Interval(interval), index) for index in range(1, count + 1)]
    return {"ends_exclusive": [end.isoformat() for end in ends]}


@adapts("period.bill_cycle_day", required="start bill_cycle_day interval")
def first_cycle_date(*, start: str, bill_cycle_day: int, interval: str) -> Figures:
    """The first boundary on or after the start."""
    start_on = date.fromisoformat(start)
    anchor = Anchor.day_of_month(bill_cycle_day, start_on=start_on)
    boundaries = (anchor.boundary(Interval(interval), index) for index in (0, 1))
    return {"first_cycle_date": next(day for day in boundaries if day >= start_on).isoformat()}


@adapts("period.first_stub", required="start billing_day months")
def end_of_first_period(*, start: str, billing_day: int, months: int) -> Figures:
    anchor = Anchor.day_of_month(billing_day, start_on=date.fromisoformat(start))
    return {"end_exclusive": anchor.boundary(Interval.MONTH, months).isoformat()}


@adapts("period.dst", required="zone window first last one_event_of at_local", database=True)
def windows_over_a_clock_change(
    *, zone: str, window: str, first: str, last: str, one_event_of: Any, at_local: str
) -> Figures:
    """One event a day at a local time; `first` to `last` are local days, both included."""
    meter, customer = a_story(type="sum")
    days = [date.fromisoformat(first)]
    while days[-1] < date.fromisoformat(last):
        days.append(days[-1] + timedelta(days=1))
    clock = time.fromisoformat(at_local)
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
        meter, start=start, end=end, interval=Interval(window), zone=zone, customer_id=customer.pk
    )
    cuts = windows(start, end, interval=Interval(window), zone=zone)
    return {
        "windows": len(series.points),
        "values": [point.value for point in series.points],
        "contiguous": [point.start for point in series.points] == [cut for cut, _ in cuts]
        and all(cuts[place][1] == cuts[place + 1][0] for place in range(len(cuts) - 1)),
        "window_hours": [(after - before) / timedelta(hours=1) for before, after in cuts],
    }
