"""Coupons: percentages before fixed amounts, split over the lines to the cent."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating.discounts import Coupon, CouponKind, Discount, discount
from billing.rating.errors import InvalidArgument


def percent(value: str) -> Coupon:
    return Coupon(CouponKind.PERCENT, Decimal(value))


def fixed(value: str) -> Coupon:
    return Coupon(CouponKind.FIXED, Decimal(value))


def amounts(*values: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(value) for value in values)


def off(lines: list[str], *coupons: Coupon, digits: int = 2) -> Discount:
    return discount([Decimal(line) for line in lines], coupons, digits=digits)


def test_percentages_come_before_fixed_amounts() -> None:
    result = off(["100.00"], fixed("50"), percent("10"))
    assert result == Discount(Decimal(60), amounts("60"), amounts("50", "10"))


def test_each_coupon_applies_to_what_the_one_before_left() -> None:
    assert off(["100.00"], percent("50"), percent("50")).by_coupon == amounts("50", "25")


def test_discount_is_split_over_the_lines() -> None:
    result = off(["1.00", "2.00"], fixed("1.00"))
    assert result.by_line == amounts("0.33", "0.67")


def test_discount_never_exceeds_the_lines() -> None:
    result = off(["10.00", "5.00"], fixed("20"), fixed("1"))
    assert result == Discount(Decimal(15), amounts("10", "5"), amounts("15", "0"))


def test_lines_below_zero_get_no_discount() -> None:
    assert off(["-10.00", "20.00"], percent("50")).by_line == amounts("0", "10")


def test_percentage_is_rounded_once_half_away_from_zero() -> None:
    assert off(["0.05"], percent("50")).total == Decimal("0.03")  # 0.025
    assert off(["1000"], percent("33.333"), digits=0).total == 333


def test_no_coupons_and_no_lines_give_nothing() -> None:
    assert off(["10.00"]) == Discount(Decimal(0), (Decimal(0),), ())
    assert off([], fixed("5")).total == 0


@pytest.mark.parametrize("coupon", [percent("101"), percent("-1"), fixed("-1"), fixed("0.005")])
def test_coupon_out_of_range_is_refused(coupon: Coupon) -> None:
    with pytest.raises(InvalidArgument):
        off(["10.00"], coupon)


def test_lines_must_be_rounded() -> None:
    with pytest.raises(InvalidArgument, match="not rounded"):
        off(["10.001"], percent("10"))


COUPONS = st.one_of(
    st.integers(0, 10_000).map(lambda value: Coupon(CouponKind.PERCENT, Decimal(value) / 100)),
    st.integers(0, 10_000).map(lambda value: Coupon(CouponKind.FIXED, Decimal(value) / 100)),
)


@given(cents=st.lists(st.integers(-500, 10_000), max_size=8), coupons=st.lists(COUPONS, max_size=5))
def test_lines_and_coupons_add_up_to_the_same_total(cents: list[int], coupons: list[Coupon]) -> None:
    lines = [Decimal(cent) / 100 for cent in cents]
    result = discount(lines, coupons, digits=2)
    assert sum(result.by_line) == result.total == sum(result.by_coupon)
    assert all(0 <= part <= max(line, Decimal(0)) for part, line in zip(result.by_line, lines, strict=True))
