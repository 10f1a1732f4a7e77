"""What the database itself refuses about money, whoever asks: each statement is one that no program may do."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from itertools import product
from string import ascii_uppercase

import pytest
from django.db import DatabaseError, connection, transaction

from billing.closing import close_period
from billing.deciding import find_late_usage, waive_late_usage
from billing.models import ChangedLine, Invoice, Subscription
from billing.months import Month
from billing.rating.errors import UnknownCurrency
from billing.rating.money import currency_digits
from tests.factories import NOW, make_customer, make_subscription, send_tickets

pytestmark = pytest.mark.django_db
DECEMBER = datetime(2026, 12, 2, tzinfo=UTC)
ISSUED = (
    "status = 'issued', number = 'INV-2026-000004', sequence = 4, series_id = 'INV-2026', issued_at = now()"
)
TAKEN = "UPDATE billing_invoiceseries SET last_number = 4; UPDATE billing_invoice SET "
DRAFT = " WHERE status = 'draft'"
# $0.995 and $1.005 in place of the draft's $2.00.
HALVES = (
    "INSERT INTO billing_invoiceline SELECT (jsonb_populate_record(line, "
    '\'{"id": 99999999, "n": 2, "amount": 1.005}\')).* '
    f"FROM billing_invoiceline line WHERE invoice_id IN (SELECT id FROM billing_invoice{DRAFT});"
    "UPDATE billing_invoiceline SET amount = 0.995 WHERE id <> 99999999 "
    f"AND invoice_id IN (SELECT id FROM billing_invoice{DRAFT});"
)


@pytest.fixture
def invoices() -> None:
    """Acme has October with a waived ticket, and November with a late one; Globex October, and November as a draft."""
    acme = make_subscription()
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    send_tickets(1, first=3)
    find_late_usage(now=NOW)
    shown = dict(ChangedLine.objects.values_list("pk", "effect_amount"))
    waive_late_usage(shown, reason="a favour", by="anna", now=NOW)
    send_tickets(1, first=4)
    close_period(Month(2026, 11), now=DECEMBER, grace_days=0)
    globex = make_customer("globex")
    make_subscription(globex, acme.plan)
    for n, day in ((9, "10-05"), (10, "11-05")):
        send_tickets(1, first=n, customer="globex", occurred_at=f"2026-{day}T10:00:00Z")
    close_period(Month(2026, 10), now=DECEMBER, grace_days=0)
    close_period(Month(2026, 11), now=DECEMBER, grace_days=30)
    assert list(Invoice.objects.order_by("id").values_list("status", flat=True)) == ["issued"] * 3 + ["draft"]


def run(statements: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements.split(";"):
            cursor.execute(statement)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize(
    ("statements", "refusal"),
    [
        # A draft is issued as it may not be.
        (TAKEN + ISSUED + ", period_start = '2026-10-31'" + DRAFT, "invoice_periods_never_overlap"),
        (TAKEN + ISSUED + ", currency = 'EUR'" + DRAFT, "another currency, or of another customer"),
        (
            TAKEN
            + ISSUED
            + ", customer_id = (SELECT id FROM customers_customer WHERE code = 'acme')"
            + DRAFT,
            "another currency, or of another customer",
        ),
        (TAKEN + ISSUED.replace("000004", "4") + DRAFT, "not that of its series"),
        ("UPDATE billing_invoice SET " + ISSUED + DRAFT, "was not taken from its series"),
        (
            "UPDATE billing_invoiceline SET kind = 'adjustment', adjustment_n = 9, adjusts_id = "
            "(SELECT min(id) FROM billing_invoiceline) WHERE invoice_id IN (SELECT id FROM billing_invoice"
            + DRAFT
            + ");"
            + TAKEN
            + ISSUED
            + DRAFT,
            "adjusts what another customer",
        ),
        # Amounts are rounded once, at the line.
        ("UPDATE billing_invoice SET subtotal = 2.001, total = 2.001" + DRAFT, "invoice_in_minor_units"),
        (HALVES + TAKEN + ISSUED + DRAFT, "finer than its currency"),
        # Or written as issued at once.
        (
            "UPDATE billing_invoiceseries SET last_number = 4;"
            "INSERT INTO billing_invoice SELECT (jsonb_populate_record("
            'invoice, \'{"id": 99999999, "sequence": 4, "number": "INV-2026-000004", "currency": "EUR",'
            ' "period_start": "2027-01-01", "period_end": "2027-02-01", "subtotal": 0, "total": 0,'
            ' "status": "paid"}\')).* FROM billing_invoice invoice WHERE sequence = 1',
            "another currency, or of another customer",
        ),
        # Numbers.
        ("UPDATE billing_invoiceseries SET last_number = 9", "are on no invoice"),
        ("UPDATE billing_invoiceseries SET last_number = 2", "are on no invoice"),
        # What was said stays.
        (
            "UPDATE billing_invoice SET status = 'void' WHERE sequence = 1;"
            "UPDATE billing_invoice SET status = 'issued' WHERE sequence = 1",
            "is void and stays so",
        ),
        ("UPDATE billing_adjustmentwaiver SET amount = amount - 1", "was waived or credited of a line stays"),
        ("DELETE FROM billing_adjustmentwaiver", "was waived or credited of a line stays"),
        ("UPDATE billing_linesettlement SET position = 0", "settled stays"),
        ("DELETE FROM billing_linesettlement", "settled stays"),
        ("UPDATE billing_subscription SET timezone = 'Asia/Tokyo'", "what it was billed by stays"),
        ("UPDATE billing_subscription SET start_on = '2026-10-15'", "what it was billed by stays"),
        ("UPDATE billing_subscription SET quantity = 7", "what it was billed by stays"),
        ("UPDATE billing_invoiceline SET amount = amount + 1", "issued invoice cannot be changed"),
        (
            "UPDATE billing_invoice SET amount_paid = total, status = 'paid' WHERE status = 'issued'",
            "not those",
        ),
        ("UPDATE metering_event SET customer_id = NULL", "cannot be changed"),
    ],
)
@pytest.mark.usefixtures("invoices")
def test_the_database_refuses(statements: str, refusal: str) -> None:
    before = list(Invoice.objects.order_by("id").values())
    with pytest.raises(DatabaseError, match=refusal):
        run(statements)
    assert list(Invoice.objects.order_by("id").values()) == before


def test_the_database_knows_the_minor_unit_of_every_currency() -> None:
    digits = {}
    for code in map("".join, product(ascii_uppercase, repeat=3)):
        with suppress(UnknownCurrency):
            digits[code] = currency_digits(code)
    assert len(digits) == 170
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT code, billing_minor_digits(code) FROM unnest(%s::text[]) AS code", [list(digits)]
        )
        assert dict(cursor.fetchall()) == digits


@pytest.mark.usefixtures("invoices")
def test_what_programs_do_stays_possible() -> None:
    """The draft may be issued as it is, and the end of an invoiced subscription may change."""
    run(TAKEN + ISSUED + DRAFT)
    run("UPDATE billing_subscription SET end_on = '2027-01-01', revision = revision + 1")
    assert Subscription.objects.filter(end_on=None).count() == 0
    assert Invoice.objects.filter(status="issued").count() == 4
