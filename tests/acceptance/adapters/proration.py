"""Areas proration.*: fixed fees by days of the real period."""

from __future__ import annotations

from datetime import date, datetime
from fractions import Fraction
from typing import Any

from billing.rating.proration import cap_credit, change_plan, days_between
from metering.periods import Anchor, Interval, local_day
from tests.acceptance.adapters.rating import number
from tests.acceptance.adapters.registry import Figures, adapts


@adapts(
    "proration.plan_change", required="cycle cycle_start change_at old_cents new_cents", optional="new_cycle"
)
def plan_change(
    *,
    cycle: str,
    cycle_start: str,
    change_at: str,
    old_cents: Any,
    new_cents: Any,
    new_cycle: str | None = None,
) -> Figures:
    start_on = date.fromisoformat(cycle_start)
    end_on = Anchor.on(start_on).boundary(Interval(cycle), 1)
    left = days_between(date.fromisoformat(change_at), end_on)
    whole = days_between(start_on, end_on)
    change = change_plan(
        number(old_cents),
        number(new_cents),
        days_left=left,
        days_in_period=whole,
        digits=0,
        restarts=new_cycle not in (None, cycle),
    )
    return {
        "credit_cents": change.credit,
        "charge_cents": change.charge,
        "fraction": Fraction(left, whole),
    }


@adapts("proration.days", required="from to", optional="zone")
def days(**given: str) -> Figures:
    """Count local days: a date is local already, an instant falls on a day of the zone."""
    first_on, end_on = (_local(given[name], given.get("zone", "UTC")) for name in ("from", "to"))
    return {"days": days_between(first_on, end_on)}


def _local(text: str, zone: str) -> date:
    if "T" not in text:
        return date.fromisoformat(text)
    moment = datetime.fromisoformat(text)
    return moment.date() if moment.tzinfo is None else local_day(moment, zone)


@adapts("proration.credit_cap", required="potential_credit amount_paid credited_before")
def credit_cap(*, potential_credit: Any, amount_paid: Any, credited_before: Any) -> Figures:
    credit = cap_credit(
        number(potential_credit), paid=number(amount_paid), credited_before=number(credited_before)
    )
    return {"credit": credit}
