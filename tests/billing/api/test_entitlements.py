"""Limits answer what may still be used, with the invoice's number; parallel reservations never exceed a hard one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from billing.entitling import entitlement
from billing.errors import LimitReached, ReservationRefused
from billing.models import Reservation, UsageLimit
from billing.previewing import preview_invoice
from billing.reserving import release_reservation, reserve, settle_reservation
from metering.models import Meter
from tests.at_once import at_once
from tests.factories import event, make_customer, make_meter, make_subscription, send
from tests.integrator import Integrator

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
ROUTE = "entitlements/acme/tickets_resolved/"


def make_limit(quantity: str = "10", **fields: Any) -> UsageLimit:
    """Acme in New York, with a limit on tickets; its October ends at 04:00 UTC on 1 November."""
    subscription = make_subscription(make_customer(timezone="America/New_York"))
    return UsageLimit.objects.create(
        customer=subscription.customer, meter=Meter.objects.get(), quantity=Decimal(quantity), **fields
    )


@pytest.mark.django_db(transaction=True)
def test_used_is_what_the_invoice_would_carry_and_reservations_come_off_what_remains() -> None:
    limit = make_limit()
    send(*(event(f"e{n}") for n in range(4)))
    reserve(limit.customer, limit.meter, quantity=Decimal("1.5"), key="job-1", now=NOW)
    found = entitlement(limit.customer, limit.meter, now=NOW)
    assert (found.allowed, found.limit, found.used, found.reserved, found.remaining) == (
        True, 10, 4, Decimal("1.5"), Decimal("4.5"),
    )  # fmt: skip
    assert found.resets_at == datetime(2026, 11, 1, 4, tzinfo=UTC)
    draft = preview_invoice(limit.customer.subscriptions.get(), now=NOW)
    assert draft.lines[0].quantity == found.used


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("kind", "allowed"), [("hard", False), ("soft", True)])
def test_at_the_limit_a_hard_one_says_no_and_a_soft_one_still_yes(kind: str, allowed: bool) -> None:
    limit = make_limit("3", kind=kind)
    send(*(event(f"e{n}") for n in range(5)))
    found = entitlement(limit.customer, limit.meter, now=NOW)
    assert (found.allowed, found.remaining) == (allowed, 0)
    if allowed:
        assert reserve(limit.customer, limit.meter, quantity=Decimal(1), key="a", now=NOW).state == "held"
    else:
        with pytest.raises(LimitReached, match="has 0 left of 3"):
            reserve(limit.customer, limit.meter, quantity=Decimal(1), key="a", now=NOW)
        assert not Reservation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_ended_reservation_gives_back_what_it_held_and_its_key_stays_used() -> None:
    limit = make_limit("2")
    who, what = limit.customer, limit.meter
    for key in ("a", "b"):
        reserve(who, what, quantity=Decimal(1), key=key, now=NOW)
    release_reservation(who, what, key="a")
    release_reservation(who, what, key="a")
    settle_reservation(who, what, key="b")
    send(event("b"))
    found = entitlement(who, what, now=NOW)
    assert (found.used, found.reserved, found.remaining) == (1, 0, 1)
    with pytest.raises(ReservationRefused, match="released already"):
        settle_reservation(who, what, key="a")
    with pytest.raises(ReservationRefused, match="settled already"):
        reserve(who, what, quantity=Decimal(1), key="b", now=NOW)


@pytest.mark.django_db(transaction=True)
def test_what_was_held_in_an_earlier_period_is_not_counted_in_the_next() -> None:
    limit = make_limit("2")
    reserve(limit.customer, limit.meter, quantity=Decimal(2), key="a", now=NOW)
    november = datetime(2026, 11, 2, tzinfo=UTC)
    assert entitlement(limit.customer, limit.meter, now=november).remaining == 2


@pytest.mark.django_db(transaction=True)
def test_of_64_parallel_reservations_against_a_limit_of_10_exactly_10_succeed() -> None:
    limit = make_limit("10")
    outcomes: list[str] = []

    def work(worker: int) -> None:
        for n in range(4):
            try:
                reserve(limit.customer, limit.meter, quantity=Decimal(1), key=f"{worker}-{n}", now=NOW)
                outcomes.append("held")
            except LimitReached:
                outcomes.append("refused")

    at_once(*(partial(work, worker) for worker in range(16)))
    assert (outcomes.count("held"), outcomes.count("refused")) == (10, 54)
    assert Reservation.objects.count() == 10


@pytest.mark.django_db(transaction=True)
def test_the_routes_answer_reserve_settle_and_release(integrator: Integrator) -> None:
    make_limit("2")
    status, answer = integrator.get(ROUTE)
    assert (status, answer["limit"], answer["remaining"], answer["kind"]) == (200, "2", "2", "hard")
    assert integrator.post(f"{ROUTE}reserve/", {"key": "job", "quantity": "2"}) == (
        200,
        {
            "reservation": "job",
            "quantity": "2",
            "state": "held",
            "made_at": "2026-11-20T12:00:00Z",
            "expires_at": None,
        },
    )
    assert integrator.post(f"{ROUTE}reserve/", {"key": "job", "quantity": "2"})[0] == 200
    status, answer = integrator.post(f"{ROUTE}reserve/", {"key": "other", "quantity": "1"})
    assert (status, answer["error"]["code"]) == (409, "limit_reached")
    assert integrator.post(f"{ROUTE}release/", {"key": "job"})[1]["state"] == "released"
    assert integrator.post(f"{ROUTE}settle/", {"key": "job"})[1]["error"]["code"] == "reservation_refused"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"key": "a"}, "quantity"),
        ({"key": "a", "quantity": "0"}, "quantity"),
        ({"key": "a", "quantity": "NaN"}, "quantity"),
        ({"quantity": "1"}, "key"),
        ({"key": "a", "quantity": "1", "colour": "red"}, "colour"),
    ],
)
def test_a_reservation_that_is_none_is_refused_by_name(
    integrator: Integrator, body: dict[str, str], field: str
) -> None:
    make_limit()
    status, answer = integrator.post(f"{ROUTE}reserve/", body)
    assert (status, list(answer["error"]["fields"])) == (400, [field])
    assert not Reservation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_without_a_limit_everything_is_allowed_and_the_calendar_month_counts(integrator: Integrator) -> None:
    make_meter()
    make_customer()
    answer = integrator.get(ROUTE)[1]
    assert (answer["allowed"], answer["limit"], answer["remaining"]) == (True, None, None)
    assert answer["resets_at"] == "2026-12-01T00:00:00Z"
    assert integrator.get("entitlements/nobody/tickets_resolved/")[0] == 404
    assert integrator.get("entitlements/acme/nothing/")[0] == 404
    assert integrator.get("entitlements/ac%00me/tickets_resolved/")[0] == 404
    assert integrator.get("entitlements/acme/%00/")[0] == 404
    assert integrator.get("plans/a%00b/compare/")[1]["error"]["code"] == "not_found"
