"""What counts as unusual about an invoice, worked by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.findings import Bill, Finding, Limits, Shown, compare, is_approved, line_name, sentence

LIMITS = Limits(factor=10, amount=5_000, holds=frozenset({"jump", "portal"}))
TICKETS = ("usage", "Tickets")


def bill(total: str, *, days: int = 30, **lines: tuple[str, str]) -> Bill:
    named = {
        ("usage", name): (Decimal(quantity), Decimal(amount)) for name, (quantity, amount) in lines.items()
    }
    return Bill(Decimal(total), days, named)


def kinds(found: list[Finding]) -> list[tuple[str, str, bool]]:
    return [(each.kind, each.subject, each.holds) for each in found]


@pytest.mark.parametrize(
    ("before", "now", "jumped"),
    [
        ("600", "6000", True),  # ten times as much, 5,400 apart
        ("600", "5999.99", False),  # not ten times
        ("500", "5499.99", False),  # ten times, 4,999.99 apart
        ("6000", "600", True),
        ("6000", "600.01", False),
        ("6000", "0", True),
        ("0", "1000000", False),  # nothing to compare with
    ],
)
def test_a_jump_is_ten_times_as_much_or_as_little_and_far_apart(before: str, now: str, jumped: bool) -> None:
    found = kinds(compare(bill(now), bill(before), None, LIMITS))
    assert (("jump", "", True) in found) == jumped


def test_a_part_of_a_period_is_compared_as_if_it_were_whole() -> None:
    # One day at 300.00 is as much as 30 days at 9,000.00.
    assert compare(bill("9000"), bill("300", days=1), None, LIMITS) == []


def test_lines_that_are_new_gone_or_stopped_are_named_and_hold_nothing() -> None:
    before = bill("30", Calls=("5", "10"), Tokens=("9", "10"), Seats=("1", "10"))
    now = bill("20", Calls=("0", "0"), Seats=("1", "10"), Chats=("2", "10"))
    assert kinds(compare(now, before, None, LIMITS)) == [
        ("stopped", "Calls", False),
        ("vanished", "Tokens", False),
        ("new", "Chats", False),
    ]


def test_a_fee_for_some_of_the_days_is_the_same_line() -> None:
    assert line_name("subscription", "Base (10 of 31 days)") == line_name("subscription", "Base")


@pytest.mark.parametrize(
    ("shown", "final", "now", "found"),
    [
        ("100", False, "240", []),  # it grew, as a running period does
        ("100", False, "99", [("portal", "", False)]),
        ("100", True, "100", []),
        ("100", True, "101", [("portal", "", False)]),
        ("700", False, "7000", [("portal", "", True)]),
        ("7000", True, "700", [("portal", "", True)]),
    ],
)
def test_an_invoice_differs_from_the_portal(shown: str, final: bool, now: str, found: list[object]) -> None:
    assert kinds(compare(bill(now), None, Shown(Decimal(shown), final), LIMITS)) == found


def test_a_first_invoice_has_nothing_to_be_compared_with() -> None:
    assert compare(bill("100000", Tickets=("1", "1")), None, None, LIMITS) == []
    assert kinds(compare(bill("0"), None, None, LIMITS)) == [("zero", "", False)]


def test_what_was_approved_is_held_again_when_it_changes_a_lot() -> None:
    def jump(now: str) -> Finding:
        return Finding("jump", "", Decimal(600), Decimal(now), holds=True)

    assert is_approved(jump("6000"), [jump("6000")], LIMITS)
    assert is_approved(jump("9000"), [jump("6000")], LIMITS)
    assert not is_approved(jump("60000"), [jump("6000")], LIMITS)
    assert not is_approved(jump("6000"), [], LIMITS)
    assert not is_approved(jump("6000"), [Finding("portal", "", None, Decimal(6000), holds=True)], LIMITS)


AMOUNTS = st.decimals(min_value=-(10**6), max_value=10**6, places=2)


@given(AMOUNTS, AMOUNTS)
def test_findings_survive_being_stored_and_every_one_has_a_sentence(before: Decimal, now: Decimal) -> None:
    bills = (
        Bill(now, 31, {("usage", "New"): (Decimal(1), now)}),
        Bill(before, 30, {("usage", "Old"): (Decimal(1), before)}),
    )
    for found in compare(*bills, Shown(before, True), LIMITS):
        assert Finding.from_json(found.as_json()) == found
        assert sentence(found, "USD")
        assert found.weight >= 0
