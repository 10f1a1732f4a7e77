"""Credits granted anew in every period: once, whoever looks and however late; what is left rolls over up to a cap."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from billing.closing import close_period
from billing.crediting import balances, expire_credits
from billing.errors import InvalidCredit, RecurrenceStopped
from billing.models import CreditEntry, CreditGrant, Invoice, RecurringGrant
from billing.months import Month
from billing.one_off import Item, create_one_off
from billing.previewing import preview_invoice
from billing.recurring import RecurringTerms, grant_due, grant_regularly, stop_granting
from billing.tasks import look_after_credits
from customers.models import Customer
from metering.periods import month_period
from tests.factories import NOW, make_customer, make_meter, make_plan, make_subscription, send_tickets

pytestmark = pytest.mark.django_db
NOVEMBER = date(2026, 11, 1)


def regularly(
    customer: Customer, amount: str = "50.00", *, now: datetime = NOW, **terms: Any
) -> RecurringGrant:
    defaults = {"currency": customer.currency, "name": "Monthly credit", "start_on": NOVEMBER}
    return grant_regularly(customer, RecurringTerms(Decimal(amount), **(defaults | terms)), by="Bea", now=now)


def granted() -> list[tuple[date | None, Decimal]]:
    return list(CreditGrant.objects.order_by("recurring_on").values_list("recurring_on", "amount"))


def midnight(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def bill(customer: Customer, amount: str, now: datetime) -> Decimal:
    """What an invoice issued at an instant takes from credits."""
    return create_one_off(customer, [Item("x", Decimal(1), Decimal(amount))], now=now).credits_applied


def test_each_period_has_one_credit_however_often_the_worker_looks() -> None:
    customer = make_customer()
    row = regularly(customer)
    grant = CreditGrant.objects.get()
    assert (grant.amount, grant.effective_at, grant.expires_at) == (
        50,
        midnight(2026, 11, 1),
        midnight(2026, 12, 1),
    )
    assert grant_due(now=NOW) == 0
    assert grant_due(now=midnight(2026, 12, 1) - timedelta(microseconds=1)) == 0
    assert grant_due(now=midnight(2026, 12, 1)) == 1
    assert grant_due(now=midnight(2026, 12, 31)) == 0
    row.refresh_from_db()
    assert (row.next_on, row.next_at) == (date(2027, 1, 1), midnight(2027, 1, 1))
    assert granted() == [(date(2026, 11, 1), 50), (date(2026, 12, 1), 50)]


def test_a_worker_that_slept_for_months_grants_each_of_them_and_all_but_the_last_expire() -> None:
    customer = make_customer()
    regularly(customer)
    late = midnight(2027, 3, 15)
    assert grant_due(now=late) == 4
    expire_credits(now=late)
    assert [on for on, _ in granted()] == [date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1), date(2027, 2, 1),
                                           date(2027, 3, 1)]  # fmt: skip
    assert balances(customer, now=late) == {"USD": Decimal(50)}


def test_an_anchor_on_the_31st_and_the_customers_zone_are_kept() -> None:
    auckland = make_customer(timezone="Pacific/Auckland", currency="NZD")
    regularly(auckland, start_on=date(2026, 12, 31))
    grant_due(now=midnight(2027, 4, 1))
    starts = [grant.effective_at for grant in CreditGrant.objects.order_by("effective_at")]
    assert [on for on, _ in granted()] == [
        date(2026, 12, 31),
        date(2027, 1, 31),
        date(2027, 2, 28),
        date(2027, 3, 31),
    ]
    # Midnight in Auckland is 11:00 UTC of the day before in summer; the period of March ends in winter time.
    assert starts[0] == datetime(2026, 12, 30, 11, tzinfo=UTC)
    last = CreditGrant.objects.latest("effective_at")
    assert (last.effective_at, last.expires_at) == (
        datetime(2027, 3, 30, 11, tzinfo=UTC), datetime(2027, 4, 29, 12, tzinfo=UTC)
    )  # fmt: skip


def test_what_is_left_rolls_over_up_to_the_cap_for_one_period() -> None:
    customer = make_customer()
    regularly(customer, rollover_limit=Decimal("20.00"))
    assert bill(customer, "15.00", NOW) == 15  # 35.00 left in November
    december = midnight(2026, 12, 10)
    assert bill(customer, "100.00", december) == 70  # 50.00 of December and 20.00 rolled over
    january = midnight(2027, 1, 10)
    grant_due(now=january)
    expire_credits(now=january)
    assert balances(customer, now=january) == {"USD": Decimal(50)}  # nothing was left in December
    february = midnight(2027, 2, 10)
    grant_due(now=february)
    expire_credits(now=february)
    assert balances(customer, now=february) == {"USD": Decimal(70)}
    march = midnight(2027, 3, 10)
    grant_due(now=march)
    expire_credits(now=march)
    assert balances(customer, now=march) == {"USD": Decimal(70)}  # what rolled over before is gone
    rolled = CreditGrant.objects.exclude(rolled_from=None).latest("effective_at")
    assert (rolled.amount, rolled.expires_at) == (20, midnight(2027, 4, 1))


def test_a_credit_that_does_not_expire_adds_up() -> None:
    customer = make_customer()
    regularly(customer, expires=False, interval="quarter")
    grant_due(now=midnight(2027, 8, 1))
    assert balances(customer, now=midnight(2027, 8, 1)) == {"USD": Decimal(200)}  # Nov, Feb, May, Aug


def test_a_close_grants_what_the_worker_has_not_yet_and_the_preview_says_so() -> None:
    make_meter()
    subscription = make_subscription(make_customer(), make_plan())
    regularly(subscription.customer)
    send_tickets(10, occurred_at="2026-11-10T10:00:00Z")  # 20.00
    later = midnight(2026, 12, 1) + timedelta(minutes=1)  # before the worker looks
    month = Month(2026, 11)
    shown = preview_invoice(subscription, period=month_period(2026, 11, "UTC"), now=later)
    assert (shown.total, shown.credits_applied) == (20, 20)
    assert [(each.grant_id, each.amount) for each in shown.credits] == [(None, Decimal(20))]
    assert CreditGrant.objects.count() == 1
    close_period(month, now=later, grace_days=0)
    invoice = Invoice.objects.get(period_start=NOVEMBER)
    assert (invoice.total, invoice.credits_applied) == (20, 20)
    assert [grant.balance for grant in CreditGrant.objects.order_by("recurring_on")] == [0, 30]


def test_stopped_it_grants_no_more_and_what_was_granted_stays() -> None:
    customer = make_customer()
    row = stop_granting(regularly(customer), by="Bea", now=NOW)
    assert grant_due(now=midnight(2027, 6, 1)) == 0
    assert balances(customer, now=NOW) == {"USD": Decimal(50)}
    with pytest.raises(RecurrenceStopped):
        stop_granting(row, by="Bea", now=NOW)


def test_stopping_late_grants_the_periods_that_had_begun() -> None:
    customer = make_customer()
    stop_granting(regularly(customer), by="Bea", now=midnight(2026, 12, 2))
    assert [on for on, _ in granted()] == [date(2026, 11, 1), date(2026, 12, 1)]


def test_no_period_begins_on_the_end_day_or_later() -> None:
    regularly(make_customer(), end_on=date(2027, 1, 1))
    assert grant_due(now=midnight(2028, 1, 1)) == 1
    assert [on for on, _ in granted()] == [date(2026, 11, 1), date(2026, 12, 1)]
    assert RecurringGrant.objects.get().stopped_at == midnight(2028, 1, 1)


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("amount", {"amount": "0"}),
        ("amount", {"amount": "1.001"}),
        ("name", {"name": " "}),
        ("kind", {"kind": "carried_over"}),
        ("interval", {"interval": "week"}),
        ("start_on", {"start_on": date(2026, 10, 31)}),
        ("end_on", {"end_on": NOVEMBER}),
        ("rollover_limit", {"expires": False, "rollover_limit": Decimal(5)}),
        ("rollover_limit", {"rollover_limit": Decimal("0.001")}),
        ("priority", {"priority": -1}),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_field_and_nothing_written(
    field: str, terms: dict[str, Any]
) -> None:
    with pytest.raises(InvalidCredit) as refused:
        regularly(make_customer(), **terms)
    assert list(refused.value.fields) == [field]
    assert not RecurringGrant.objects.exists()
    assert not CreditGrant.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_worker_and_closers_at_once_grant_each_period_once() -> None:
    customers = [make_customer(f"c{n}") for n in range(4)]
    for customer in customers:
        regularly(customer)
    december = midnight(2026, 12, 5)

    def look(n: int) -> None:
        try:
            if n % 2:
                grant_due(now=december)
            else:
                bill(customers[n // 2 % 4], "5.00", december)
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(look, range(12)))
    assert len(granted()) == 8
    assert {row.next_on for row in RecurringGrant.objects.all()} == {date(2027, 1, 1)}
    assert CreditEntry.objects.filter(kind="granted").count() == 8


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_a_second_credit_of_a_period_another_amount_and_changed_terms() -> None:
    row = regularly(make_customer())
    for change in ({"next_on": NOVEMBER}, {"amount": Decimal(99)}):
        with pytest.raises(IntegrityError), transaction.atomic():
            RecurringGrant.objects.filter(pk=row.pk).update(**change)
    grant = CreditGrant.objects.get()
    for change in ({}, {"recurring_on": date(2026, 12, 1), "amount": Decimal(51)}):
        copy = CreditGrant.objects.get(pk=grant.pk)
        copy.pk, copy.balance = None, Decimal(0)
        for name, value in change.items():
            setattr(copy, name, value)
        with pytest.raises(IntegrityError), transaction.atomic():
            copy.save(force_insert=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.delete()
    assert granted() == [(NOVEMBER, Decimal(50))]


def test_the_hourly_task_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    customer = make_customer()
    regularly(customer)
    monkeypatch.setattr("django.utils.timezone.now", lambda: midnight(2026, 12, 1))
    look_after_credits(timestamp=0)
    assert len(granted()) == 2
