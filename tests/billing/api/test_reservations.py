"""Reservations that are broken on purpose: expired, ended twice, of another period, at once, and of a killed worker."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection

from billing.agreed_changes import Author
from billing.changing import change_plan
from billing.entitling import entitlement
from billing.errors import LimitReached, ReservationRefused
from billing.models import LimitSetter, Reservation, UsageLimit
from billing.reserving import held_reservations, release_reservation, reserve, settle_reservation
from billing.restricting import remove_limit, set_limit
from metering.models import Meter
from tests.at_once import Running, told_at_once
from tests.factories import event, make_customer, make_meter, make_plan, make_subscription, send
from tests.integrator import Integrator
from tests.stories.processes import start_command

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
ONE = Decimal(1)
ROUTE = "entitlements/acme/tickets_resolved/"
pytestmark = pytest.mark.django_db(transaction=True)


def make_limit(quantity: str | None = "2", amount: str | None = None) -> UsageLimit:
    subscription = make_subscription(make_customer())
    return set_limit(
        subscription.customer, Meter.objects.get(), set_by=LimitSetter.STAFF,
        quantity=None if quantity is None else Decimal(quantity), amount=None if amount is None else Decimal(amount),
    )  # fmt: skip


def remaining(limit: UsageLimit, *, now: datetime = NOW) -> Decimal | None:
    return entitlement(limit.customer, limit.meter, now=now).remaining


def test_an_expired_reservation_is_no_longer_counted_and_may_still_be_settled() -> None:
    limit = make_limit()
    who, what = limit.customer, limit.meter
    reserve(who, what, quantity=Decimal(2), key="a", now=NOW, expires_in=QUARTER)
    just_before, then = NOW + QUARTER - timedelta(microseconds=1), NOW + QUARTER
    assert (remaining(limit, now=just_before), remaining(limit, now=then)) == (0, 2)
    with pytest.raises(ReservationRefused, match="expired at 2026-10-20 12:15:00 UTC"):
        reserve(who, what, quantity=Decimal(2), key="a", now=then)
    assert held_reservations(who, what, now=then) == []
    assert settle_reservation(who, what, key="a").state == "settled"
    assert remaining(limit, now=then) == 2


def test_in_money_too_what_expired_gives_back_what_it_held() -> None:
    limit = make_limit(None, "4.00")
    who, what = limit.customer, limit.meter
    reserve(who, what, quantity=Decimal(2), key="a", now=NOW, expires_in=QUARTER)
    with pytest.raises(LimitReached):
        reserve(who, what, quantity=ONE, key="b", now=NOW)
    assert reserve(who, what, quantity=Decimal(2), key="b", now=NOW + QUARTER).state == "held"


def test_ending_twice_is_the_same_and_ending_otherwise_is_refused() -> None:
    limit = make_limit()
    who, what = limit.customer, limit.meter
    ends = {"settled": settle_reservation, "released": release_reservation}
    for key, (state, end), (_, other) in (("a", *ends.items()), ("b", *reversed(ends.items()))):
        reserve(who, what, quantity=ONE, key=key, now=NOW)
        assert (end(who, what, key=key).state, end(who, what, key=key).state) == (state, state)
        with pytest.raises(ReservationRefused, match=f"was {state} already"):
            other(who, what, key=key)
        assert Reservation.objects.get(key=key).state == state
    with pytest.raises(ReservationRefused, match="has no reservation"):
        release_reservation(who, what, key="c")


def test_a_key_stands_for_one_quantity() -> None:
    limit = make_limit()
    reserve(limit.customer, limit.meter, quantity=ONE, key="a", now=NOW)
    with pytest.raises(ReservationRefused, match=r"is of 1\. Reserve under a key"):
        reserve(limit.customer, limit.meter, quantity=Decimal(2), key="a", now=NOW)
    assert remaining(limit) == 1


def test_a_key_is_of_one_customer_and_meter() -> None:
    limit = make_limit()
    who, what = limit.customer, limit.meter
    others = [(make_customer("globex"), what), (who, make_meter("calls"))]
    for quantity, pair in enumerate([(who, what), *others], start=1):
        assert reserve(*pair, quantity=Decimal(quantity), key="a", now=NOW).quantity == quantity
    settle_reservation(*others[0], key="a")
    release_reservation(*others[1], key="a")
    assert remaining(limit) == 1
    assert Reservation.objects.get(customer=who, meter=what).state == "held"


def test_a_key_of_a_period_that_is_over_holds_nothing_and_says_so() -> None:
    """The same answer again in November would stand for nothing: three could hold two."""
    limit = make_limit()
    who, what = limit.customer, limit.meter
    last = datetime(2026, 10, 31, 23, 59, 59, 999999, tzinfo=UTC)
    reserve(who, what, quantity=Decimal(2), key="a", now=last)
    assert reserve(who, what, quantity=Decimal(2), key="a", now=last).state == "held"
    november = datetime(2026, 11, 1, tzinfo=UTC)
    with pytest.raises(ReservationRefused, match="was of a billing period that is over"):
        reserve(who, what, quantity=Decimal(2), key="a", now=november)
    assert reserve(who, what, quantity=Decimal(2), key="b", now=november).made_at == november
    release_reservation(who, what, key="a")
    assert remaining(limit, now=november) == 0


def test_a_plan_that_changes_today_leaves_no_room_beside_what_was_reserved_today() -> None:
    """Its period begins this morning: what was reserved at noon is used in it, and yesterday's was in the old one."""
    limit = make_limit("3")
    who, what = limit.customer, limit.meter
    reserve(who, what, quantity=ONE, key="yesterday", now=NOW - timedelta(days=1))
    reserve(who, what, quantity=Decimal(2), key="a", now=NOW)
    later = NOW + timedelta(hours=1)
    other = make_plan(code="other")
    change_plan(who.subscriptions.get(), to=other, when="now", author=Author(later, "clara"))
    found = entitlement(who, what, now=later)
    assert (found.reserved, found.remaining) == (2, 1)
    with pytest.raises(LimitReached, match="has 1 left of 3"):
        reserve(who, what, quantity=Decimal(2), key="b", now=later)
    assert reserve(who, what, quantity=Decimal(2), key="a", now=later).state == "held"
    assert [each.key for each in held_reservations(who, what, now=later)] == ["a"]
    with pytest.raises(ReservationRefused, match="was of a billing period that is over"):
        reserve(who, what, quantity=ONE, key="yesterday", now=later)


def test_the_same_key_at_once_is_one_reservation() -> None:
    limit = make_limit()
    told = told_at_once(*[partial(reserve, limit.customer, limit.meter, quantity=ONE, key="a", now=NOW)] * 8)
    assert told == ["done"] * 8
    assert Reservation.objects.count() == 1
    assert remaining(limit) == 1


def test_settling_and_releasing_at_once_ends_it_one_way() -> None:
    limit = make_limit()
    who, what = limit.customer, limit.meter
    reserve(who, what, quantity=ONE, key="a", now=NOW)
    told = told_at_once(
        *[partial(end, who, what, key="a") for end in (settle_reservation, release_reservation)] * 3
    )
    assert told == ["done"] * 3 + ["reservation_refused"] * 3
    assert remaining(limit) == 2


def test_a_limit_that_is_set_while_others_reserve_holds_for_all_that_come_after() -> None:
    """Both came before there was a limit and wait; then it is set, to one."""
    limit = make_limit()
    who, what = limit.customer, limit.meter
    remove_limit(who, what, set_by=LimitSetter.STAFF)
    held = f"reserve {who.pk} {what.pk}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [held])
        reserving = [partial(reserve, who, what, quantity=ONE, key=f"{n}", now=NOW) for n in range(2)]
        both = Running(told_at_once, *reserving)
        waiting = 0
        while waiting < 2 and both.is_alive():
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            waiting = cursor.fetchone()[0]
        set_limit(who, what, set_by=LimitSetter.STAFF, quantity=ONE, amount=None)
        cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [held])
        told = both.result()
    assert told == ["done", "limit_reached"]


def test_of_64_at_once_some_of_which_release_no_more_than_10_are_ever_held_in_money() -> None:
    """$2.00 each against $20.00; every fourth gives its reservation back, and another may take its place."""
    limit = make_limit(None, "20.00")
    who, what = limit.customer, limit.meter

    def work(n: int) -> None:
        for k in range(4):
            key = f"{n}-{k}"
            reserve(who, what, quantity=ONE, key=key, now=NOW)
            if k == 0:
                release_reservation(who, what, key=key)

    told_at_once(*(partial(work, n) for n in range(16)))
    assert len(held_reservations(who, what, now=NOW)) <= 10
    standing = entitlement(who, what, now=NOW).limits[0]
    assert standing.held == 2 * len(held_reservations(who, what, now=NOW))
    assert standing.held + standing.remaining == Decimal(20)


def test_a_worker_killed_after_it_reserved_holds_it_until_it_expires_and_its_event_is_billed_all_the_same() -> (
    None
):
    limit = make_limit()
    who, what = limit.customer, limit.meter
    worker = start_command(
        "shell", "-c",
        "import time\n"
        "from datetime import datetime, timedelta\n"
        "from decimal import Decimal\n"
        "from billing.reserving import reserve\n"
        "from customers.models import Customer\n"
        "from metering.models import Meter\n"
        "who, what = Customer.objects.get(), Meter.objects.get()\n"
        f"now = datetime.fromisoformat('{NOW.isoformat()}')\n"
        "reserve(who, what, quantity=Decimal(2), key='a', now=now, expires_in=timedelta(minutes=15))\n"
        "print('reserved', flush=True)\n"
        "time.sleep(600)\n",
    )  # fmt: skip
    assert worker.stdout is not None
    while b"reserved" not in (line := worker.stdout.readline()):
        assert line, "the worker ended before it reserved"
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    assert remaining(limit) == 0
    with pytest.raises(LimitReached):
        reserve(who, what, quantity=ONE, key="b", now=NOW)
    (found,) = held_reservations(who, what, now=NOW)
    assert (found.key, found.quantity) == ("a", 2)
    then = NOW + QUARTER
    assert reserve(who, what, quantity=ONE, key="b", now=then).state == "held"
    send(event("late", occurred_at="2026-10-20T12:10:00Z"))  # sent by whoever took over
    settle_reservation(who, what, key="a")
    found_now = entitlement(who, what, now=then)
    assert (found_now.used, found_now.reserved, found_now.remaining) == (1, 1, 0)


def test_over_http_a_reservation_says_until_when_and_what_is_held_is_listed(integrator: Integrator) -> None:
    make_limit()
    body: dict[str, Any] = {"key": "job", "quantity": "1", "expires_in_seconds": 900}
    status, made = integrator.post(f"{ROUTE}reserve/", body)
    assert (status, made["made_at"], made["expires_at"]) == (
        200,
        "2026-11-20T12:00:00Z",
        "2026-11-20T12:15:00Z",
    )
    assert integrator.post(f"{ROUTE}reserve/", body) == (200, made)
    integrator.post(f"{ROUTE}reserve/", {"key": "gone", "quantity": "1"})
    integrator.post(f"{ROUTE}release/", {"key": "gone"})
    assert integrator.get(f"{ROUTE}reservations/") == (200, {"results": [made]})
    assert integrator.get("entitlements/acme/nothing/reservations/")[0] == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"expires_in_seconds": 0}, "expires_in_seconds"),
        ({"expires_in_seconds": "soon"}, "expires_in_seconds"),
        ({"expires_in_seconds": 10**9}, "expires_in_seconds"),
        ({"quantity": "1e30"}, "quantity"),
        ({"quantity": "0.0000000000000000001"}, "quantity"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(
    integrator: Integrator, fields: dict[str, Any], field: str
) -> None:
    make_limit()
    status, answer = integrator.post(f"{ROUTE}reserve/", {"key": "a", "quantity": "1"} | fields)
    assert (status, list(answer["error"]["fields"])) == (400, [field])
    assert not Reservation.objects.exists()


def test_the_database_refuses_a_reservation_that_expires_before_it_is_made() -> None:
    limit = make_limit()
    fields = {
        "customer": limit.customer,
        "meter": limit.meter,
        "key": "a",
        "quantity": 1,
    }
    with pytest.raises(IntegrityError):
        Reservation.objects.create(**fields, made_at=NOW, expires_at=NOW)
