"""Comparing versions of a plan and moving customers."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from billing.closing import close_period
from billing.models import Invoice, InvoiceLine, MeterCoverage, Plan, Subscription
from billing.months import Month
from billing.pricing import activate_plan, change_draft, create_version
from billing.subscribing import subscribe
from billing.version_differences import compare_versions
from billing.versions import move, preview_move
from tests.factories import (
    NOW,
    TICKETS,
    event,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)

pytestmark = pytest.mark.django_db
SETUP = {"kind": "one_time", "label": "Set-up", "amount": "500.00"}
BASE = {"kind": "subscription", "label": "Base", "amount": "10.00"}


def second_version(first: Plan, *rates: dict[str, object]) -> Plan:
    return activate_plan(change_draft(create_version(first), rates=rates), now=NOW)


def test_versions_are_compared_side_by_side_in_words() -> None:
    make_meter()
    first = make_plan(TICKETS, BASE)
    second = second_version(first, TICKETS | {"unit_amount": "2.50"}, SETUP)
    found = [(each.name, each.before, each.after, each.change) for each in compare_versions(first, second)]
    assert found[2:] == [
        ("Tickets Resolved", "$2.00 per ticket", "$2.50 per ticket", "changed"),
        ("Set-up", "", "$500.00 once", "added"),
        ("Base", "$10.00 per month, in advance, by days for a part of a month", "", "removed"),
    ]
    assert [each.change for each in compare_versions(first, first)] == ["same"] * 4


def test_the_effect_of_a_move_is_shown_on_the_last_full_period_and_writes_nothing() -> None:
    make_meter()
    first = make_plan()
    subscription = make_subscription(make_customer(), first)
    send_tickets(120)
    second = second_version(first, TICKETS | {"unit_amount": "2.50"})
    before = list(Subscription.objects.values())
    effect = preview_move([subscription], to=second, now=NOW)[0]
    assert (effect.moves_on, effect.before, effect.after, effect.difference) == (
        date(2026, 12, 1),
        Decimal(240),
        Decimal(300),
        Decimal(60),
    )
    assert list(Subscription.objects.values()) == before


def test_a_moved_customer_pays_the_new_price_from_the_next_period_and_no_second_set_up() -> None:
    make_meter()
    first = make_plan(TICKETS, SETUP)
    subscription = make_subscription(make_customer(), first)
    second = second_version(first, TICKETS | {"unit_amount": "2.50"}, SETUP)
    moved = move([subscription], to=second, now=NOW)[0]
    assert moved.following is not None
    assert (moved.following.start_on, moved.following.plan) == (date(2026, 12, 1), second)
    send_tickets(10, occurred_at="2026-11-05T00:00:00Z")
    later = datetime(2027, 1, 2, tzinfo=UTC)
    # Events may lie an hour ahead at most, so December's arrive when December runs.

    send(event("dec", occurred_at="2026-12-01T00:00:00Z"), now=later)
    for month in (10, 11, 12):
        close_period(Month(2026, month), now=later, grace_days=0)
    lines = InvoiceLine.objects.order_by("period_start", "n").values_list("description", "amount")
    assert list(lines) == [
        ("Tickets Resolved", 0),
        ("Set-up", 500),
        ("Tickets Resolved", 20),
        ("Tickets Resolved", Decimal("2.50")),
    ]


def test_a_move_at_a_date_keeps_the_anchor_and_leaves_no_day_out_or_twice() -> None:
    make_meter()
    first = make_plan()
    subscription = subscribe(
        make_customer(), plan=first, start_on=date(2026, 8, 31), anchor="anniversary", quantity=3
    )
    second = second_version(first, TICKETS)
    following = move([subscription], to=second, on=date(2026, 11, 25), now=NOW)[0].following
    subscription.refresh_from_db()
    assert following is not None
    assert (subscription.end_on, following.start_on) == (date(2026, 11, 25), date(2026, 11, 25))
    assert (following.anchored_on, following.quantity) == (date(2026, 8, 31), 3)
    days = [coverage.during for coverage in MeterCoverage.objects.order_by("during")]
    assert [(each.lower, each.upper) for each in days] == [
        (date(2026, 8, 31), date(2026, 11, 25)),
        (date(2026, 11, 25), None),
    ]


def test_invoiced_days_are_not_moved_and_the_others_are() -> None:
    make_meter()
    first = make_plan()
    billed = make_subscription(make_customer("billed"), first, start_on=date(2026, 9, 1))
    close_period(Month(2026, 10), now=NOW, grace_days=0, customer_codes=["billed"])
    free = make_subscription(make_customer("free"), first, start_on=date(2026, 9, 1))
    second = second_version(first, TICKETS)
    done = move([billed, free], to=second, on=date(2026, 10, 15), now=NOW)
    assert [bool(each.following) for each in done] == [False, True]
    assert "invoiced already" in done[0].problem
    assert Subscription.objects.filter(customer=billed.customer).count() == 1
    assert Invoice.objects.count() == 1


def test_moving_again_is_refused_and_changes_nothing() -> None:
    make_meter()
    first = make_plan()
    subscription = make_subscription(make_customer(), first)
    second = second_version(first, TICKETS)
    move([subscription], to=second, now=NOW)
    again = move([subscription], to=second, now=NOW)[0]
    assert again.following is None
    assert "ends on 2026-12-01 already" in again.problem
    assert Subscription.objects.count() == 2


def test_own_terms_of_a_customer_move_along_and_are_used() -> None:
    make_meter()
    first = make_plan()
    own = [{"rate": 0, "terms": TICKETS | {"unit_amount": "1.50"}}]
    subscription = make_subscription(make_customer(), first, overrides=own)
    send_tickets(10)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    line = InvoiceLine.objects.get()
    assert (line.amount, line.terms["unit_amount"]) == (Decimal(15), "1.50")
    second = second_version(first, TICKETS | {"unit_amount": "3.00"})
    effect = preview_move([subscription], to=second, now=NOW)[0]
    assert (effect.before, effect.after, effect.lost) == (Decimal(15), Decimal(15), ())
    following = move([subscription], to=second, now=NOW)[0].following
    assert following is not None
    assert next(iter(following.overrides.values()))["unit_amount"] == "1.50"
