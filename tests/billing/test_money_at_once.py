"""Credits under load, and previews of many customers: what one transaction or one preview shows holds for all."""

from __future__ import annotations

import os
import random
import threading
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from billing.closing import close_period
from billing.due_periods import periods_ending_in
from billing.invoicing import draw_up
from billing.models import CreditEntry, CreditGrant, CustomerCoupon, Invoice, Subscription, TaxSetup
from billing.months import Month
from billing.previewing import preview_invoice, with_credits
from billing.spending import apply_credits
from customers.models import Customer
from metering.periods import month_period
from tests.billing.money import LONG_AGO, cents, credit, give, tax
from tests.factories import NOW, TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send

OCTOBER = Month(2026, 10)
# The figures of the design are 500 rounds and 10,000 customers; the suite does fewer, in seconds.
ROUNDS = int(os.environ.get("CREDIT_ROUNDS", "25"))
CUSTOMERS = int(os.environ.get("PREVIEWED_CUSTOMERS", "600"))
THREADS = 16


@pytest.mark.django_db(transaction=True)
def test_sixteen_threads_never_spend_more_than_there_is() -> None:
    """Each round grants 100.00, and 16 invoices of 9.99 ask for it at once: 100.00 is spent, to the cent."""
    make_meter()
    subscription = make_subscription(start_on=date(2025, 1, 1))
    for month in range(1, 9):
        for year in (2025, 2026):
            close_period(Month(year, month), now=NOW, grace_days=5_000)
    invoices = list(Invoice.objects.order_by("id"))
    assert len(invoices) == THREADS
    for invoice in invoices:
        invoice.total = Decimal("9.99")
    failures: list[BaseException] = []
    granted = threading.Barrier(THREADS + 1)
    spent = threading.Barrier(THREADS + 1)

    def spend(invoice: Invoice) -> None:
        try:
            for _ in range(ROUNDS):
                granted.wait()
                with transaction.atomic():
                    apply_credits([invoice], now=NOW)
                spent.wait()
        except BaseException as problem:
            failures.append(problem)
            granted.abort()
            spent.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=spend, args=(invoice,)) for invoice in invoices]
    for thread in threads:
        thread.start()
    for _ in range(ROUNDS):
        credit(subscription.customer, "100", now=NOW - timedelta(days=1))
        granted.wait()
        spent.wait()
        grant = CreditGrant.objects.order_by("-id")[0]
        assert grant.balance == 0
    for thread in threads:
        thread.join()
    assert failures == []
    applied = CreditEntry.objects.filter(kind="applied").values("grant").annotate(sum=Sum("amount"))
    assert [row["sum"] for row in applied] == [Decimal(-100)] * ROUNDS


def random_customers(count: int) -> None:
    """Customers with and without plans of two currencies, coupons, credits, tax ids; seeded, so always the same."""
    luck = random.Random(20261125)
    make_meter()
    book = {
        "kind": "subscription", "label": "Handbook", "amount": "31.37", "timing": "in_arrears",
        "tax_category": "reduced",
    }  # fmt: skip
    prices = (
        ("EUR", "2.07", "31.37", "40"),
        ("JPY", "3.3", "500", "700"),
        ("KWD", "0.0071", "3.125", "0"),
    )
    plans = {
        currency: make_plan(
            TICKETS | {"unit_amount": price},
            book | {"amount": fee},
            code=currency.lower(),
            currency=currency,
            minimum_amount=Decimal(minimum),
        )
        for currency, price, fee, minimum in prices
    }
    for country, percent in (("DE", "19"), ("FR", "20"), ("CH", "8.1")):
        tax(country, percent, inclusive=country == "FR")
    tax("DE", "7", "reduced")
    TaxSetup.objects.create(seller_country="FR")
    Customer.objects.bulk_create(
        Customer(
            code=f"c{n}",
            name=f"Customer {n}",
            currency=luck.choice(["EUR", "JPY", "KWD"]),
            country=luck.choice(["DE", "FR", "CH", "JP", ""]),
            tax_id=luck.choice(["", "DE136695976"]),
        )
        for n in range(count)
    )
    customers = list(Customer.objects.order_by("id"))
    Subscription.objects.bulk_create(
        Subscription(
            customer=customer,
            plan=plans[customer.currency],
            start_on=date(2026, 10, luck.choice([1, 1, 1, 12])),
            timezone="UTC",
        )
        for customer in customers
    )
    coupons = [
        give(customers[0], "12.5%", duration="once").coupon,
        give(customers[0], "33.33%", code="third", rates=("tickets_resolved",)).coupon,
        *(give(each, "7", code=f"seven-{each.currency}").coupon for each in one_of_each_currency(customers)),
    ]
    first = {customers[0].pk, *(each.pk for each in one_of_each_currency(customers))}
    CustomerCoupon.objects.bulk_create(
        CustomerCoupon(customer=customer, coupon=coupon, start_on=LONG_AGO, given_at=NOW)
        for customer in customers
        if customer.pk not in first
        for coupon in luck.sample(coupons, luck.randint(0, 3))
    )
    for customer in customers:
        for _ in range(luck.choice([0, 0, 1, 2])):
            amount = {"EUR": "13.37", "JPY": "450", "KWD": "1.505"}[customer.currency]
            credit(
                customer, amount, priority=luck.randint(0, 3), now=NOW - timedelta(days=luck.randint(1, 9))
            )
    events = [
        event(f"{customer.code}-{n}", customer=customer.code, value=str(luck.randint(1, 90)))
        for customer in customers
        for n in range(luck.randint(0, 2))
    ]
    for start in range(0, len(events), 5_000):
        send(*events[start : start + 5_000])


def one_of_each_currency(customers: list[Customer]) -> list[Customer]:
    return list({customer.currency: customer for customer in reversed(customers)}.values())


@pytest.mark.django_db
def test_every_preview_equals_the_invoice_that_follows() -> None:
    random_customers(CUSTOMERS)
    subscriptions = list(Subscription.objects.select_related("customer", "plan").order_by("id"))
    due = [
        each
        for row in subscriptions
        for each in periods_ending_in(row, first=OCTOBER.first, last=OCTOBER.following)
    ]
    previews = {}
    for start in range(0, len(due), 500):
        drawn = draw_up(due[start : start + 500], now=NOW, watermark=None)
        assert not drawn.failures
        for draft in with_credits(drawn.drafts, now=NOW):
            previews[draft.due.subscription.pk] = draft
    for row in subscriptions[:: len(subscriptions) // 20]:
        alone = preview_invoice(row, period=month_period(2026, 10, "UTC"), now=NOW)
        assert (alone.total, alone.amount_due) == (previews[row.pk].total, previews[row.pk].amount_due)
    close_period(OCTOBER, now=NOW, grace_days=0)
    invoices = Invoice.objects.prefetch_related("lines", "discounts")
    assert invoices.count() == len(previews) == CUSTOMERS
    for invoice in invoices.iterator(chunk_size=500):
        draft = previews[invoice.subscription_id]
        for name in ("subtotal", "discount", "tax", "tax_included", "total", "credits_applied", "amount_due"):
            assert getattr(draft, name) == getattr(invoice, name), (invoice.customer_id, name)
        assert [each.as_json() for each in draft.taxes] == invoice.taxes
        assert [(each.amount, each.discount, each.taxed_by) for each in draft.lines] == [
            (each.amount, each.discount, tuple(each.taxed_by)) for each in invoice.lines.all()
        ]
        assert [each.amount for each in draft.discounts] == [each.amount for each in invoice.discounts.all()]
    used = Invoice.objects.aggregate(discount=Sum("discount"), tax=Sum("tax"), applied=Sum("credits_applied"))
    assert all(used.values()), "the customers must have some of everything"


@pytest.mark.django_db
def test_a_close_asks_as_often_for_many_customers_as_for_few() -> None:
    make_meter()
    tax("DE", "19")
    plan = make_plan(currency="EUR")
    counts = []
    for size in (2, 3, 30):  # the first close also makes what every later one finds
        for n in range(size):
            customer = make_customer(f"c{size}-{n}", currency="EUR", country="DE")
            make_subscription(customer, plan)
            give(customer, "10%")
            credit(customer, "5")
            send(event(f"e{size}-{n}", customer=customer.code, value="9"))
        with CaptureQueriesContext(connection) as queries:
            close_period(OCTOBER, now=NOW, grace_days=0)
        counts.append(len(queries))
    assert counts[1] == counts[2]
    assert Invoice.objects.filter(discount__gt=0, tax__gt=0, credits_applied=5).count() == 35
    assert (
        cents(Invoice.objects.all()[0].amount_due) == "14.28"
    )  # 18.00 - 1.80 = 16.20, and 19 %: 19.28, less 5
