"""Issued invoices computed again by a second way of counting: equal to the cent, or named."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from billing import verification
from billing.checking import last_runs
from billing.closing import close_period
from billing.couponing import CouponTerms, give_coupon, save_coupon
from billing.models import CheckKind, CheckRun, Invoice, InvoiceLine
from billing.months import Month
from billing.verification import invoices_to_verify, verify
from billing.verifying import verify_invoice
from metering.correcting import void_event
from metering.models import Event, EventArchive
from tests.factories import (
    NOW,
    event,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)

pytestmark = pytest.mark.django_db
LATER = datetime(2026, 12, 20, tzinfo=UTC)


def close(month: int = 10) -> None:
    close_period(Month(2026, month), now=LATER, grace_days=0)


def run(*options: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    status = 0
    try:
        call_command("verify_invoices", *options, stdout=out, stderr=err)
    except SystemExit as left:
        status = int(str(left.code))
    return status, out.getvalue(), err.getvalue()


def tamper(*statements: str) -> None:
    """Do what triggers never let happen; they are on again afterwards, also where a test commits."""
    tables = ("billing_invoice", "billing_invoiceline", "metering_event")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def usage(meter: str, model: str, **terms: Any) -> dict[str, Any]:
    return {"kind": "usage", "meter": meter, "model": model, **terms}


TIERS = [{"up_to": "10", "unit_amount": "3", "flat_amount": "5"}, {"up_to": None, "unit_amount": "0.333"}]
GROWING = [{"up_to": "10", "unit_amount": "1"}, {"up_to": None, "unit_amount": "1.5"}]
METERS: dict[str, dict[str, Any]] = {
    "tickets_resolved": {},
    "seconds": {"type": "sum", "divisor": 3600, "rounding_function": "up", "rounding_digits": 0},
    "cents": {"type": "sum", "factor": "0.01"},
    "peak": {"type": "max"},
    "peaks": {"type": "max", "window": "day"},
    "mean": {"type": "average"},
    "seats": {"type": "weighted_sum"},
    "held": {"type": "weighted_sum", "timeout_hours": 30},
    "p95": {"type": "percentile", "percentile": 95},
    "last": {"type": "latest", "filters": {"region": ["eu"]}},
    "who": {"type": "unique"},
    "resolved_once": {"once_per_subject": "period", "verification_hours": 48},
}
RATES = [
    usage("tickets_resolved", "graduated", tiers=TIERS, minimum_amount="1"),
    usage("seconds", "package", package_size="5", package_amount="1.01"),
    usage("cents", "percentage", percent="2.9", fixed_amount="0.30", free_events=2, per_event_maximum="4"),
    usage("peak", "stairstep", tiers=[{"up_to": "250", "flat_amount": "10"}, {"up_to": None, "flat_amount": "20"}]),
    usage("peaks", "volume", tiers=GROWING, included_units="1"),
    usage("mean", "per_unit", unit_amount="1.25", per="100"),
    usage("seats", "per_unit", unit_amount="19.99"),
    usage("held", "per_unit", unit_amount="7"),
    usage("p95", "per_unit", unit_amount="1"),
    usage("last", "per_unit", unit_amount="2"),
    usage("who", "per_unit", unit_amount="2", maximum_amount="5"),
    usage("resolved_once", "per_unit", unit_amount="2"),
    usage(
        "tickets_resolved", "per_unit", dimensions=["channel", "region"],
        rows=[
            {"match": {"channel": "email"}, "unit_amount": "0.005"},
            {"match": {"channel": "email", "region": "eu"}, "unit_amount": "0.015", "included_units": "2"},
            {"match": {}, "unit_amount": "1"},
        ],
    ),
    {"kind": "subscription", "label": "Pro", "amount": "199.00", "timing": "in_arrears"},
    {"kind": "one_time", "label": "Set-up", "amount": "500.00"},
]  # fmt: skip


def make_everything() -> None:
    """A plan with a rate for each type of meter and each model, and 40 events on each meter."""
    for code, fields in METERS.items():
        make_meter(code, dimensions=["channel", "region"], **fields)
    plan = make_plan(
        *RATES, code="all", included_spend="20", minimum_amount="1000000", service_fee_percent="3"
    )
    make_subscription(make_customer(timezone="America/Los_Angeles"), plan)
    send(
        *(
            event(
                f"{code}-{n}",
                meter=code,
                value=str((n * 7919 % 100) + n % 3 / 4),
                occurred_at=f"2026-10-{n * 3 % 27 + 2:02d}T{n % 24:02d}:30:00Z",
                subject=f"ticket-{n % 5}",
                dimensions={"channel": "email" if n % 2 else "chat", "region": "eu" if n % 3 else "us"},
            )
            for code in METERS
            for n in range(40)
        )
    )


def test_every_type_of_meter_and_model_comes_to_the_same_cents() -> None:
    make_everything()
    close()
    invoice = Invoice.objects.get()
    kinds = set(invoice.lines.values_list("kind", flat=True))
    assert kinds == {"usage", "subscription", "one_time", "included_spend", "minimum", "service_fee"}
    assert verify_invoice(invoice).differences == []
    assert invoice.lines.filter(kind="usage", amount=0).count() == 0


def test_each_line_that_is_a_cent_off_is_found() -> None:
    make_everything()
    close()
    for n in Invoice.objects.get().lines.values_list("n", flat=True):
        tamper(f"UPDATE billing_invoiceline SET amount = amount + 0.01 WHERE n = {n}")
        found = verify_invoice(Invoice.objects.get()).differences
        assert n in {each.line for each in found if each.what == "the amount"}
        assert "the subtotal" in [each.what for each in found if each.line is None]
        tamper(f"UPDATE billing_invoiceline SET amount = amount - 0.01 WHERE n = {n}")
    assert verify_invoice(Invoice.objects.get()).differences == []


def test_invoices_are_equal_also_after_late_and_voided_events_and_so_are_their_adjustments() -> None:
    make_subscription()
    send_tickets(110)
    close()
    send_tickets(5, first=110)
    void_event(Event.objects.get(key="evt-0"), reason="wrong", by="test", now=NOW)
    close(11)
    assert run() == (0, "2 invoices computed again, 0 differ.\n", "")
    assert run("--month", "2026-11") == (0, "1 invoice computed again, 0 differ.\n", "")
    tamper("UPDATE billing_invoiceline SET amount = 9 WHERE kind = 'adjustment'")
    assert run("--customer", "acme")[2].splitlines() == [
        "INV-2026-000002, line 2: the amount is 9 on the invoice and 8 computed again",
        "INV-2026-000002: the subtotal is 8 on the invoice and 9 computed again",
    ]


def test_an_event_that_vanished_is_found_by_invoice_and_line() -> None:
    make_subscription()
    send_tickets(3)
    close()
    tamper("DELETE FROM metering_event WHERE key = 'evt-0'")
    status, out, err = run("--month", "2026-10")
    assert (status, out) == (1, "1 invoice computed again, 1 differ.\n")
    assert err.splitlines() == [
        "INV-2026-000001, line 1: the quantity is 3 on the invoice and 2 computed again",
        "INV-2026-000001, line 1: the amount is 6 on the invoice and 4 computed again",
    ]
    kept = CheckRun.objects.get()
    assert (kept.scope, kept.whole, kept.findings[0]["named"]) == ("2026-10", False, err.splitlines())
    assert last_runs(CheckKind.VERIFICATION).clean is None


def test_an_event_that_was_added_without_a_trace_is_found_in_an_adjustment_too() -> None:
    make_subscription()
    send_tickets(3)
    close()
    send_tickets(2, first=3)
    close(11)
    tamper("UPDATE metering_event SET value = 2 WHERE key = 'evt-4'")
    assert run()[2].splitlines() == [
        "INV-2026-000002, line 2: the quantity measured now is 5 on the invoice and 6 computed again",
        "INV-2026-000002, line 2: the amount measured now is 10 on the invoice and 12 computed again",
    ]


def test_lines_whose_events_are_archived_are_told_and_not_counted_as_different() -> None:
    make_subscription()
    send_tickets(3)
    close()
    tamper("DELETE FROM metering_event")
    EventArchive.objects.create(before=NOW, events=3, file="x", sha256="0" * 64, created_at=NOW)
    assert run() == (
        0,
        "1 invoice computed again, 0 differ. 1 cannot be computed, events archived.\n",
        "",
    )
    tamper("UPDATE billing_invoice SET subtotal = 7, total = 7")
    assert "the subtotal is 7" in run()[2]  # sums need no events


def test_an_unknown_customer_or_number_of_processes_is_refused_by_name() -> None:
    from django.core.management import CommandError

    with pytest.raises(CommandError, match="There is no customer nobody"):
        run("--customer", "nobody")
    with pytest.raises(CommandError, match="--processes"):
        run("--processes", "0")


@pytest.mark.django_db(transaction=True)
def test_processes_share_the_work_and_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_subscription().plan
    for number in range(6):
        make_subscription(make_customer(f"c{number}"), plan)
        send(event(f"e{number}", customer=f"c{number}"))
    close()
    monkeypatch.setattr(verification, "CHUNK", 2)
    monkeypatch.setattr(verification, "WORTH_PROCESSES", 1)
    seen: list[tuple[int, int]] = []
    found = verify(invoices_to_verify(), processes=2, on_progress=lambda *done: seen.append(done))
    assert (found.checked, found.differing, seen[-1]) == (7, 0, (7, 7))
    tamper(
        "UPDATE billing_invoiceline SET quantity = 2, amount = 4 WHERE quantity = 1 AND invoice_id % 2 = 0"
    )
    parallel = verify(invoices_to_verify(), processes=2)
    assert parallel.differing == 3
    assert parallel == verify(invoices_to_verify())


def test_an_adjustment_of_a_discounted_line_is_computed_again_with_its_discount() -> None:
    """110 tickets, 220.00 less 10 %; 5 late ones are 10.00 less 1.00."""
    subscription = make_subscription()
    terms = CouponTerms(code="ten", name="Ten", kind="percent", value=Decimal(10), duration="forever")
    october = datetime(2026, 10, 1, tzinfo=UTC)
    give_coupon(subscription.customer, save_coupon(terms), by="test", now=october)
    send_tickets(110)
    close()
    send_tickets(5, first=110)
    close(11)
    adjustment = InvoiceLine.objects.get(kind="adjustment")
    assert (adjustment.quantity, adjustment.amount) == (5, 9)
    assert run() == (0, "2 invoices computed again, 0 differ.\n", "")
