"""The minimum of a plan: what was committed to and not used is charged."""

from __future__ import annotations

from decimal import Decimal

from billing.rating.exact import ZERO, exactly


@exactly
def true_up(minimum: Decimal, used: Decimal) -> Decimal:
    """Give what is missing to the minimum of a plan; 0 when it is reached.

    `used` is the sum of the printed lines that count towards the minimum, so it is already rounded.
    """
    return max(minimum - used, ZERO)
