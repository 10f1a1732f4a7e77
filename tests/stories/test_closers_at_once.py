"""Many closers and writers at once, on PostgreSQL: each event on exactly one invoice, numbers without gaps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db.models import QuerySet, Sum

from billing import chunk_storing, closing
from billing.closing import close_period
from billing.deciding import find_late_usage
from billing.models import BILLED, AdjustmentScan, ChangedLine, Invoice, InvoiceLine, ParkedCustomer
from billing.months import Month
from metering.ledger import place_batches
from tests.at_once import SECONDS, at_once
from tests.factories import NOW, TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db(transaction=True)
CLOSERS = 8
WRITERS = 8
CUSTOMERS = 12
ONE_LIVE = (
    "invoice_one_live_per_period",
    "invoice_periods_never_overlap",
)  # which is asked first does not matter
OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)


def make_subscriptions(*, start_on: date = date(2026, 10, 1), **terms: Any) -> None:
    make_meter(type="sum")
    plan = make_plan(TICKETS | terms)
    for n in range(CUSTOMERS):
        make_subscription(make_customer(f"c{n}"), plan, start_on=start_on)


def assert_gapless() -> None:
    for (series,) in Invoice.objects.exclude(series=None).values_list("series").distinct():
        numbers = (
            Invoice.objects.filter(series=series).order_by("sequence").values_list("sequence", flat=True)
        )
        assert list(numbers) == list(range(1, len(numbers) + 1))


def close(month: Month) -> int:
    now = datetime(month.following.year, month.following.month, 5, tzinfo=UTC)
    return close_period(month, now=now, grace_days=0).issued


def rounds(count: int) -> Iterator[Month]:
    month = Month(2024, 1)
    for _ in range(count):
        yield month
        month = Month.of(month.following)


def test_eight_closers_at_once_make_one_invoice_each_in_twenty_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(closing, "CHUNK", 3)
    make_subscriptions(start_on=date(2024, 1, 1))
    for done, month in enumerate(rounds(20), start=1):
        at_once(*[partial(close, month)] * CLOSERS)
        assert (
            Invoice.objects.filter(status__in=BILLED).count()
            == InvoiceLine.objects.count()
            == done * CUSTOMERS
        )
    assert_gapless()
    assert not ParkedCustomer.objects.exists()


def test_without_locks_the_constraints_alone_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """No claim, no row lock, no look at what is stored before writing: what collides is refused by PostgreSQL."""

    @contextmanager
    def no_claim(name: str, *, wait: bool) -> Iterator[bool]:
        yield True

    monkeypatch.setattr(closing, "claim", no_claim)
    monkeypatch.setattr(closing, "CHUNK", 3)
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **options: rows)
    monkeypatch.setattr(chunk_storing, "scanned_up_to", lambda: 0)
    monkeypatch.setattr(chunk_storing, "_state", lambda invoice: None)
    make_subscriptions(start_on=date(2024, 1, 1))
    AdjustmentScan.objects.create(position=place_batches())
    refused: list[str] = []
    stored, looked = chunk_storing.store_invoices, chunk_storing.live_invoices
    together, each_closer = threading.Barrier(CLOSERS), threading.local()

    def look(*arguments: Any, **options: Any) -> Any:
        found = looked(*arguments, **options)
        if threading.current_thread() is not threading.main_thread() and not hasattr(each_closer, "looked"):
            each_closer.looked = True
            together.wait(timeout=SECONDS)  # all have drawn up the first customers, nobody has stored them
        return found

    def store(*arguments: Any, **options: Any) -> Any:
        try:
            return stored(*arguments, **options)
        except Exception as problem:
            refused.append(str(problem))
            raise

    monkeypatch.setattr(chunk_storing, "store_invoices", store)
    monkeypatch.setattr(chunk_storing, "live_invoices", look)
    for done, month in enumerate(rounds(3), start=1):
        at_once(*[partial(close, month)] * CLOSERS)
        close(month)
        live = Invoice.objects.filter(status__in=BILLED)
        assert live.count() == InvoiceLine.objects.count() == done * CUSTOMERS
        assert len(set(live.values_list("subscription", "period_start"))) == done * CUSTOMERS
        collided = sum(any(name in each for name in ONE_LIVE) for each in refused)
        assert collided >= done * (CLOSERS - 1), "All but one closer are refused the first customers."
    assert_gapless()
    assert not ParkedCustomer.objects.filter(cleared_at=None).exists()


def test_closing_while_eight_writers_ingest_bills_each_event_exactly_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each event of a customer is another power of two, so a sum of events says exactly which are in it."""
    monkeypatch.setattr(closing, "CHUNK", 3)
    make_subscriptions(unit_amount="1")
    sent: list[tuple[int, int]] = []
    closed = threading.Event()
    each = 7  # events per writer and customer: 56 powers of two

    def write(writer: int) -> None:
        for n in range(each):
            if n == each - 1:
                closed.wait(timeout=60)  # the last ones come when October is closed for certain
            bits = [(customer, writer * each + n) for customer in range(CUSTOMERS)]
            answer = send(
                *(
                    event(f"{bit}-{customer}", customer=f"c{customer}", value=str(2**bit))
                    for customer, bit in bits
                )
            )
            assert not answer.exceptions
            sent.extend(bits)

    def close_october() -> None:
        for _ in range(4):
            close(OCTOBER)
        closed.set()

    at_once(close_october, *(partial(write, writer) for writer in range(WRITERS)))
    assert len(sent) == CUSTOMERS * WRITERS * each
    close(NOVEMBER)
    whole = 2 ** (WRITERS * each) - 1
    for n in range(CUSTOMERS):
        lines = InvoiceLine.objects.filter(invoice__customer__code=f"c{n}", period_start=OCTOBER.first)
        parts = [int(quantity) for quantity in lines.values_list("quantity", flat=True)]
        assert sum(parts) == whole
        together = 0
        for part in parts:
            assert part >= 0
            assert not together & part, "An event is in two lines."
            together |= part
        assert lines.aggregate(amount=Sum("amount"))["amount"] == Decimal(whole)
    # What was counted before its batch had its place in the ledger may be flagged once more: it comes to nothing.
    find_late_usage(now=NOW)
    assert not list(ChangedLine.objects.exclude(effect_quantity=0, effect_amount=0).values())
    assert_gapless()
