"""Areas period.*: boundaries of billing periods from a remembered anchor."""

from __future__ import annotations

from datetime import date

from metering.periods import Anchor, Interval
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
