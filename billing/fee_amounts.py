"""What the charged days of a period owe of its fixed fee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.agreements import Stretch
from billing.formatting import quantity_of
from billing.rating import Step, SubscriptionRate
from billing.rating.exact import ZERO
from billing.rating.money import round_amount, round_fraction


@dataclass(frozen=True, slots=True)
class OwedFee:
    """A fee for the days of a period: rounded, with its working. `used` of its `days` are charged."""

    amount: Decimal
    steps: tuple[Step, ...]
    used: int
    days: int
    seats: Decimal

    @property
    def is_part(self) -> bool:
        return self.used < self.days


def owed(terms: SubscriptionRate, stretches: Sequence[Stretch], *, days: int, digits: int) -> OwedFee:
    """Give what the charged days of a period owe of its fee; one that is not prorated is owed whole, or not at all."""
    used = sum(each.days for each in stretches)
    if not stretches:
        return OwedFee(round_amount(ZERO, digits), (), 0, days, Decimal(1))
    counted = {each.seats for each in stretches}
    if terms.per_seat and terms.prorated and len(counted) > 1:
        return _owed_by_seats(terms, stretches, used=used, days=days, digits=digits)
    seats = Decimal(stretches[0].seats) if terms.per_seat else Decimal(1)
    whole = terms.amount * seats
    part = terms.prorated and used < days
    amount = round_amount(round_fraction(Fraction(whole) * used / days, digits) if part else whole, digits)
    used = used if terms.prorated else days
    if not terms.per_seat:
        label = f"{terms.label} ({used} of {days} days)" if part else terms.label
        exact = amount if part else whole
        return OwedFee(amount, (Step(label, "flat", Decimal(1), exact, exact),), used, days, seats)
    steps = [Step(terms.label, "seats", seats, terms.amount, whole)]
    if part:
        steps.append(
            Step(f"{days - used} of {days} days not used", "unused_days", None, None, amount - whole)
        )
    return OwedFee(amount, tuple(steps), used, days, seats)


def _owed_by_seats(
    terms: SubscriptionRate, stretches: Sequence[Stretch], *, used: int, days: int, digits: int
) -> OwedFee:
    """Round the sum once; each step is rounded for print, and the last takes what is left."""
    exact = [Fraction(terms.amount) * each.seats * each.days / days for each in stretches]
    amount = round_fraction(sum(exact, Fraction(0)), digits)
    printed = [round_fraction(part, digits) for part in exact[:-1]]
    printed.append(amount - sum(printed, Decimal(0)))
    steps = tuple(
        Step(
            f"{quantity_of(Decimal(each.seats), 'seat')}, {each.days} of {days} days",
            "days",
            None,
            None,
            part,
        )
        for each, part in zip(stretches, printed, strict=True)
    )
    return OwedFee(amount, steps, used, days, Decimal(stretches[-1].seats))
