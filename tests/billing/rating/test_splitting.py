"""Parts always add up to the whole."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating.errors import NotSplittable
from billing.rating.splitting import split_by_largest_remainder


def split(total: str, *weights: str, digits: int = 0) -> list[str]:
    return [
        str(part)
        for part in split_by_largest_remainder(
            Decimal(total), [Decimal(weight) for weight in weights], digits=digits
        )
    ]


def test_minor_unit_left_over_goes_to_the_largest_remainder() -> None:
    assert split("100", "100", "200") == ["33", "67"]  # 33.3 and 66.7
    assert split("100", "333", "333", "334") == ["33", "33", "34"]


def test_equal_remainders_favour_the_first() -> None:
    assert split("1.00", "1", "1", "1", digits=2) == ["0.34", "0.33", "0.33"]


def test_negative_total_mirrors_the_positive() -> None:
    assert split("-1.00", "1", "1", "1", digits=2) == ["-0.34", "-0.33", "-0.33"]


def test_weight_of_zero_gets_nothing() -> None:
    assert split("1.00", "0", "3", digits=2) == ["0.00", "1.00"]


def test_nothing_can_be_split_over_nothing() -> None:
    assert split("0") == []
    assert split("0", "0", "0", digits=2) == ["0.00", "0.00"]
    for weights in ((), ("0",)):
        with pytest.raises(NotSplittable, match="no amount above 0"):
            split("1", *weights)


def test_total_must_be_rounded_and_weights_positive() -> None:
    with pytest.raises(NotSplittable, match="more than 2 decimals"):
        split("1.005", "1", digits=2)
    with pytest.raises(NotSplittable, match="negative"):
        split("1", "2", "-1")


@given(
    total=st.integers(-(10**12), 10**12),
    weights=st.lists(st.decimals(0, 10**9, places=3), min_size=1, max_size=20),
    digits=st.integers(0, 4),
)
def test_parts_add_up_and_stay_within_one_unit_of_their_share(
    total: int, weights: list[Decimal], digits: int
) -> None:
    if not any(weights):
        weights = [*weights, Decimal(1)]
    amount = Decimal(total).scaleb(-digits)
    parts = split_by_largest_remainder(amount, weights, digits=digits)
    assert sum(parts) == amount
    unit = Decimal(1).scaleb(-digits)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - amount * weight / sum(weights)) < unit + Decimal("1e-9")


@given(lines=st.lists(st.integers(0, 10_000), min_size=1, max_size=20), share=st.integers(0, 100))
def test_no_part_exceeds_its_line(lines: list[int], share: int) -> None:
    total = sum(lines) * share // 100
    parts = split_by_largest_remainder(Decimal(total), [Decimal(line) for line in lines])
    assert all(part <= line for part, line in zip(parts, lines, strict=True))
