"""One number everywhere: entitlement, list of limits, portal, reminder, preview and the invoice after the close.

Outcomes with a window of a day and some reversed within it; a plan with tiers and included outcomes, a customer with
prices of its own, and one whose plan changes within the month.
"""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.closing import close_period
from billing.limiting import running_periods
from billing.models import InvoiceLine, LimitReminder, LimitSetter, Subscription, UsageLimit
from billing.months import Month
from billing.portal.limits import limit_rows
from billing.previewing import preview_invoice
from billing.reminding import remind
from billing.restricting import set_limit
from customers.models import Customer
from metering.models import Meter
from tests.factories import event, make_customer, make_meter, make_plan, make_subscription, send
from tests.integrator import Integrator

pytestmark = pytest.mark.django_db
SERIAL = itertools.count()
START = datetime(2026, 10, 1, 4, tzinfo=UTC)  # October in New York
CHANGE, END = datetime(2026, 10, 16, 4, tzinfo=UTC), datetime(2026, 11, 1, 4, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
MOMENTS = (
    datetime(2026, 10, 10, 12, tzinfo=UTC),
    CHANGE - INSTANT,
    datetime(2026, 10, 20, 12, tzinfo=UTC),
    END - INSTANT,
)
AFTER = datetime(2026, 11, 5, 12, tzinfo=UTC)
# Hour of the month, subject, and after how many hours within the window it was reversed.
drawn_outcomes = st.lists(
    st.tuples(st.integers(0, 743), st.integers(0, 5), st.one_of(st.none(), st.none(), st.integers(0, 23))),
    min_size=1,
    max_size=14,
)


@pytest.fixture
def integrator(db: None) -> Integrator:
    return Integrator("read")


def set_up(n: int) -> tuple[Meter, dict[str, Customer]]:
    """2 included, 3 at $5.00, then $1.00; of its own: 1 included, then $1.50; and $3.00 from the 16th on."""
    meter = make_meter(f"m{n}", once_per_subject="ever", verification_hours=Decimal(24))
    rate: dict[str, Any] = {"kind": "usage", "meter": meter.code, "included_units": "2", "model": "graduated"}
    rate["tiers"] = [{"up_to": "3", "unit_amount": "5"}, {"up_to": None, "unit_amount": "1"}]
    flat = {"kind": "usage", "meter": meter.code, "model": "per_unit", "unit_amount": "3"}
    own = [{"rate": 0, "terms": flat | {"unit_amount": "1.50", "included_units": "1"}}]
    first, second = make_plan(rate, code=f"a{n}"), make_plan(flat, code=f"b{n}")
    customers = {
        name: make_customer(f"{name}{n}", timezone="America/New_York") for name in ("tiers", "own", "two")
    }
    make_subscription(customers["tiers"], first)
    make_subscription(customers["own"], first, overrides=own)
    make_subscription(customers["two"], first, end_on=date(2026, 10, 16))
    make_subscription(customers["two"], second, start_on=date(2026, 10, 16))
    for customer in customers.values():
        about: dict[str, Any] = {"kind": "soft", "remind_at": [1, 50, 100]}
        set_limit(customer, meter, set_by=LimitSetter.STAFF, quantity=None, amount=Decimal(20), **about)
        set_limit(customer, meter, set_by=LimitSetter.CUSTOMER, quantity=Decimal(4), amount=None, **about)
    return meter, customers


def events_of(
    meter: Meter, customers: dict[str, Customer], drawn: list[Any]
) -> list[tuple[datetime, dict[str, Any]]]:
    found = []
    for customer in customers.values():
        for place, (hour, subject, reversed_after) in enumerate(drawn):
            at = START + timedelta(hours=hour)
            key = f"{customer.code}-{place}"
            named = {"meter": meter.code, "customer": customer.code}
            found.append((at, event(key, **named, subject=f"t{subject}", occurred_at=at.isoformat())))
            if reversed_after is not None:
                back = at + timedelta(hours=reversed_after)
                about = {"reverses": {"key": key}, "occurred_at": back.isoformat()}
                found.append((back, event(f"{key}-back", **named, **about)))
    return sorted(found, key=lambda each: each[0])


def number_of(
    integrator: Integrator, meter: Meter, customer: Customer, *, now: datetime
) -> tuple[Decimal, Decimal, Subscription]:
    """Give the quantity and amount that all places say, and the subscription that runs."""
    told = remind(now=now)
    with time_machine.travel(now, tick=False):
        answer = integrator.get(f"entitlements/{customer.code}/{meter.code}/")[1]
        listed = integrator.get("usage-limits/", customer=customer.code)[1]["results"]
    quantity = Decimal(answer["used"])
    amount = Decimal(next(each["used"] for each in answer["limits"] if each["unit"] == "money"))

    assert {each["set_by"]: Decimal(each["standing"]["used"]) for each in listed} == {
        "staff": amount, "customer": quantity,
    }  # fmt: skip
    assert {row.is_own: row.standing.used for row in limit_rows(customer, now=now)} == {
        False: amount,
        True: quantity,
    }
    running = running_periods({customer.pk: customer}, [(customer.pk, meter.pk)], now=now)[
        customer.pk, meter.pk
    ]
    assert running.subscription is not None
    draft = preview_invoice(running.subscription, now=now)
    assert sum(line.quantity for line in draft.lines) == quantity
    assert sum(line.amount for line in draft.lines) == amount
    reached = LimitReminder.objects.filter(limit__customer=customer, reached_at=now)
    assert {row.limit.set_by: row.used for row in reached.select_related("limit")}.items() <= {
        "staff": amount, "customer": quantity,
    }.items()  # fmt: skip
    for limit in UsageLimit.objects.filter(customer=customer):
        used = amount if limit.is_money else quantity
        due = [percent for percent in limit.remind_at if used * 100 >= percent * limit.most]
        known = set(
            limit.reminders.filter(period_start=running.period.start).values_list("percent", flat=True)
        )
        assert set(due) <= known, (told, due, known)
    return quantity, amount, running.subscription


def billed(subscription: Subscription) -> tuple[Decimal, Decimal]:
    lines = InvoiceLine.objects.filter(invoice__subscription=subscription)
    return sum((line.quantity for line in lines), Decimal(0)), sum(
        (line.amount for line in lines), Decimal(0)
    )


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=drawn_outcomes)
def test_all_places_say_one_number_and_the_invoice_is_the_last_of_it(
    integrator: Integrator, drawn: list[Any]
) -> None:
    n = next(SERIAL)
    meter, customers = set_up(n)
    waiting = events_of(meter, customers, drawn)
    last: dict[int, tuple[Decimal, Decimal]] = {}
    for moment in MOMENTS:
        send(*(body for at, body in waiting if at <= moment), now=moment)
        for customer in customers.values():
            quantity, amount, subscription = number_of(integrator, meter, customer, now=moment)
            last[subscription.pk] = (quantity, amount)
    assert len(last) == 4
    codes = [customer.code for customer in customers.values()]
    close_period(Month(2026, 10), now=AFTER, grace_days=0, customer_codes=codes)
    for subscription in Subscription.objects.filter(customer__in=customers.values()):
        assert billed(subscription) == last[subscription.pk], subscription


def test_worked_by_hand_over_a_change_of_plan(integrator: Integrator) -> None:
    """Seven outcomes in October, the last on 31 October: pending over its end. Of six, one is reversed in its window.

    Tiers: 5 settle, 2 included, 3 at $5.00: $15.00. Own prices: 5, 1 included, 4 at $1.50: $6.00. Two plans: 3 settle
    before the 16th, 2 included, one at $5.00; the one of the 15th settles on the 16th: 2 at $3.00.
    """
    meter, customers = set_up(next(SERIAL))
    hours = (24, 48, 72, 15 * 24 - 10, 20 * 24, 22 * 24, 31 * 24 - 5)
    drawn = [(hour, place, 5 if hour == 22 * 24 else None) for place, hour in enumerate(hours)]
    send(*(body for _, body in events_of(meter, customers, drawn)), now=END)
    want = {"tiers": (5, "15.00"), "own": (5, "6.00"), "two": (2, "6.00")}
    for name, (quantity, amount) in want.items():
        found = number_of(integrator, meter, customers[name], now=END - INSTANT)
        assert found[:2] == (quantity, Decimal(amount)), name
    found = number_of(integrator, meter, customers["two"], now=CHANGE - INSTANT)
    assert found[:2] == (3, Decimal("5.00"))
    close_period(Month(2026, 10), now=AFTER, grace_days=0)
    first, second = Subscription.objects.filter(customer=customers["two"]).order_by("start_on")
    assert (billed(first), billed(second)) == ((3, Decimal("5.00")), (2, Decimal("6.00")))
    assert billed(Subscription.objects.get(customer=customers["own"])) == (5, Decimal("6.00"))
