"""The order in which credits are used up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating.credits import Burn, Grant, burn
from billing.rating.errors import InvalidArgument

NOW = datetime(2026, 10, 31, tzinfo=UTC)


def grant(
    name: str,
    balance: str = "100",
    *,
    age: int = 0,
    priority: int = 0,
    effective: int | None = None,
    expires: int | None = None,
) -> Grant:
    """Days: `age` before now, `effective` and `expires` after now."""
    return Grant(
        name,
        Decimal(balance),
        NOW - timedelta(days=age),
        priority,
        None if effective is None else NOW + timedelta(days=effective),
        None if expires is None else NOW + timedelta(days=expires),
    )


def order(*grants: Grant) -> str:
    return "".join(name for name, _ in burn(grants, Decimal(10_000), at=NOW).taken)


def test_low_priority_is_used_first() -> None:
    assert order(grant("b", priority=2, expires=1), grant("a", priority=1, age=9)) == "ab"


def test_soonest_expiry_is_used_first_and_no_expiry_last() -> None:
    assert order(grant("c", age=9), grant("b", expires=30, age=9), grant("a", expires=1)) == "abc"


def test_oldest_is_used_first_among_equals() -> None:
    assert order(grant("b", age=1), grant("c"), grant("a", age=2), grant("d")) == "abcd"


def test_credit_is_usable_from_its_first_instant_and_not_at_its_last() -> None:
    assert order(grant("a", effective=0, expires=1)) == "a"
    assert order(grant("a", expires=0), grant("b", effective=1)) == ""


def test_never_more_is_taken_than_the_amount() -> None:
    result = burn([grant("a", expires=1), grant("b")], Decimal(120), at=NOW)
    assert result == Burn((("a", Decimal(100)), ("b", Decimal(20))), Decimal(120), Decimal(0))


def test_what_no_credit_covers_is_left() -> None:
    result = burn([grant("a", "0.75"), grant("empty", "0")], Decimal("1.50"), at=NOW)
    assert result == Burn((("a", Decimal("0.75")),), Decimal("0.75"), Decimal("0.75"))


def test_nothing_to_cover_takes_nothing() -> None:
    assert burn([grant("a")], Decimal(0), at=NOW).taken == ()


def test_negative_amount_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        burn([], Decimal(-1), at=NOW)


@given(
    balances=st.lists(st.decimals(0, 1000, places=2), max_size=8),
    amount=st.decimals(0, 5000, places=2),
    data=st.data(),
)
def test_taken_is_covered_and_no_balance_falls_below_zero(
    balances: list[Decimal], amount: Decimal, data: st.DataObject
) -> None:
    grants = [
        grant(
            str(index), str(balance), priority=data.draw(st.integers(0, 2)), age=data.draw(st.integers(0, 3))
        )
        for index, balance in enumerate(balances)
    ]
    result = burn(grants, amount, at=NOW)
    taken = dict(result.taken)
    assert sum(taken.values()) == result.covered == amount - result.left
    assert all(0 < taken[item.id] <= item.balance for item in grants if item.id in taken)
    assert result.covered == min(amount, sum(balances))
