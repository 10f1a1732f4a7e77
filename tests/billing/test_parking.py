"""A customer that cannot be billed is parked with the reason, costs no other, and is billed after the repair."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import pytest
from django.db import connection

from billing import closing
from billing.claiming import claim
from billing.close_reports import CloseReport
from billing.closing import close_period
from billing.models import Invoice, ParkedCustomer
from billing.months import Month
from billing.pace import Pace, duration_words
from metering.correcting import void_event
from metering.models import Event, Meter
from tests.factories import NOW, TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db(transaction=True)
OCTOBER = Month(2026, 10)
REFUSE = """
CREATE FUNCTION refuse_globex() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.recipient ->> 'code' = 'globex' THEN RAISE EXCEPTION 'broken on purpose' USING ERRCODE = '22003'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_globex BEFORE INSERT ON billing_invoice FOR EACH ROW EXECUTE FUNCTION refuse_globex();
"""


def close(now: datetime = NOW, **options: Any) -> CloseReport:
    return close_period(OCTOBER, now=now, grace_days=0, **options)


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def refusing() -> Any:
    """The database refuses the invoices of Globex, whatever is tried."""
    run(REFUSE)
    yield
    run("DROP FUNCTION IF EXISTS refuse_globex CASCADE")


@pytest.mark.usefixtures("refusing")
def test_a_database_error_of_one_customer_costs_no_other_of_its_chunk() -> None:
    for code in ("acme", "globex", "hooli", "initech", "umbrella"):
        make_subscription(make_customer(code))
    report = close()
    assert [(each.customer.code, each.code) for each in report.failures] == [("globex", "database_refused")]
    assert (report.issued, Invoice.objects.exclude(status="draft").count()) == (4, 4)
    assert sorted(Invoice.objects.values_list("sequence", flat=True)) == [1, 2, 3, 4]
    assert "broken on purpose" in ParkedCustomer.objects.get().reason


@pytest.mark.usefixtures("refusing")
def test_a_parked_customer_is_billed_after_the_repair_and_no_longer_parked() -> None:
    make_subscription(make_customer("acme"))
    make_subscription(make_customer("globex"))
    close()
    close()
    parked = ParkedCustomer.objects.get()
    assert (parked.customer.code, parked.month, parked.tries, parked.cleared_at) == (
        "globex",
        OCTOBER.first,
        2,
        None,
    )
    run("DROP FUNCTION refuse_globex CASCADE")
    report = close()
    parked.refresh_from_db()
    assert (report.issued, report.failures, parked.cleared_at) == (1, [], NOW)
    assert list(Invoice.objects.order_by("sequence").values_list("customer__code", flat=True)) == [
        "acme",
        "globex",
    ]


def test_usage_without_a_price_parks_the_customer_whole_until_it_has_one() -> None:
    make_meter("tokens", dimensions=["model"])
    make_meter()
    listed = {"kind": "usage", "meter": "tokens", "model": "per_unit", "dimensions": ["model"]}
    listed |= {"rows": [{"match": {"model": "a"}, "unit_amount": "1"}], "unmatched": "listed"}
    globex = make_customer("globex")
    make_subscription(globex, make_plan(listed, code="tokens"))
    make_subscription(globex, make_plan(TICKETS, code="tickets"))
    make_subscription(make_customer("acme"))
    send(event("x", customer="globex", meter="tokens", dimensions={"model": "new"}))
    report = close()
    assert [(each.customer.code, each.code) for each in report.failures] == [("globex", "rating_failed")]
    assert list(Invoice.objects.values_list("customer__code", flat=True)) == ["acme"]
    assert "Globex" in ParkedCustomer.objects.get().reason
    void_event(Event.objects.get(), reason="a wrong model name", by="clerk", now=NOW)
    assert close().issued == 2
    assert not ParkedCustomer.objects.filter(cleared_at=None).exists()


@pytest.mark.usefixtures("refusing")
def test_a_program_error_is_parked_and_a_dry_run_parks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    make_subscription(make_customer("acme"))
    make_subscription(make_customer("globex"))
    assert close(dry_run=True).failures == []

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("billing.chunking.draw_up", fail)
    report = close(dry_run=True)
    assert {each.code for each in report.failures} == {"program_error"}
    assert not ParkedCustomer.objects.exists()


def test_a_closer_leaves_the_chunks_of_another_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "CHUNK", 1)
    subscriptions = [make_subscription(make_customer(f"c{n}")) for n in range(3)]
    seen: list[str] = []
    others_done, held = threading.Event(), threading.Event()

    def hold() -> None:
        """Stands for another closer that has the first chunk until the two others are done."""
        with claim(f"close {OCTOBER} {subscriptions[0].pk}", wait=True):
            held.set()
            others_done.wait(timeout=30)
        connection.close()

    def on_chunk(chunk: Any, report: CloseReport) -> None:
        seen.extend(draft.due.subscription.customer.code for draft in chunk.drafts)
        if len(seen) == 2:
            others_done.set()

    other = threading.Thread(target=hold)
    other.start()
    held.wait(timeout=30)
    report = close(on_chunk=on_chunk)
    other.join(timeout=30)
    assert (seen, report.issued, report.done) == (["c1", "c2", "c0"], 3, 3)


def test_the_chunks_of_a_close_keep_each_customer_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "CHUNK", 2)
    meters = [make_meter(f"m{n}") for n in range(3)]
    plans = [make_plan(TICKETS | {"meter": meter.code}, code=meter.code) for meter in meters]
    for code in ("acme", "globex"):
        customer = make_customer(code)
        for plan in plans:
            make_subscription(customer, plan)
    assert Meter.objects.count() == 3
    sizes: list[int] = []
    close(on_chunk=lambda chunk, report: sizes.append(len(chunk.drafts)))
    assert sizes == [3, 3]


@pytest.mark.parametrize(
    ("done", "seconds", "words"),
    [
        (0, 5, "0 of 10,000"),
        (2_500, 2, "2,500 of 10,000, 1,250 a second, 6 s left"),
        (10_000, 8, "10,000 of 10,000, 1,250 a second, 0 s left"),
    ],
)
def test_progress_says_rate_and_time_left(done: int, seconds: float, words: str) -> None:
    assert str(Pace(done, 10_000, seconds)) == words


def test_durations_are_written_as_people_say_them() -> None:
    assert [duration_words(each) for each in (40, 200, 5_000)] == ["40 s", "3 min", "83 min"]
