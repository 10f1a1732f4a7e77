"""Rounding and minor units."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from billing.rating.errors import NotANumber, UnknownCurrency
from billing.rating.money import currency_digits, round_amount, round_fraction


@pytest.mark.parametrize(
    ("amount", "digits", "expected"),
    [
        ("10.275", 2, "10.28"),
        ("10.125", 2, "10.13"),
        ("-10.125", 2, "-10.13"),
        ("2.5", 0, "3"),
        ("-2.5", 0, "-3"),
        ("0.0004999", 3, "0.000"),
        ("0.0005", 3, "0.001"),
        ("1250", -2, "1300"),
        ("123456789012345678901234567890.125", 2, "123456789012345678901234567890.13"),
    ],
)
def test_halves_round_away_from_zero(amount: str, digits: int, expected: str) -> None:
    assert round_amount(Decimal(amount), digits) == Decimal(expected)
    assert round_fraction(Fraction(amount), digits) == Decimal(expected)


def test_result_has_the_digits_of_the_currency() -> None:
    assert str(round_amount(Decimal(240), 2)) == "240.00"
    assert str(round_fraction(Fraction(240), 2)) == "240.00"


def test_there_is_no_negative_zero() -> None:
    assert str(round_amount(Decimal("-0.001"), 2)) == "0.00"
    assert str(round_fraction(Fraction("-0.001"), 2)) == "0.00"


def test_fraction_is_rounded_once() -> None:
    # 22/29 x 10000 = 7586.2068...; 0.4999...  must not become 0.5 on the way
    assert round_fraction(Fraction(22, 29) * 10000, 0) == 7586
    assert round_fraction(Fraction(4999999999999999999999999999999, 10**31), 0) == 0


def test_only_numbers_can_be_rounded() -> None:
    for value in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(NotANumber):
            round_amount(Decimal(value), 2)


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("USD", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("TND", 3), ("CLF", 4)],
)
def test_minor_units(currency: str, digits: int) -> None:
    assert currency_digits(currency) == digits


@pytest.mark.parametrize("currency", ["usd", "XXX", "XAU", "US", "", "DEM"])
def test_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(UnknownCurrency, match="ISO 4217"):
        currency_digits(currency)
