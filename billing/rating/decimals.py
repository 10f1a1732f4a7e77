"""Reading exact decimals from what a form or a JSON body sent."""

from __future__ import annotations

import re
from decimal import Decimal

MAX_DIGITS = 30
MAX_DECIMALS = 18

_NUMBER = re.compile(r"[+-]?[0-9]{1,60}(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,3})?")
_TOO_LONG = f"Use at most {MAX_DIGITS} digits, at most {MAX_DECIMALS} of them after the decimal point."


def exact_decimal(value: object) -> Decimal:
    """Read text, an int or a Decimal as an exact decimal of at most 30 digits, 18 of them decimals.

    Raises ValueError with a sentence for anything else: floats (they are not exact), booleans, NaN and
    infinity.
    """
    match value:
        case bool():
            raise ValueError("Give a number, not true or false.")
        case int():
            if abs(value) >= 10**MAX_DIGITS:
                raise ValueError(_TOO_LONG)
            number = Decimal(value)
        case Decimal():
            number = value
        case str():
            if not _NUMBER.fullmatch(value):
                raise ValueError(
                    "Give a decimal number such as 12.50, with a point and without thousands separators."
                )
            number = Decimal(value)
        case float():
            raise ValueError('Give the number as text, such as "0.1": a binary float is not exact.')
        case _:
            raise ValueError('Give a decimal number as text, such as "12.50".')
    if not number.is_finite():
        raise ValueError("Give a finite number.")
    return _plain_digits(number)


def _plain_digits(number: Decimal) -> Decimal:
    """Check the length; write 1E+3 as 1000, so that the value reads the same everywhere."""
    exponent = int(number.as_tuple().exponent)
    if -exponent > MAX_DECIMALS or max(number.adjusted(), 0) + 1 + max(-exponent, 0) > MAX_DIGITS:
        raise ValueError(_TOO_LONG)
    return number.quantize(Decimal(1)) if exponent > 0 else number
