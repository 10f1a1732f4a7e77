"""Exact arithmetic holds inside the functions that ask for it, and nowhere else."""

from __future__ import annotations

from decimal import Decimal, Inexact, getcontext

import pytest

from billing.rating.exact import exactly


@exactly
def divide(amount: Decimal, by: Decimal) -> Decimal:
    return amount / by


def test_a_result_that_would_be_rounded_raises_and_the_callers_context_is_back_either_way() -> None:
    outside = getcontext()
    long = Decimal("1" * 40)
    assert divide(long, Decimal(8)) * 8 == Decimal(
        "1." + "1" * 27 + "E+39"
    )  # exact inside, 28 digits outside
    with pytest.raises(Inexact):
        divide(Decimal(1), Decimal(3))
    assert getcontext() is outside
