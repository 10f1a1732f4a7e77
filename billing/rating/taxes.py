"""Tax on amounts without it and inside amounts with it. Net and tax always add up to gross."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.rating.errors import InvalidArgument
from billing.rating.exact import exactly
from billing.rating.money import round_amount, round_fraction


@dataclass(frozen=True, slots=True)
class Taxed:
    """An amount with its tax of `percent`. `net` + `tax` = `gross`, to the minor unit."""

    percent: Decimal
    net: Decimal
    tax: Decimal
    gross: Decimal


@exactly
def tax_on(net: Decimal, percent: Decimal, *, digits: int) -> Taxed:
    """Add tax to an amount without it (tax exclusive prices)."""
    _check(percent)
    tax = round_amount(net * percent.scaleb(-2), digits)
    return Taxed(percent, net, tax, net + tax)


@exactly
def tax_inside(gross: Decimal, percent: Decimal, *, digits: int) -> Taxed:
    """Find the tax inside an amount (tax inclusive prices): gross minus the rounded net."""
    _check(percent)
    net = round_fraction(Fraction(gross) / (1 + Fraction(percent) / 100), digits)
    return Taxed(percent, net, gross - net, gross)


def _check(percent: Decimal) -> None:
    if percent < 0:
        raise InvalidArgument(f"A tax of {percent} % cannot be charged. Use 0 or more.")
