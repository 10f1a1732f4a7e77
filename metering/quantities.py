"""From the total of a meter's events to its quantity: one division, the conversion, the rounding. Exact
decimals.

The order is fixed: divide (an average by its events, a level by the length of time), multiply by the meter's
factor, divide by its divisor, round. What cannot be written with DIVISION_DIGITS decimals is rounded to them,
half away from zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, Inexact
from fractions import Fraction

from metering.aggregation import Total
from metering.meter_types import Rounding
from metering.models import Meter
from metering.rounding import round_quantity

DIVISION_DIGITS = 24
# Room for every sum and product of stored values; one that would have to be rounded raises instead.
EXACT = Context(prec=400, traps=[Inexact])
ONE = Decimal(1)

_FUNCTIONS: Mapping[str, str] = {
    Rounding.HALF_UP: "half_up",
    Rounding.UP: "round_up",
    Rounding.DOWN: "round_down",
}


def quantity_of(meter: Meter, total: Total) -> Decimal:
    """Give the quantity of a period. The peaks of a windowed meter are rounded one by one and then added
    up.
    """
    if total.peaks is None:
        return rounded(meter, converted(meter, total.amount, over=total.over))
    quantity = Decimal(0)
    for peak in total.peaks:
        quantity = EXACT.add(quantity, rounded(meter, converted(meter, peak)))
    return quantity


def converted(meter: Meter, amount: Decimal, *, over: Decimal = ONE) -> Decimal:
    """Give `amount / over` in the unit that the meter bills: times its factor, over its divisor."""
    return divide(EXACT.multiply(amount, meter.factor), EXACT.multiply(over, meter.divisor))


def rounded(meter: Meter, quantity: Decimal) -> Decimal:
    if not meter.rounding_function:
        return quantity
    return round_quantity(quantity, _FUNCTIONS[meter.rounding_function], meter.rounding_digits)


def divide(amount: Decimal, over: Decimal) -> Decimal:
    """Give the quotient with as many decimals as it needs, at most DIVISION_DIGITS."""
    if over == 1:
        return amount
    scaled = abs(Fraction(amount) / Fraction(over)) * 10**DIVISION_DIGITS
    digits = int(scaled + Fraction(1, 2))
    places = DIVISION_DIGITS
    while places and digits % 10 == 0:
        digits //= 10
        places -= 1
    sign = int((amount < 0) != (over < 0))
    return Decimal((sign if digits else 0, tuple(map(int, str(digits))), -places))
