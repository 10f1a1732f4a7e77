"""Areas proration.*: fixed fees by days of the real period."""

from __future__ import annotations

from datetime import date, datetime
from fractions import Fraction
from typing import Any

from billing.rating import currency_digits
from billing.rating.proration import cap_credit, change_plan, days_between
from metering.periods import Anchor, local_day
from tests.acceptance.adapters.periods import interval_of
from tests.acceptance.adapters.pricing import number
from tests.acceptance.adapters.registry import Figures, adapts


@adapts(
    "proration.plan_change",
    required="cycle cycle_start change_at old_cents new_cents",
    optional="new_cycle old_quantity new_quantity zone cycle_end",
)
def plan_change(*, old_cents: Any, new_cents: Any, **given: Any) -> Figures:
    change = changed(old_cents, new_cents, digits=0, **given)
    return {
        "credit_cents": change["credit"],
        "charge_cents": change["charge"],
        "net_cents": change["net"],
        "fraction": change["fraction"],
    }


@adapts(
    "proration.plan_change",
    required="cycle cycle_start change_at old new currency",
    optional="new_cycle old_quantity new_quantity zone cycle_end",
)
def plan_change_in_a_currency(*, old: Any, new: Any, currency: str, **given: Any) -> Figures:
    return changed(old, new, digits=currency_digits(currency.upper()), **given)


def changed(
    old: Any,
    new: Any,
    *,
    digits: int,
    cycle: str,
    cycle_start: str,
    change_at: str,
    new_cycle: str | None = None,
    old_quantity: Any = 1,
    new_quantity: Any = 1,
    zone: str = "UTC",
    cycle_end: str | None = None,
) -> Figures:
    """The fee of a quantity is its price times the quantity. A cycle may be shorter than its length and then
    says its end, which is half-open.
    """
    start_on = _local(cycle_start, zone)
    interval, step = interval_of(cycle)
    end_on = Anchor.on(start_on).boundary(interval, step) if cycle_end is None else _local(cycle_end, zone)
    left = days_between(_local(change_at, zone), end_on)
    whole = days_between(start_on, end_on)
    change = change_plan(
        number(old) * number(old_quantity),
        number(new) * number(new_quantity),
        days_left=left,
        days_in_period=whole,
        digits=digits,
        restarts=new_cycle is not None and interval_of(new_cycle) != (interval, step),
    )
    return {
        "credit": change.credit,
        "charge": change.charge,
        "net": change.charge - change.credit,
        "fraction": Fraction(left, whole),
    }


@adapts("proration.days", required="from to", optional="zone")
def days(**given: Any) -> Figures:
    """Count local days: a date is local already, an instant falls on a day of the zone."""
    first_on, end_on = (_local(given[name], given.get("zone") or "UTC") for name in ("from", "to"))
    return {"days": days_between(first_on, end_on)}


def _local(text: str, zone: str) -> date:
    if len(text) == len("2024-02-29"):
        return date.fromisoformat(text)
    moment = datetime.fromisoformat(text)
    return moment.date() if moment.tzinfo is None else local_day(moment, zone)


@adapts("proration.credit_cap", required="potential_credit amount_paid credited_before")
def credit_cap(*, potential_credit: Any, amount_paid: Any, credited_before: Any) -> Figures:
    credit = cap_credit(
        number(potential_credit), paid=number(amount_paid), credited_before=number(credited_before)
    )
    return {"credit": credit}
