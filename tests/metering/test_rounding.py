"""Rounding a measured quantity by the rule of its meter."""

from __future__ import annotations

from decimal import Decimal

import pytest

from metering.rounding import ROUNDING_FUNCTIONS, round_quantity


@pytest.mark.parametrize(
    ("function", "digits", "expected"),
    [
        ("half_up", 2, "123.46"),
        ("half_up", 0, "123"),
        ("half_up", -2, "100"),
        ("ceil", 2, "123.46"),
        ("round_up", 0, "124"),
        ("ceil", -2, "200"),
        ("floor", 2, "123.45"),
        ("round_down", 0, "123"),
        ("floor", -2, "100"),
        ("floor", -3, "0"),
        ("ceil", 5, "123.45600"),
    ],
)
def test_rounds_by_function_and_digits(function: str, digits: int, expected: str) -> None:
    assert str(round_quantity(Decimal("123.456"), function, digits)) == expected


@pytest.mark.parametrize(
    ("function", "expected"), [("half_up", "-3"), ("ceil", "-2"), ("floor", "-3"), ("round_up", "-2")]
)
def test_negative_quantities_round_up_towards_plus(function: str, expected: str) -> None:
    assert round_quantity(Decimal("-2.5"), function, 0) == Decimal(expected)


def test_half_up_goes_away_from_zero() -> None:
    assert round_quantity(Decimal("0.125"), "half_up", 2) == Decimal("0.13")


def test_long_quantities_keep_their_digits() -> None:
    long = Decimal("123456789012345678901234567890.55")
    assert str(round_quantity(long, "floor", 1)) == "123456789012345678901234567890.5"


def test_there_is_no_negative_zero() -> None:
    assert str(round_quantity(Decimal("-0.4"), "ceil", 0)) == "0"


def test_unknown_function_and_numbers_without_end_are_refused() -> None:
    assert set(ROUNDING_FUNCTIONS) == {"half_up", "ceil", "round_up", "floor", "round_down"}
    with pytest.raises(ValueError, match="not a rounding"):
        round_quantity(Decimal(1), "bankers", 2)
    with pytest.raises(ValueError, match="cannot be rounded"):
        round_quantity(Decimal("NaN"), "ceil", 2)
