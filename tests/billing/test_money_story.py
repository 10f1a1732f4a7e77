"""One invoice with everything on it, worked by hand: the order in which minimum, coupons, tax and credits apply."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from billing.closing import close_period
from billing.models import CreditEntry, Invoice, InvoiceDiscount, Subscription
from billing.months import Month
from billing.previewing import preview_invoice
from billing.verifying import verify_invoice
from metering.periods import month_period
from tests.billing.money import cents, credit, give, sums, tax
from tests.factories import (
    NOW,
    TICKETS,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send_tickets,
)

pytestmark = pytest.mark.django_db
OCTOBER = Month(2026, 10)


def story() -> Subscription:
    """120 tickets at 2.00 and a handbook of 31.00, minimum 300.00; 10 % and 20.00 off; 19 % and 7 %; two credits."""
    make_meter()
    fee = {
        "kind": "subscription", "label": "Handbook", "amount": "31.00", "timing": "in_arrears",
        "tax_category": "reduced",
    }  # fmt: skip
    plan = make_plan(TICKETS, fee, currency="EUR", minimum_amount=Decimal(300))
    customer = make_customer(currency="EUR", country="DE")
    tax("DE", "19")
    tax("DE", "7", "reduced")
    give(customer, "20")
    give(customer, "10%")
    credit(customer, "100", kind="prepaid", name="Prepaid")
    credit(customer, "50.25", priority=10, name="Welcome")
    subscription = make_subscription(customer, plan)
    send_tickets(120)
    return subscription


def close() -> Invoice:
    close_period(OCTOBER, now=NOW, grace_days=0)
    return Invoice.objects.get()


def test_minimum_then_coupons_then_tax_then_credits() -> None:
    story()
    invoice = close()
    lines = [(each.kind, cents(each.amount), cents(each.discount)) for each in invoice.lines.all()]
    # 240 + 31 = 271, so 29 to the minimum. 10 % of 300 is 30: 24.00, 3.10, 2.90. Then 20 over 216, 27.90, 26.10:
    # 16.00, 2.0667, 1.9333, and the cent that is left goes to the larger remainder.
    assert lines == [
        ("usage", "240.00", "40.00"),
        ("subscription", "31.00", "5.17"),
        ("minimum", "29.00", "4.83"),
    ]
    # 19 % of 200.00 + 24.17 = 224.17 is 42.5923; 7 % of 25.83 is 1.8081.
    assert [(each["percent"], each["base"], each["amount"]) for each in invoice.taxes] == [
        ("19", "224.17", "42.59"),
        ("7", "25.83", "1.81"),
    ]
    assert [list(each.taxed_by) for each in invoice.lines.all()] == [[1], [2], [1]]
    assert sums(invoice) == {
        "subtotal": "300.00",
        "discount": "50.00",
        "tax": "44.40",
        "total": "294.40",
        "credits_applied": "150.25",
        "amount_due": "144.15",
    }
    used = CreditEntry.objects.filter(invoice=invoice).order_by("id").values_list("grant__name", "amount")
    assert list(used) == [("Welcome", Decimal("-50.25")), ("Prepaid", Decimal("-100"))]
    assert [(each.name, cents(each.amount)) for each in invoice.discounts.all()] == [
        ("10% off", "30.00"),
        ("20 off", "20.00"),
    ]
    assert verify_invoice(invoice).differences == []


def test_the_preview_shows_every_part_of_the_invoice_that_follows() -> None:
    draft = preview_invoice(story(), period=month_period(2026, 10, "UTC"), now=NOW)
    assert not CreditEntry.objects.filter(kind="applied").exists()
    invoice = close()
    for name in ("subtotal", "discount", "tax", "tax_included", "total", "credits_applied", "amount_due"):
        assert getattr(draft, name) == getattr(invoice, name), name
    assert [each.as_json() for each in draft.taxes] == invoice.taxes
    assert [(each.name, each.amount) for each in draft.discounts] == list(
        invoice.discounts.values_list("name", "amount")
    )
    assert [(each.name, -each.amount) for each in draft.credits] == list(
        CreditEntry.objects.filter(invoice=invoice).order_by("id").values_list("grant__name", "amount")
    )
    assert [(each.discount, each.taxed_by) for each in draft.lines] == [
        (each.discount, tuple(each.taxed_by)) for each in invoice.lines.all()
    ]


def test_a_draft_refreshes_without_using_a_coupon_twice_or_touching_credits() -> None:
    story()
    first = datetime(2026, 11, 1, 1, tzinfo=UTC)
    for _ in range(3):
        close_period(OCTOBER, now=first, grace_days=2)
    draft = Invoice.objects.get()
    assert (draft.status, draft.credits_applied, cents(draft.discount)) == ("draft", 0, "50.00")
    assert list(InvoiceDiscount.objects.values_list("use_n", flat=True)) == [1, 1]
    close_period(OCTOBER, now=datetime(2026, 11, 3, tzinfo=UTC), grace_days=2)
    draft.refresh_from_db()
    # The credits were granted after this close: they cannot pay what is issued before.
    assert (draft.status, draft.credits_applied, cents(draft.total)) == ("issued", 0, "294.40")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE billing_invoiceline SET discount = discount - 1 WHERE kind = 'usage'",
            "discounts of its lines",
        ),
        ("UPDATE billing_invoicediscount SET amount = amount + 1 WHERE n = 1", "amounts of its coupons"),
        ("UPDATE billing_invoice SET taxes = '[]'", "amounts of its taxes"),
        ("UPDATE billing_invoice SET credits_applied = 1", "credits in the ledger"),
    ],
)
def test_an_invoice_whose_parts_do_not_add_up_cannot_be_issued(statement: str, words: str) -> None:
    story()
    close_period(OCTOBER, now=NOW, grace_days=100)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.execute("INSERT INTO billing_invoiceseries VALUES ('X', 1)")
        with pytest.raises(DatabaseError, match=words), transaction.atomic():
            cursor.execute(
                "UPDATE billing_invoice SET status = 'issued', number = 'X-000001', series_id = 'X', sequence = 1,"
                " issued_at = now()"
            )
    assert Invoice.objects.get().status == "draft"


def test_what_coupons_took_off_an_issued_invoice_stays() -> None:
    story()
    close()
    for change in (InvoiceDiscount.objects.all().delete, lambda: InvoiceDiscount.objects.update(amount=1)):
        with pytest.raises(DatabaseError, match="issued invoice cannot be changed"), transaction.atomic():
            change()
