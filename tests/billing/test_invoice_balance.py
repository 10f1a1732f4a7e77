"""What the database holds about the sums of an invoice, and what may still change once it is issued."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from billing.closing import close_period
from billing.models import Invoice, InvoiceLine
from billing.months import Month
from tests.factories import NOW, make_subscription, send_tickets

pytestmark = pytest.mark.django_db


def draft() -> Invoice:
    """A draft over 3 tickets at $2.00: $6.00."""
    make_subscription()
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=30)
    return Invoice.objects.get()


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"discount": Decimal(1)}, "invoice_total_is_sum_of_parts"),
        ({"discount": Decimal(-1), "total": Decimal(7)}, "invoice_reductions_in_range"),
        ({"credits_applied": Decimal("6.01")}, "invoice_reductions_in_range"),
        ({"subscription": None}, "invoice_subscription_unless_one_off"),
        ({"kind": "one_off"}, "invoice_subscription_unless_one_off"),
    ],
)
def test_sums_that_do_not_add_up_are_refused(fields: dict[str, object], constraint: str) -> None:
    invoice = draft()
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk).update(**fields)
    assert Invoice.objects.get().total == 6


def test_discount_and_tax_make_the_total_and_credits_the_amount_due() -> None:
    invoice = draft()
    Invoice.objects.update(discount=Decimal("1.00"), tax=Decimal("0.95"), total=Decimal("5.95"))
    Invoice.objects.update(credits_applied=Decimal("2.00"))
    invoice.refresh_from_db()
    assert invoice.amount_due == Decimal("3.95")


def test_an_issued_invoice_takes_nothing_but_what_settles_it() -> None:
    make_subscription()
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    for fields in (
        {"discount": 1, "total": 5},
        {"credits_applied": 1},
        {"tax_included": 1},
        {"due_on": None},
    ):
        with pytest.raises(DatabaseError, match="is issued and cannot be changed"), transaction.atomic():
            Invoice.objects.update(**fields)


# An invoice copied with another status, number and key, and changes: what a program could try to write.
WRITE_ISSUED = """
INSERT INTO billing_invoice SELECT (jsonb_populate_record(invoice, jsonb_build_object(
    'id', nextval('billing_invoice_id_seq'), 'number', 'X-000001', 'series_id', 'X', 'sequence', 1,
    'period_start', '2026-09-01', 'period_end', '2026-10-01'
) || %s::jsonb)).* FROM billing_invoice invoice LIMIT 1
"""


def write_issued(cursor: Any, changes: str) -> None:
    cursor.execute("INSERT INTO billing_invoiceseries VALUES ('X', 1)")
    cursor.execute(WRITE_ISSUED, [changes])


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ('{"status": "issued", "subtotal": 5, "total": 5}', "do not add up to its subtotal"),
        ('{"taxes": [{"amount": "3", "inclusive": false}]}', "amounts of its taxes"),
        ('{"status": "issued", "total": 2, "subtotal": 2, "amount_paid": 1}', "drawn up as a draft first"),
        ('{"status": "void"}', "drawn up as a draft first"),
        ('{"total": 2, "subtotal": 2, "credits_applied": 2}', "drawn up as a draft first"),
    ],
)
def test_an_invoice_written_as_issued_adds_up_and_nothing_is_settled_of_it(
    changes: str, refusal: str
) -> None:
    make_subscription()
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    assert Invoice.objects.get().status == "paid"  # nothing was used
    with (
        pytest.raises(DatabaseError, match=refusal),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        write_issued(cursor, changes)
    assert Invoice.objects.count() == 1


def test_an_invoice_written_as_issued_keeps_its_lines_from_then_on() -> None:
    make_subscription()
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    line = InvoiceLine.objects.get()
    line.pk, line.n = None, 2
    with pytest.raises(DatabaseError, match="lines of an issued invoice"), transaction.atomic():
        line.save(force_insert=True)
    with pytest.raises(DatabaseError, match="lines of an issued invoice"), transaction.atomic():
        InvoiceLine.objects.update(amount=5)
    assert InvoiceLine.objects.get().amount == 6
