"""Margins where costs and revenue do not meet one to one: several plans, fees, other time zones, no evidence."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from billing.closing import close_period
from billing.correcting import issue_credit_note
from billing.cost_rates import Validity, add_cost_rate
from billing.invoice_margins import invoice_margins
from billing.margins import MARGIN_GROUPS, Margin, margins
from billing.models import Invoice
from billing.months import Month
from billing.revenue import issued_line
from metering.models import Workload
from tests.factories import NOW, TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db
FIRST, LAST = date(2026, 10, 1), date(2026, 11, 1)
FEE = {"kind": "subscription", "label": "Platform", "amount": "31.00", "timing": "in_advance"}


@pytest.fixture(autouse=True)
def calls() -> None:
    make_meter("api_calls")
    add_cost_rate({"meter": "api_calls", "model": "per_unit", "unit_amount": "0.50"}, Validity())


def call(key: str, value: int = 1, **fields: Any) -> dict[str, Any]:
    return event(key, meter="api_calls", value=str(value), **fields)


def by(name: str, first: date = FIRST, last: date = LAST, **more: Any) -> dict[str, tuple[Decimal, Decimal]]:
    found = margins(first, last, group_by=name, now=NOW, **more)
    rows = {"/".join(values): group for values, group in found.groups.items()} | {"": found.unassigned}
    return {
        name: (Decimal(str(float(row.revenue))), Decimal(str(float(row.cost)))) for name, row in rows.items()
    }


def lines_of(**more: Any) -> dict[str, tuple[Fraction, Fraction]]:
    found = invoice_margins(FIRST, LAST, by_line=True, now=NOW, **more)
    return {values[5]: (group.revenue, group.cost) for values, group in found.groups.items()}


def test_a_fee_is_earned_day_by_day_and_usage_when_it_is_used() -> None:
    make_meter()
    make_subscription(plan=make_plan(FEE, TICKETS))
    send(event("t"))
    week = by("customer", last=date(2026, 10, 8))
    # 7 of 31 days, of the fee and of what the month's usage earns
    assert week["acme"][0] == Decimal(str(float(Fraction(33 * 7, 31))))
    assert by("month") == {"2026-10": (33, 0), "": (0, 0)}


def test_the_usage_of_a_running_month_is_earned_by_now() -> None:
    make_subscription()
    send(event("t", occurred_at="2026-11-19T10:00:00Z"))
    assert by("customer", first=date(2026, 11, 1), last=date(2026, 11, 21))["acme"] == (2, 0)


def test_a_customers_cost_goes_to_its_plans_by_what_they_earn() -> None:
    make_meter()
    make_meter("chats")
    customer = make_customer()
    make_subscription(customer, make_plan())
    chats = {**TICKETS, "meter": "chats", "unit_amount": "6.00"}
    make_subscription(customer, make_plan(chats, code="chat"))
    make_customer("nobody")
    send(event("t"), event("c", meter="chats"), call("a", 16), call("b", 2, customer="nobody"))
    assert by("plan") == {"support": (2, 2), "chat": (6, 6), "": (0, 1)}
    # Both invoices are of the same month: neither has the cost twice.
    found = invoice_margins(FIRST, LAST, by_line=False, now=NOW)
    assert {values[2]: (group.revenue, group.cost) for values, group in found.groups.items()} == {
        "support": (2, 2),
        "chat": (6, 6),
    }


def test_a_cost_is_on_the_line_of_its_subject_and_else_in_a_row_of_its_own() -> None:
    make_meter()
    make_meter("chats")
    make_subscription(plan=make_plan(TICKETS, {**TICKETS, "meter": "chats"}, FEE))
    send(
        event("t", subject="one"),
        event("c", meter="chats", subject="two"),
        call("a", 2, subject="one"),
        call("b", 4, subject="two"),
        call("d", 6, subject="three"),
        call("e", 8),
    )
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    expected = {"Tickets Resolved": (2, 1), "Chats": (2, 2), "Platform": (31, 0), "": (0, 7)}
    assert lines_of() == expected
    assert lines_of(invoice_id=Invoice.objects.get().pk) == expected
    tickets = by("subject")
    assert (tickets["acme/one"], tickets["acme/two"]) == ((2, 1), (2, 2))
    assert (tickets["acme/three"], tickets[""]) == ((0, 3), (31, 4))  # a fee is no ticket's


def test_a_meter_that_is_priced_and_costed_has_both_on_its_own_line() -> None:
    price = {**TICKETS, "meter": "api_calls", "unit_amount": "0.75"}
    make_subscription(plan=make_plan(price))
    send(call("a", 100))
    assert lines_of() == {"Api Calls": (75, 50)}
    assert by("meter") == {"api_calls": (75, 50), "": (0, 0)}


def test_an_invoice_has_the_costs_of_its_own_time_in_its_zone() -> None:
    make_meter()
    make_subscription(make_customer(timezone="America/New_York"), make_plan())
    send(
        event("t"),
        call("before", 2, occurred_at="2026-10-01T03:59:59Z"),
        call("in", 10, occurred_at="2026-11-01T03:59:59Z"),
        call("after", 100, occurred_at="2026-11-01T04:00:00Z"),
    )
    found = invoice_margins(FIRST, LAST, by_line=False, now=NOW)
    assert [group.cost for group in found.groups.values()] == [5]


def test_a_credit_note_takes_revenue_off_its_invoice() -> None:
    make_subscription()
    send(*(event(f"t{n}") for n in range(10)))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    assert by("customer") == {"acme": (20, 0), "": (0, 0)}
    issue_credit_note(Invoice.objects.get(), amount=Decimal(5), reason="Wrong price", by="Ada", now=NOW)
    assert by("customer") == {"acme": (15, 0), "": (0, 0)}


def test_coupons_and_tax_inside_a_price_are_not_revenue() -> None:
    """Of $20.00, $2.00 come off by a coupon and $3.00 are tax: $15.00 are earned."""
    make_subscription()
    send(*(event(f"t{n}") for n in range(10)))
    close_period(Month(2026, 10), now=NOW, grace_days=14)  # a draft, whose sums may still change
    draft = Invoice.objects.get()
    draft.discount, draft.tax_included, draft.total = Decimal(2), Decimal(3), Decimal(18)
    line = draft.lines.get()
    line.invoice = draft
    assert issued_line(line).amount == 15


def test_workloads_earn_what_their_events_earn() -> None:
    make_subscription()
    Workload.objects.create(code="bot", name="Bot")
    send(event("a", workload="bot"), event("b", workload="bot"), event("c"), call("d", 2, workload="bot"))
    assert by("workload") == {"bot": (4, 1), "": (2, 0)}


def test_every_way_of_grouping_comes_to_the_same_revenue_and_cost() -> None:
    make_meter()
    make_subscription(plan=make_plan(FEE, TICKETS))
    make_subscription(make_customer("globex"), make_plan(TICKETS, code="other"))
    make_customer("nobody")
    Workload.objects.create(code="bot", name="Bot")
    add_cost_rate({"kind": "fixed", "workload": "bot", "amount": "10"}, Validity())
    send(
        event("a", subject="one", workload="bot"),
        event("b", subject="two", customer="globex"),
        call("c", 3, subject="one", workload="bot"),
        call("d", 5, customer="globex"),
        call("e", 7, customer="nobody"),
    )
    wholes = [margins(FIRST, LAST, group_by=name, now=NOW).whole for name in MARGIN_GROUPS]
    assert wholes == [Margin(Fraction(35), Fraction("17.5"))] * len(MARGIN_GROUPS)
    assert wholes[0].percent == 50


def test_who_cannot_be_priced_is_named_and_the_others_are_there() -> None:
    rows = [{"match": {"channel": "email"}, "unit_amount": "2"}]
    make_meter(dimensions=["channel"])
    listed = {**TICKETS, "dimensions": ["channel"], "rows": rows, "unmatched": "listed"}
    listed.pop("unit_amount")
    make_subscription(plan=make_plan(listed))
    make_subscription(make_customer("globex"))
    send(
        event("a", dimensions={"channel": "fax"}),
        event("b", customer="globex", dimensions={"channel": "email"}),
    )
    found = margins(FIRST, LAST, group_by="customer", now=NOW)
    assert {values[0]: group.revenue for values, group in found.groups.items()} == {"globex": 2}
    assert len(found.failures) == 1
    assert found.failures[0].startswith("Acme")


def test_margins_ask_as_often_for_many_customers_as_for_one(django_assert_max_num_queries: Any) -> None:
    make_meter()
    plan = make_plan()
    for n in range(12):
        make_subscription(make_customer(f"c{n}"), plan)
    send(*(event(f"e{n}", customer=f"c{n}", subject=f"s{n}") for n in range(12)), call("x", customer="c1"))
    for name in MARGIN_GROUPS:
        with django_assert_max_num_queries(23):
            margins(FIRST, LAST, group_by=name, now=NOW)
    with django_assert_max_num_queries(24):
        invoice_margins(FIRST, LAST, by_line=True, now=NOW)
