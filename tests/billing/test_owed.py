"""What the days of a period owe of a fee, and what invoices say of it already, worked by hand."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.agreements import Stretch
from billing.fee_amounts import owed
from billing.fee_books import Billed
from billing.rating import SubscriptionRate

FLAT: dict[str, Any] = {}
WHOLE: dict[str, Any] = {"prorated": False}
SEATS: dict[str, Any] = {"per_seat": True}


def stretches(*parts: tuple[int, int]) -> list[Stretch]:
    """Days and seats, one after the other from 1 June 2026."""
    found, first = [], date(2026, 6, 1)
    for days, seats in parts:
        found.append(Stretch(first, first + timedelta(days=days), seats))
        first += timedelta(days=days)
    return found


@pytest.mark.parametrize(
    ("terms", "parts", "amount", "used", "seats", "steps"),
    [
        (FLAT, [], "0.00", 0, 1, []),
        (FLAT, [(30, 1)], "100.00", 30, 1, ["Base|flat|1|100|100"]),
        (FLAT, [(10, 1)], "33.33", 10, 1, ["Base (10 of 30 days)|flat|1|33.33|33.33"]),
        (FLAT, [(10, 2), (5, 3)], "50.00", 15, 1, ["Base (15 of 30 days)|flat|1|50.00|50.00"]),
        (WHOLE, [(10, 1)], "100.00", 30, 1, ["Base|flat|1|100|100"]),
        (WHOLE, [], "0.00", 0, 1, []),
        (SEATS, [(30, 3)], "300.00", 30, 3, ["Base|seats|3|100|300"]),
        (
            SEATS,
            [(10, 2)],
            "66.67",
            10,
            2,
            ["Base|seats|2|100|200", "20 of 30 days not used|unused_days|-|-|-133.33"],
        ),
        # 33.33..., 66.66..., 33.33...: 133.33 in all; the last step is what is left of it.
        (
            SEATS,
            [(10, 1), (10, 2), (10, 1)],
            "133.33",
            30,
            1,
            [
                "1 seat, 10 of 30 days|days|-|-|33.33",
                "2 seats, 10 of 30 days|days|-|-|66.67",
                "1 seat, 10 of 30 days|days|-|-|33.33",
            ],
        ),
        (
            SEATS,
            [(5, 1), (10, 4)],
            "150.00",
            15,
            4,
            ["1 seat, 5 of 30 days|days|-|-|16.67", "4 seats, 10 of 30 days|days|-|-|133.33"],
        ),
        (SEATS | WHOLE, [(10, 2), (20, 5)], "200.00", 30, 2, ["Base|seats|2|100|200"]),
    ],
)
def test_a_fee_of_100_owes_for_its_days_and_seats(
    terms: dict[str, Any], parts: list[tuple[int, int]], amount: str, used: int, seats: int, steps: list[str]
) -> None:
    found = owed(SubscriptionRate("Base", Decimal(100), **terms), stretches(*parts), days=30, digits=2)
    assert (str(found.amount), found.used, found.days, found.seats) == (amount, used, 30, seats)
    assert found.is_part is (used < 30)
    fields = ("label", "kind", "quantity", "unit_amount", "amount")
    assert ["|".join(str(step.as_json()[name] or "-") for name in fields) for step in found.steps] == steps
    assert sum((step.amount for step in found.steps), Decimal(0)) == found.amount


def test_a_void_invoice_leaves_only_its_number_of_the_line() -> None:
    first = Billed().plus(Decimal(10), 1, until=date(2026, 7, 1), number="INV-1")
    assert first == Billed(Decimal(10), 2, live=True, until=date(2026, 7, 1), number="INV-1")
    void: dict[str, Any] = {"until": date(2026, 8, 1), "number": "INV-2", "live": False}
    assert first.plus(Decimal(99), 2, **void) == Billed(Decimal(10), 3, True, date(2026, 7, 1), "INV-1")
    assert Billed().plus(Decimal(99), 1, **void) == Billed(next_n=2)
    earlier = first.plus(Decimal(-4), 5, until=date(2026, 6, 20), number="INV-3")
    assert earlier == Billed(Decimal(6), 6, True, date(2026, 7, 1), "INV-3")
    assert earlier.plus(Decimal(1), 3, until=date(2026, 6, 20), number="INV-4").next_n == 6
