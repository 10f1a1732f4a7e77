"""The audit: clean after a story, and each equation names what breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection

from billing.agreed_changes import Author
from billing.auditing import EQUATIONS, audit
from billing.changing import pause
from billing.checking import failed_checks, last_runs
from billing.closing import close_period
from billing.collecting import record_payment
from billing.correcting import issue_credit_note
from billing.crediting import CreditTerms, grant_credit
from billing.models import CheckKind, CheckRun, Invoice
from billing.months import Month
from customers.models import Customer
from metering.correcting import void_event
from metering.models import Event, EventArchive
from tests.factories import (
    NOW,
    TICKETS,
    event,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)

pytestmark = pytest.mark.django_db
LATER = NOW.replace(month=12, day=20)


@pytest.fixture
def story() -> None:
    """110 tickets in October; 5 came late and 1 was voided after the invoice; November's invoice settles that."""
    make_subscription()
    peak = {"kind": "usage", "meter": "peak", "model": "per_unit", "unit_amount": "3"}
    make_meter("peak", type="max")
    make_subscription(make_customer("globex"), make_plan(peak, code="peak"))
    acme = Customer.objects.get(code="acme")
    credit = CreditTerms(amount=Decimal(30), currency="USD", name="Welcome")
    grant_credit(acme, credit, by="test", now=datetime(2026, 10, 1, tzinfo=UTC))
    send_tickets(110)
    send(event("018f2f6e-1f4e-7cc2-9b1d-0123456789AB", meter="peak", customer="globex", value="7.5"))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    october = Invoice.objects.get(sequence=1)
    record_payment(october, amount=Decimal(100), received_on=NOW.date(), by="test", now=NOW)
    issue_credit_note(october, reason="goodwill", amount=Decimal(20), by="test", now=NOW)
    send_tickets(5, first=110)
    void_event(Event.objects.get(key="evt-0"), reason="wrong", by="test", now=NOW)
    close_period(Month(2026, 11), now=LATER, grace_days=0)


def broken() -> dict[str, tuple[str, ...]]:
    return {answer.equation.code: answer.named for answer in audit() if answer.differences}


def tamper(*statements: str) -> None:
    """Do what triggers and constraints never let happen."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in (
            "billing_creditentry", "billing_creditgrant", "billing_creditnote", "billing_creditnoteline",
            "billing_invoice", "billing_invoiceline", "billing_payment", "billing_subscription",
            "billing_linesettlement", "billing_invoiceseries",
            "metering_event", "metering_eventbatch", "metering_eventcorrection", "billing_metercoverage",
        ):  # fmt: skip
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)


def test_a_story_with_late_and_voided_events_is_clean(story: None) -> None:
    assert broken() == {}
    assert [str(each.total) for each in Invoice.objects.order_by("sequence")] == [
        "220.0000", "22.5000", "8.0000", "0.0000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "statements", "named"),
    [
        (
            "keys_stored",
            ["DELETE FROM metering_event WHERE key = 'evt-114'"],
            "4 events stored, 5 acknowledged",
        ),
        (
            "keys_stored",
            ["UPDATE metering_event SET batch_id = gen_random_uuid() WHERE key = 'evt-114'"],
            "which is not in the ledger",
        ),
        (
            "keys_unique",
            [
                "INSERT INTO metering_event"
                " (id, source, key, batch_id, meter_id, customer_id, occurred_at, received_at)"
                " SELECT gen_random_uuid(), source, key, batch_id, meter_id, customer_id, occurred_at, received_at"
                " FROM metering_event WHERE key = 'evt-1'",
                "UPDATE metering_eventbatch SET stored = stored + 1, accepted = accepted + 1"
                " WHERE id = (SELECT batch_id FROM metering_event WHERE key = 'evt-1' LIMIT 1)",
            ],
            "key “evt-1”",
        ),
        (
            "keys_unique",
            ["ALTER TABLE metering_event DROP CONSTRAINT metering_event_pkey"],
            "the primary key of the table of events is missing",
        ),
        (
            "outcomes_settled",
            [
                "INSERT INTO metering_settledoutcome (event_id, meter_id, customer_id, occurred_at, settles_at, value,"
                " standing, position) SELECT id, meter_id, customer_id, occurred_at, occurred_at, 1, 1, 1"
                " FROM metering_event WHERE key = 'evt-1'"
            ],
            "noted, but outcomes of its meter are not settled ahead",
        ),
        (
            "quantity_is_measure",
            ["UPDATE billing_invoiceline SET quantity = 111 WHERE quantity = 110"],
            "INV-2026-000001, line 1: the quantity is 111, its events measure 110",
        ),
        (
            "amount_is_rating",
            [
                "UPDATE billing_invoiceline SET amount = 220.01 WHERE quantity = 110",
                "UPDATE billing_invoice SET subtotal = 220.01, total = 220.01 WHERE sequence = 1",
            ],
            "INV-2026-000001, line 1: the amount is 220.01, its working comes to 220",
        ),
        (
            "total_is_sum",
            ["UPDATE billing_invoice SET subtotal = 221, total = 221 WHERE number = 'INV-2026-000001'"],
            "INV-2026-000001: lines 220.0000, subtotal 221.0000",
        ),
        (
            "periods_tile",
            [
                "UPDATE billing_invoice SET starts_at = starts_at + interval '1 hour' WHERE period_start = '2026-11-01'"
                " AND subscription_id = (SELECT min(id) FROM billing_subscription)"
            ],
            "begins 2026-11-01 01:00:00+00, the period before ends 2026-11-01 00:00:00+00",
        ),
        (
            "periods_tile",
            [
                "UPDATE billing_invoice SET ends_at = ends_at + interval '1 day' WHERE period_start = '2026-10-01'"
                " AND subscription_id = (SELECT min(id) FROM billing_subscription)"
            ],
            "the period before ends 2026-11-02",
        ),
        (
            "one_live_invoice",
            [
                "DROP INDEX invoice_one_live_per_period",
                "ALTER TABLE billing_invoice DROP CONSTRAINT invoice_periods_never_overlap",
                "UPDATE billing_invoice SET period_start = '2026-10-01' WHERE sequence = 3",
            ],
            "INV-2026-000001, INV-2026-000003 are all for subscription",
        ),
        (
            "numbers_gapless",
            ["UPDATE billing_invoiceseries SET last_number = 5 WHERE prefix = 'INV-2026'"],
            "INV-2026: number 5 is missing",
        ),
        (
            "numbers_gapless",
            ["UPDATE billing_invoiceseries SET last_number = 3 WHERE prefix = 'INV-2026'"],
            "INV-2026-000004 is beyond the last number of its series, 3",
        ),
        (
            "numbers_gapless",
            ["UPDATE billing_creditnote SET sequence = 2"],
            "number 1 is missing",
        ),
        (
            "ledger_balances",
            ["UPDATE billing_creditgrant SET balance = balance + 1"],
            "the balance is 1.0000, its ledger comes to 0.0000",
        ),
        (
            "ledger_balances",
            ["UPDATE billing_invoice SET credits_applied = 0 WHERE sequence = 1"],
            "INV-2026-000001: credits applied are 0.0000, the ledger says 30.0000",
        ),
        (
            "amount_due",
            ["UPDATE billing_invoice SET amount_paid = amount_paid + 1 WHERE sequence = 1"],
            "INV-2026-000001: paid 101.0000 of 100.0000 recorded",
        ),
        (
            "amount_due",
            ["DELETE FROM billing_creditnoteline", "DELETE FROM billing_creditnote"],
            "credited 20.0000 of 0",
        ),
        (
            "customers_apart",
            ["UPDATE billing_creditgrant SET customer_id = (SELECT max(id) FROM customers_customer)"],
            "INV-2026-000001 took from credit",
        ),
        (
            "customers_apart",
            [
                "UPDATE billing_creditnoteline SET invoice_line_id ="
                " (SELECT line.id FROM billing_invoiceline line JOIN billing_invoice i ON i.id = line.invoice_id"
                "  WHERE i.sequence = 2)"
            ],
            "takes back a line of INV-2026-000002, another invoice",
        ),
        (
            "customers_apart",
            [
                "UPDATE billing_subscription SET customer_id = (SELECT max(id) FROM customers_customer)"
                " WHERE id = (SELECT min(id) FROM billing_subscription)"
            ],
            "its subscription",
        ),
    ],
)  # fmt: skip
def test_an_equation_names_what_breaks_it(story: None, code: str, statements: list[str], named: str) -> None:
    tamper(*statements)
    found = broken()
    assert any(named in each for each in found[code]), found


def test_a_line_of_one_customer_that_adjusts_anothers_is_named(story: None) -> None:
    tamper(
        "UPDATE billing_invoiceline SET adjusts_id ="
        " (SELECT line.id FROM billing_invoiceline line JOIN billing_invoice i ON i.id = line.invoice_id"
        "  WHERE i.sequence = 2) WHERE kind = 'adjustment'"
    )
    assert any("adjusts a line of INV-2026-000002" in each for each in broken()["customers_apart"])


def test_a_gap_that_a_void_invoice_explains_is_none(story: None) -> None:
    """November was billed by mistake and is void; December is billed."""
    Invoice.objects.filter(period_start="2026-11-01").update(status="void")
    close_period(Month(2026, 12), now=LATER.replace(year=2027, month=1), grace_days=0)
    assert "periods_tile" not in broken()
    tamper(
        "DELETE FROM billing_invoiceline WHERE adjusts_id IS NOT NULL", "DELETE FROM billing_linesettlement"
    )
    tamper("UPDATE billing_invoice SET period_start = '2020-01-01', starts_at = '2020-01-01', ends_at = '2020-01-02'"
           " WHERE status = 'void'")  # fmt: skip
    assert "periods_tile" in broken()


def test_lines_whose_events_are_archived_are_left_out(story: None) -> None:
    tamper("UPDATE billing_invoiceline SET quantity = 111 WHERE quantity = 110")
    EventArchive.objects.create(before=NOW, events=1, file="x", sha256="0" * 64, created_at=NOW)
    assert "quantity_is_measure" not in broken()


def run() -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    status = 0
    try:
        call_command("audit", stdout=out, stderr=err)
    except SystemExit as left:
        status = int(str(left.code))
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(LATER, tick=False) as travelled:
        yield travelled


def test_the_command_keeps_its_run_and_its_exit_status_tells(
    story: None, clock: time_machine.Traveller
) -> None:
    status, out, err = run()
    assert (status, err) == (0, "")
    assert out.count("ok  ") == len(EQUATIONS)
    assert out.endswith(f"{len(EQUATIONS)} equations, 0 broken.\n")
    clean = last_runs(CheckKind.AUDIT).clean
    assert clean is not None
    assert clean.finished_at == LATER
    clock.shift(3_600)
    tamper("UPDATE billing_invoice SET subtotal = 221, total = 221 WHERE number = 'INV-2026-000001'")
    status, out, err = run()
    assert (status, "WRONG A total is the sum" in out) == (1, True)
    assert "total_is_sum: INV-2026-000001: lines 220.0000" in err
    runs = last_runs(CheckKind.AUDIT)
    assert (runs.clean, [each.differing for each in failed_checks()]) == (clean, [1])
    assert CheckRun.objects.count() == 2


def test_paused_periods_tile_as_others_do_and_one_that_is_left_out_is_named() -> None:
    """Paused from 10 October to 20 December. Usage stays charged, so each month has its invoice, November too."""
    fee = {"kind": "subscription", "label": "Base", "amount": "31.00", "timing": "in_arrears"}
    make_meter()
    subscription = make_subscription(plan=make_plan(fee, TICKETS))
    author = Author(datetime(2026, 10, 2, tzinfo=UTC), "anna", "asked for")
    pause(subscription, when=date(2026, 10, 10), until=date(2026, 12, 20), author=author)
    send_tickets(3, occurred_at="2026-11-15T00:00:00Z")
    for month in (10, 11, 12):
        now = datetime(2027, 1, 5, tzinfo=UTC)
        close_period(Month(2026, month), now=now, grace_days=0)
    # 9 of 31 days; 3 tickets; 12 of 31 days.
    assert [str(each.total) for each in Invoice.objects.order_by("sequence")] == [
        "9.0000",
        "6.0000",
        "12.0000",
    ]
    assert broken() == {}
    tamper(
        "DELETE FROM billing_invoiceline WHERE invoice_id = (SELECT id FROM billing_invoice WHERE sequence = 2)"
    )
    tamper("DELETE FROM billing_invoice WHERE sequence = 2")
    assert any("begins 2026-12-01" in each for each in broken()["periods_tile"])


def test_every_equation_is_broken_by_a_test_above() -> None:
    cases = test_an_equation_names_what_breaks_it.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {equation.code for equation in EQUATIONS} == {code for code, *_ in cases}
