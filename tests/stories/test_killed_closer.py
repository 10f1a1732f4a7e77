"""A closer killed at any moment leaves no double, none missing, none half, no gap."""

from __future__ import annotations

import os
import random
import signal
from datetime import date

import pytest
from django.db.models import Count, Sum

from billing.closing import Month, close_period
from billing.models import Invoice, InvoiceLine, MeterCoverage, Subscription
from customers.models import Customer
from metering.models import Meter
from tests.factories import NOW, event, make_meter, make_plan, send
from tests.stories.processes import start_command

pytestmark = pytest.mark.django_db(transaction=True)
CUSTOMERS = 1_600
KILLS = 6


def make_customers() -> None:
    """Many customers with the same plan, made in bulk: the close is what is tested."""
    make_meter()
    plan = make_plan()
    customers = Customer.objects.bulk_create(
        Customer(code=f"c{n}", name=f"Customer {n}") for n in range(CUSTOMERS)
    )
    subscriptions = Subscription.objects.bulk_create(
        Subscription(customer=customer, plan=plan, start_on=date(2026, 10, 1), timezone="UTC")
        for customer in customers
    )
    assert len(subscriptions) == CUSTOMERS
    assert not MeterCoverage.objects.exists()
    assert Meter.objects.count() == 1
    send(*(event(f"e{n}", customer=f"c{n}", value=str(n % 7)) for n in range(CUSTOMERS)))


def test_a_closer_killed_again_and_again_is_finished_by_running_it_again() -> None:
    make_customers()
    chance = random.Random(20261101)
    killed = 0
    for _ in range(KILLS):
        before = Invoice.objects.count()
        closer = start_command("close_invoices", "--month", "2026-10", "--issue-now")
        # The moment is drawn by chance, counted from the first work the closer is seen to have done.
        while closer.poll() is None and Invoice.objects.count() == before:
            continue
        for _ in range(chance.randrange(60)):
            Invoice.objects.count()
        if closer.poll() is None:
            os.killpg(closer.pid, signal.SIGKILL)
            killed += 1
        closer.communicate()
        half = Invoice.objects.annotate(n=Count("lines")).exclude(n=1).exclude(status="draft")
        assert not half.exists()
    assert killed > 0
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    assert Invoice.objects.filter(status="issued").count() == InvoiceLine.objects.count() == CUSTOMERS
    assert Invoice.objects.values("subscription").distinct().count() == CUSTOMERS
    assert sorted(Invoice.objects.values_list("sequence", flat=True)) == list(range(1, CUSTOMERS + 1))
    tickets = sum(n % 7 for n in range(CUSTOMERS))
    assert Invoice.objects.aggregate(total=Sum("total"))["total"] == 2 * tickets
