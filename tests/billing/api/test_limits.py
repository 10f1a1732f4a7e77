"""Limits in units and in money: one number everywhere, reminders once, and a hard one holds in money too."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing.entitling import entitlement
from billing.errors import InvalidLimit, LimitReached
from billing.limiting import standings
from billing.models import (
    LimitReminder,
    LimitSetter,
    NoticeMail,
    Reservation,
    UsageLimit,
    WebhookEndpoint,
    WebhookMessage,
)
from billing.previewing import preview_invoice
from billing.reminding import remind
from billing.reserving import release_reservation, reserve
from billing.restricting import set_limit
from metering.models import Meter
from tests.at_once import at_once
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send
from tests.integrator import Integrator

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
ONE = Decimal(1)
pytestmark = pytest.mark.django_db(transaction=True)


def make_limit(
    amount: str | None = None, *, units: str | None = None, rate: Any = TICKETS, **fields: Any
) -> UsageLimit:
    """Acme with a limit on tickets at $2.00, in money unless units are given."""
    if not Meter.objects.exists():
        make_meter(dimensions=["kind"])
    subscription = make_subscription(make_customer(email="anna@acme.example"), make_plan(rate))
    return set_limit(
        subscription.customer,
        Meter.objects.get(),
        set_by=fields.pop("set_by", LimitSetter.STAFF),
        quantity=None if units is None else Decimal(units),
        amount=None if amount is None else Decimal(amount),
        **fields,
    )


def test_a_hard_limit_in_money_lets_reservations_up_to_it_and_not_a_cent_above() -> None:
    limit = make_limit("10.00")
    who, what = limit.customer, limit.meter
    send(*(event(f"e{n}") for n in range(3)))  # $6.00
    reserve(who, what, quantity=ONE, key="a", now=NOW)  # $8.00
    reserve(who, what, quantity=ONE, key="b", now=NOW)  # $10.00
    with pytest.raises(LimitReached, match=r"\$0\.00 left of \$10\.00 .* It would come to \$12\.00\."):
        reserve(who, what, quantity=ONE, key="c", now=NOW)
    found = entitlement(who, what, now=NOW)
    (standing,) = found.limits
    assert (found.allowed, found.limit, found.remaining) == (False, None, None)
    assert (standing.used, standing.held, standing.remaining) == (Decimal("6.00"), Decimal("4.00"), 0)
    release_reservation(who, what, key="b")
    assert entitlement(who, what, now=NOW).allowed
    assert standing.used == preview_invoice(who.subscriptions.get(), now=NOW).lines[0].amount


def test_included_units_and_tiers_count_in_money_as_on_the_invoice() -> None:
    """2 included, then 3 at $5.00, then $1.00: a limit of $16.00 holds 2 + 3 + 1 tickets."""
    tiers = [{"up_to": "3", "unit_amount": "5"}, {"up_to": None, "unit_amount": "1"}]
    rate = {
        "kind": "usage",
        "meter": "tickets_resolved",
        "model": "graduated",
        "tiers": tiers,
        "included_units": "2",
    }
    limit = make_limit("16.00", rate=rate)
    with pytest.raises(LimitReached, match=r"It would come to \$17\.00"):
        reserve(limit.customer, limit.meter, quantity=Decimal(7), key="a", now=NOW)
    assert reserve(limit.customer, limit.meter, quantity=Decimal(6), key="b", now=NOW).state == "held"


def test_what_has_no_dimensions_yet_is_held_at_the_dearest_price() -> None:
    """$1.00 a question, $4.00 a refund: of $10.00, with 2 questions used, two refunds fit and no third."""
    rows = [
        {"match": {"kind": "question"}, "unit_amount": "1"},
        {"match": {"kind": "refund"}, "unit_amount": "4"},
    ]
    rate = {
        "kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "dimensions": ["kind"], "rows": rows,
        "unmatched": "listed",
    }  # fmt: skip
    limit = make_limit("10.00", rate=rate)
    send(*(event(f"q{n}", dimensions={"kind": "question"}) for n in range(2)))
    reserve(limit.customer, limit.meter, quantity=Decimal(2), key="a", now=NOW)
    with pytest.raises(LimitReached, match=r"It would come to \$14\.00"):
        reserve(limit.customer, limit.meter, quantity=ONE, key="b", now=NOW)


def test_of_64_parallel_reservations_against_20_dollars_exactly_10_succeed() -> None:
    limit = make_limit("20.00")
    outcomes: list[str] = []

    def work(worker: int) -> None:
        for n in range(8):
            try:
                reserve(limit.customer, limit.meter, quantity=ONE, key=f"{worker}-{n}", now=NOW)
                outcomes.append("held")
            except LimitReached:
                outcomes.append("refused")

    at_once(*(partial(work, worker) for worker in range(8)))
    assert (outcomes.count("held"), outcomes.count("refused")) == (10, 54)
    assert Reservation.objects.count() == 10


def test_a_customers_own_limit_only_makes_it_tighter() -> None:
    ours = make_limit(units="10")
    who, what = ours.customer, ours.meter
    with pytest.raises(InvalidLimit, match="Your limit is 10 tickets already: you can only set a lower one"):
        set_limit(who, what, set_by=LimitSetter.CUSTOMER, quantity=Decimal(11), amount=None)
    set_limit(who, what, set_by=LimitSetter.CUSTOMER, quantity=None, amount=Decimal("8.00"))
    reserve(who, what, quantity=Decimal(4), key="a", now=NOW)
    with pytest.raises(LimitReached, match=r"\$0\.00 left of \$8\.00"):
        reserve(who, what, quantity=ONE, key="b", now=NOW)
    # In money it may be high: what staff set in units holds all the same.
    set_limit(who, what, set_by=LimitSetter.CUSTOMER, quantity=None, amount=Decimal("99.00"))
    reserve(who, what, quantity=Decimal(6), key="c", now=NOW)
    with pytest.raises(LimitReached, match="has 0 left of 10"):
        reserve(who, what, quantity=ONE, key="d", now=NOW)


def test_each_part_is_told_once_in_a_period_by_mail_and_webhook(integrator: Integrator) -> None:
    limit = make_limit("20.00")
    WebhookEndpoint.objects.create(
        url="https://example.com/", event_types=["usage_limit.reached"], made_at=NOW
    )
    send(*(event(f"e{n}") for n in range(4)))  # $8.00 of $20.00: 40 %
    assert remind(now=NOW) == 0
    send(event("e4"))  # 50 %
    assert (remind(now=NOW), remind(now=NOW)) == (1, 0)
    send(*(event(f"f{n}") for n in range(4)))  # 90 %: the entitlement tells of 80
    found = entitlement(limit.customer, limit.meter, now=NOW)
    assert found.limits[0].percent == 90
    assert remind(now=NOW) == 0
    send(event("g0"), event("g1"))  # 110 %
    assert remind(now=NOW) == 1
    reached = LimitReminder.objects.order_by("percent").values_list("percent", "used")
    assert list(reached) == [(50, Decimal(10)), (80, Decimal(18)), (100, Decimal(22))]
    assert list(NoticeMail.objects.order_by("pk").values_list("subject", flat=True)) == [
        f"{percent} % of your limit on Tickets Resolved is used" for percent in (50, 80, 100)
    ]
    last = NoticeMail.objects.order_by("-pk")[0]
    assert "Tickets Resolved: $22.00 of $20.00 used (110 %). No more is allowed in this period." in last.body
    assert WebhookMessage.objects.count() == 3
    # The next period starts afresh.
    send(*(event(f"n{n}", occurred_at="2026-11-02T10:00:00Z") for n in range(5)))
    assert remind(now=datetime(2026, 11, 3, tzinfo=UTC)) == 1


def test_a_jump_over_several_parts_is_one_mail_and_many_lookers_tell_once() -> None:
    make_limit(units="4", kind="soft")
    send(*(event(f"e{n}") for n in range(4)))
    told = at_once(*[partial(remind, now=NOW)] * 6)
    assert sorted(told) == [0, 0, 0, 0, 0, 3]
    assert "4 tickets of 4 tickets used (100 %). More is still allowed." in NoticeMail.objects.get().body


def test_api_invoice_and_reminder_give_the_same_number(integrator: Integrator) -> None:
    limit = make_limit("20.00")
    send(*(event(f"e{n}", occurred_at="2026-11-03T10:00:00Z") for n in range(8)))
    status, answer = integrator.get("entitlements/acme/tickets_resolved/")
    assert status == 200
    assert answer["limits"] == [
        {"set_by": "staff", "kind": "hard", "unit": "money", "currency": "USD", "limit": "20.00", "used": "16.00",
         "reserved": "0.00", "remaining": "4.00"}
    ]  # fmt: skip
    november = datetime(2026, 11, 20, 12, tzinfo=UTC)
    (line,) = preview_invoice(limit.customer.subscriptions.get(), now=november).lines
    assert line.amount == Decimal("16.00") == LimitReminder.objects.get(percent=80).used


def test_looking_at_many_limits_takes_as_many_queries_as_at_one() -> None:
    make_meter()
    plan = make_plan()

    def add(*codes: str) -> list[UsageLimit]:
        for code in codes:
            customer = make_customer(code)
            make_subscription(customer, plan, start_on=date(2026, 10, 1))
            for setter in LimitSetter:
                in_money = setter == LimitSetter.CUSTOMER
                set_limit(
                    customer, Meter.objects.get(), set_by=setter,
                    quantity=None if in_money else Decimal(5), amount=Decimal(5) if in_money else None,
                )  # fmt: skip
        return list(UsageLimit.objects.select_related("customer", "meter"))

    def cost(limits: list[UsageLimit]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            standings(limits, now=NOW)
        return len(queries)

    assert cost(add("a")) == cost(add("b", "c", "d", "e"))


@pytest.mark.parametrize(
    "fields", [{}, {"quantity": 1, "amount": 1}, {"amount": -1}, {"amount": 1, "set_by": "me"}]
)
def test_the_database_refuses_a_limit_that_is_none(fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        UsageLimit.objects.create(customer=make_customer(), meter=make_meter(), **fields)
