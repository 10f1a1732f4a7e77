"""Fixed fees for a part of a period, by days: days used over the real days of the period.

Days are calendar days in the customer's zone and half-open, so a day with a clock change is one day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from billing.rating.errors import InvalidArgument
from billing.rating.exact import ZERO, exactly
from billing.rating.money import round_amount, round_fraction


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What changing a plan inside a period costs: `credit` of the old fee, `charge` of the new."""

    credit: Decimal
    charge: Decimal


def days_between(first_on: date, end_on: date) -> int:
    """Count the days of `[first_on, end_on)`. Raises InvalidArgument when the end is before the start."""
    if end_on < first_on:
        raise InvalidArgument(f"The end, {end_on}, is before the start, {first_on}.")
    return (end_on - first_on).days


def prorate(amount: Decimal, *, days_used: int, days_in_period: int, digits: int) -> Decimal:
    """Give the share of a fixed fee for the days used, rounded once to `digits` decimals."""
    if days_in_period <= 0 or not 0 <= days_used <= days_in_period:
        raise InvalidArgument(
            f"{days_used} of {days_in_period} days cannot be prorated: the days used must be 0 to all days."
        )
    return round_fraction(Fraction(amount) * days_used / days_in_period, digits)


def change_plan(
    old_amount: Decimal,
    new_amount: Decimal,
    *,
    days_left: int,
    days_in_period: int,
    digits: int,
    restarts: bool = False,
) -> PlanChange:
    """Give credit and charge when a fixed fee, paid in advance, changes with `days_left` of the period
    unused.

    `restarts`: the new plan has another billing period that begins with the change, so it is charged whole.
    """
    credit = prorate(old_amount, days_used=days_left, days_in_period=days_in_period, digits=digits)
    if restarts:
        return PlanChange(credit, round_amount(new_amount, digits))
    charge = prorate(new_amount, days_used=days_left, days_in_period=days_in_period, digits=digits)
    return PlanChange(credit, charge)


@exactly
def cap_credit(credit: Decimal, *, paid: Decimal, credited_before: Decimal) -> Decimal:
    """Cut a credit so that never more is handed back than was paid. A credit below zero hands nothing back."""
    return max(min(credit, paid - credited_before), ZERO)
