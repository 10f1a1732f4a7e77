"""Coupons on the lines of an invoice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from billing.rating.errors import InvalidArgument
from billing.rating.exact import ZERO, exactly
from billing.rating.money import round_amount
from billing.rating.splitting import split_by_largest_remainder


class CouponKind(StrEnum):
    PERCENT = "percent"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Coupon:
    """`value` is a percentage, or a fixed amount in the currency of the invoice. More than there is takes everything.

    `lines` are the places of the lines it is for; None: all.
    """

    kind: CouponKind
    value: Decimal
    lines: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Discount:
    """What coupons take off: in total, from each line, and by each coupon, in the order these were given."""

    total: Decimal
    by_line: tuple[Decimal, ...]
    by_coupon: tuple[Decimal, ...]


@exactly
def discount(lines: Sequence[Decimal], coupons: Sequence[Coupon], *, digits: int) -> Discount:
    """Apply coupons to rounded lines; percentages before fixed amounts, each to what the one before left.

    Each coupon's amount is rounded once and split over the lines by largest remainders. Lines below zero get
    no discount, and no line falls below zero. Raises InvalidArgument for a coupon with a value below zero, and
    for a line or fixed coupon with more decimals than the currency.
    """
    for line in lines:
        if round_amount(line, digits) != line:
            raise InvalidArgument(
                f"The line of {line} is not rounded. Round lines before they are discounted."
            )
    for coupon in coupons:
        _check(coupon, digits=digits)
    left = [max(line, ZERO) for line in lines]
    by_coupon = [ZERO] * len(coupons)
    percentages_first = sorted(range(len(coupons)), key=lambda index: coupons[index].kind is CouponKind.FIXED)
    for index in percentages_first:
        only = coupons[index].lines
        open_to_it = left if only is None else [rest if n in only else ZERO for n, rest in enumerate(left)]
        off = _amount_off(coupons[index], sum(open_to_it, ZERO), digits=digits)
        parts = split_by_largest_remainder(off, open_to_it, digits=digits)
        left = [line - part for line, part in zip(left, parts, strict=True)]
        by_coupon[index] = off
    by_line = tuple(max(line, ZERO) - rest for line, rest in zip(lines, left, strict=True))
    return Discount(sum(by_coupon, round_amount(ZERO, digits)), by_line, tuple(by_coupon))


def _amount_off(coupon: Coupon, amount: Decimal, *, digits: int) -> Decimal:
    if coupon.kind is CouponKind.PERCENT:
        return round_amount(min(amount * coupon.value.scaleb(-2), amount), digits)
    return round_amount(min(coupon.value, amount), digits)


def _check(coupon: Coupon, *, digits: int) -> None:
    if coupon.value < 0:
        raise InvalidArgument(f"A coupon cannot take off {coupon.value}. Use 0 or more.")
    if coupon.kind is CouponKind.FIXED and round_amount(coupon.value, digits) != coupon.value:
        raise InvalidArgument(f"A coupon of {coupon.value} has more decimals than the currency.")
