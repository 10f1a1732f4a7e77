"""A closer killed at any moment leaves no double, none missing, none half, no gap."""

from __future__ import annotations

import json
import os
import random
import signal
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Count, Sum

from billing import closing
from billing.closing import close_period
from billing.models import BILLED, Invoice, InvoiceLine, MeterCoverage, Subscription
from billing.months import Month
from customers.models import Customer
from metering.incoming import TimeBounds, decode_event
from metering.ingesting import record_events
from metering.models import Meter
from tests.factories import NOW, event, make_meter, make_plan, send
from tests.stories.processes import finish, killed_at, start_command

pytestmark = pytest.mark.django_db(transaction=True)
CUSTOMERS = 4_000
KILLS = 2
FEW = 8
POINTS = 100
LONG_AGO = TimeBounds(max_age=timedelta(days=4_000), max_ahead=timedelta(hours=1))


def make_customers(count: int, *, start_on: date = date(2026, 10, 1)) -> None:
    """Many customers with the same plan, made in bulk: the close is what is tested."""
    make_meter()
    plan = make_plan()
    customers = Customer.objects.bulk_create(
        Customer(code=f"c{n}", name=f"Customer {n}") for n in range(count)
    )
    Subscription.objects.bulk_create(
        Subscription(customer=customer, plan=plan, start_on=start_on, timezone="UTC")
        for customer in customers
    )
    assert not MeterCoverage.objects.exists()
    assert Meter.objects.count() == 1


def assert_none_is_half() -> None:
    half = Invoice.objects.exclude(status="draft").annotate(n=Count("lines")).filter(n=0)
    assert not half.exists()


def test_a_closing_process_killed_again_and_again_is_finished_by_running_it_again() -> None:
    make_customers(CUSTOMERS)
    send(*(event(f"e{n}", customer=f"c{n}", value=str(n % 7)) for n in range(CUSTOMERS)))
    chance = random.Random(20261101)
    killed = 0
    for _ in range(KILLS):
        before = Invoice.objects.count()
        closer = start_command("close_invoices", "--month", "2026-10", "--issue-now", "--closers", "2")
        # The moment is drawn by chance, counted from the first work the closer is seen to have done.
        while closer.poll() is None and Invoice.objects.count() == before:
            continue
        for _ in range(chance.randrange(60)):
            Invoice.objects.count()
        if closer.poll() is None:
            # First all of its processes, then the one that started the others: they end with it.
            if killed:
                closer.kill()
            else:
                os.killpg(closer.pid, signal.SIGKILL)
            killed += 1
        finish(closer)
        assert_none_is_half()
    assert killed > 0
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    assert Invoice.objects.filter(status__in=BILLED).count() == InvoiceLine.objects.count() == CUSTOMERS
    assert Invoice.objects.values("subscription").distinct().count() == CUSTOMERS
    assert sorted(Invoice.objects.values_list("sequence", flat=True)) == list(range(1, CUSTOMERS + 1))
    tickets = sum(n % 7 for n in range(CUSTOMERS))
    assert Invoice.objects.aggregate(total=Sum("total"))["total"] == 2 * tickets


def close_in_child(month: Month, *, now: datetime, kill_at: int, before: bool) -> bool:
    """Close a month in a process that is killed at its n-th statement; tell whether it was killed before its end."""
    return killed_at(kill_at, lambda: close_period(month, now=now, grace_days=0), before=before)


def record(*events: dict[str, Any], now: datetime) -> None:
    decoded = [decode_event(json.dumps(each).encode()) for each in events]
    assert not record_events(decoded, source="api", now=now, bounds=LONG_AGO).exceptions


def test_a_closer_killed_at_a_hundred_points_bills_every_ticket_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each month a late ticket of the month before comes in as well, so that adjustments are killed too."""
    monkeypatch.setattr(closing, "CHUNK", 4)
    make_customers(FEW, start_on=date(2018, 1, 1))
    chance = random.Random(20261101)
    killed = closed = tickets = 0
    month = Month(2018, 1)
    while killed < POINTS:
        now = datetime(month.following.year, month.following.month, 5, tzinfo=UTC)
        at = f"{month}-10T10:00:00Z"
        record(
            *(
                event(f"{month}-{n}", customer=f"c{n}", value=str(n % 7 + 1), occurred_at=at)
                for n in range(FEW)
            ),
            now=now,
        )
        tickets += sum(n % 7 + 1 for n in range(FEW))
        if closed:
            early = f"{month.previous}-20T10:00:00Z"
            record(event(f"{month}-late", customer=f"c{closed % FEW}", occurred_at=early), now=now)
            tickets += 1
        while close_in_child(month, now=now, kill_at=chance.randrange(1, 90), before=chance.random() < 0.5):
            killed += 1
            assert_none_is_half()
            assert killed < 4 * POINTS, "The closers make no headway."
        closed += 1
        assert Invoice.objects.filter(status__in=BILLED).count() == closed * FEW
        month = Month.of(month.following)
    assert Invoice.objects.count() == closed * FEW
    keys = Invoice.objects.values_list("subscription", "period_start")
    assert len(set(keys)) == closed * FEW
    for year in {prefix for (prefix,) in Invoice.objects.values_list("series")}:
        numbers = Invoice.objects.filter(series=year).order_by("sequence").values_list("sequence", flat=True)
        assert list(numbers) == list(range(1, len(numbers) + 1))
    assert Invoice.objects.aggregate(total=Sum("total"))["total"] == 2 * tickets
    assert InvoiceLine.objects.filter(kind="adjustment").count() == closed - 1
