"""Splitting an amount so that the parts are whole minor units and add up to it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from billing.rating.errors import NotSplittable
from billing.rating.exact import exactly


@exactly
def split_by_largest_remainder(
    total: Decimal, weights: Sequence[Decimal], *, digits: int = 0
) -> tuple[Decimal, ...]:
    """Split `total` in proportion to `weights` into parts with `digits` decimals that add up to it.

    Every part is its exact share rounded down; the minor units left over go to the largest remainders, among
    equals to the first. A negative total gives the negative of the split of its opposite. A part never
    exceeds its weight when the weights have `digits` decimals and `total` is at most their sum.

    Raises NotSplittable for a total with more than `digits` decimals, a negative weight, or a total other
    than 0 without any weight.
    """
    units = total.scaleb(digits)
    if units != units.to_integral_value():
        raise NotSplittable(f"{total} has more than {digits} decimals. Round it before it is split.")
    if any(weight < 0 for weight in weights):
        raise NotSplittable("A total cannot be split over a negative amount.")
    whole = sum(Fraction(weight) for weight in weights)
    if not total:
        return tuple(Decimal((0, (0,), -digits)) for _ in weights)
    if not whole:
        raise NotSplittable(f"{total} cannot be split: there is no amount above 0 to split it over.")
    shares = [abs(int(units)) * Fraction(weight) / whole for weight in weights]
    parts = [share.numerator // share.denominator for share in shares]
    left = abs(int(units)) - sum(parts)
    by_remainder = sorted(range(len(parts)), key=lambda index: parts[index] - shares[index])
    for index in by_remainder[:left]:
        parts[index] += 1
    sign = -1 if total < 0 else 1
    return tuple(Decimal(sign * part).scaleb(-digits) for part in parts)
