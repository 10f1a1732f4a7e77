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


def written(values: tuple[Decimal, ...]) -> list[str]:
    return [str(value) for value in values]


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


def test_a_coupon_for_some_lines_takes_nothing_off_the_others() -> None:
    only_second = Coupon(CouponKind.PERCENT, Decimal(50), frozenset({1}))
    assert off(["10.00", "6.00"], only_second).by_line == amounts("0", "3")
    # 50 % of the second line leaves 3.00 of it; 50.00 then covers that and all of the first.
    rest_of_second = Coupon(CouponKind.FIXED, Decimal(50), frozenset({1}))
    result = off(["10.00", "6.00"], rest_of_second, only_second)
    assert result == Discount(Decimal(6), amounts("0", "6"), amounts("3", "3"))


def test_what_comes_off_is_written_with_the_digits_of_the_currency() -> None:
    result = off(["9", "8"], fixed("5"), percent("0"))
    assert (str(result.total), written(result.by_coupon)) == ("5.00", ["5.00", "0.00"])
    assert str(off(["9"]).total) == "0.00"


def test_lines_below_zero_get_no_discount() -> None:
    assert off(["-10.00", "20.00"], percent("50")).by_line == amounts("0", "10")


def test_percentage_is_rounded_once_half_away_from_zero() -> None:
    assert off(["0.05"], percent("50")).total == Decimal("0.03")  # 0.025
    assert off(["1000"], percent("33.333"), digits=0).total == 333


def test_no_coupons_and_no_lines_give_nothing() -> None:
    assert off(["10.00"]) == Discount(Decimal(0), (Decimal(0),), ())
    assert off([], fixed("5")).total == 0


def test_all_may_come_off_and_more_than_there_is_takes_everything() -> None:
    assert off(["10.00"], percent("100")).total == 10
    assert off(["200.00"], fixed("150")).total == 150
    assert off(["60.00", "40.00"], percent("150")).by_line == amounts("60", "40")
    assert off(["60.00", "-40.00"], percent("100.01"), fixed("1")).by_coupon == amounts("60", "0")


@pytest.mark.parametrize("coupon", [percent("-1"), fixed("-1"), fixed("0.005")])
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
