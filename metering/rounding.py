"""Rounding of a measured quantity by the rule of its meter. Pure: no database, no clock."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal

_ROUNDING = {
    "half_up": ROUND_HALF_UP,
    "ceil": ROUND_CEILING,
    "round_up": ROUND_CEILING,
    "floor": ROUND_FLOOR,
    "round_down": ROUND_FLOOR,
}
ROUNDING_FUNCTIONS = tuple(_ROUNDING)


def round_quantity(quantity: Decimal, function: str, digits: int) -> Decimal:
    """Round a quantity to `digits` decimals; negative `digits` round to tens, hundreds and so on.

    `function` is `half_up` (half away from zero), `round_up` or `ceil` (up), `round_down` or `floor` (down).
    Raises ValueError for another function or a quantity that is not finite.
    """
    if function not in _ROUNDING:
        raise ValueError(f"{function!r} is not a rounding. Use one of: {', '.join(ROUNDING_FUNCTIONS)}.")
    if not quantity.is_finite():
        raise ValueError(f"{quantity} cannot be rounded.")
    context = Context(prec=1000, rounding=_ROUNDING[function])
    rounded = quantity.quantize(Decimal((0, (1,), -digits)), context=context)
    if not rounded:
        return Decimal(0)
    return rounded if digits >= 0 else rounded.quantize(Decimal(1), context=context)
