"""Fixed fees by days."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from billing.rating.commitments import true_up
from billing.rating.errors import InvalidArgument
from billing.rating.proration import PlanChange, cap_credit, change_plan, days_between, prorate


@pytest.mark.parametrize(
    ("used", "period", "digits", "expected"),
    [
        (31, 31, 2, "199.00"),
        (0, 31, 2, "0.00"),
        (1, 1, 2, "199.00"),
        (16, 31, 2, "102.71"),  # 199 x 16 / 31 = 102.709...
        (1, 28, 2, "7.11"),  # 7.107...
        (1, 3, 0, "66"),  # 66.33
        (1, 2, 0, "100"),  # 99.5, half away from zero
        (1, 3, 3, "66.333"),
    ],
)
def test_fee_for_the_days_used(used: int, period: int, digits: int, expected: str) -> None:
    assert str(prorate(Decimal(199), days_used=used, days_in_period=period, digits=digits)) == expected


@pytest.mark.parametrize(("used", "period"), [(-1, 30), (31, 30), (0, 0), (0, -1)])
def test_days_used_are_within_the_period(used: int, period: int) -> None:
    with pytest.raises(InvalidArgument):
        prorate(Decimal(1), days_used=used, days_in_period=period, digits=2)


def test_upgrade_on_the_sixteenth_of_june() -> None:
    change = change_plan(Decimal(100), Decimal(300), days_left=15, days_in_period=30, digits=2)
    assert change == PlanChange(Decimal("50.00"), Decimal("150.00"))


def test_new_billing_period_is_charged_whole() -> None:
    change = change_plan(
        Decimal(1000), Decimal(100), days_left=292, days_in_period=365, digits=2, restarts=True
    )
    assert change == PlanChange(Decimal("800.00"), Decimal("100.00"))


@pytest.mark.parametrize(
    ("first", "end", "days"),
    [("2024-02-18", "2024-03-18", 29), ("2025-03-30", "2025-03-30", 0), ("2024-12-30", "2025-01-02", 3)],
)
def test_days_are_calendar_days(first: str, end: str, days: int) -> None:
    assert days_between(date.fromisoformat(first), date.fromisoformat(end)) == days


def test_days_do_not_run_backwards() -> None:
    with pytest.raises(InvalidArgument):
        days_between(date(2025, 1, 2), date(2025, 1, 1))


@pytest.mark.parametrize(("before", "expected"), [("50", "100"), ("180", "20"), ("200", "0"), ("250", "0")])
def test_never_more_is_handed_back_than_was_paid(before: str, expected: str) -> None:
    credit = cap_credit(Decimal(100), paid=Decimal(200), credited_before=Decimal(before))
    assert credit == Decimal(expected)


@pytest.mark.parametrize("credit", ["-50", "0"])
def test_a_credit_of_nothing_or_less_hands_nothing_back(credit: str) -> None:
    assert cap_credit(Decimal(credit), paid=Decimal(200), credited_before=Decimal(50)) == 0


@pytest.mark.parametrize(
    ("used", "expected"), [("750.00", "250"), ("1000", "0"), ("1000.01", "0"), ("0", "1000")]
)
def test_true_up_is_what_is_missing_to_the_minimum(used: str, expected: str) -> None:
    assert true_up(Decimal(1000), Decimal(used)) == Decimal(expected)
