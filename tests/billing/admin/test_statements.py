"""The statement of account in the admin: the entries the customer sees, as page, PDF and CSV."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest
from django.urls import reverse

from billing.closing import close_period
from billing.collecting import record_payment
from billing.models import Invoice
from billing.months import Month
from tests.billing.test_documents import keep, needs_pdf_tools, words
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.staff import sign_in, text_of

pytestmark = pytest.mark.django_db
DAYS = "?first=2026-11-01&last=2026-11-30"


@pytest.fixture
def invoice() -> Invoice:
    """October over $240.00, of which $100.00 are paid."""
    make_subscription(make_customer(name="=Acme", locale="de_DE"))
    send_tickets(120)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    invoice = Invoice.objects.get()
    record_payment(
        invoice, amount=Decimal(100), received_on=NOW.date(), reference="=4711", by="Clerk Kim", now=NOW
    )
    return invoice


def page(invoice: Invoice, kind: str = "") -> str:
    if kind:
        return reverse("admin:customers_customer_statement_file", args=[invoice.customer_id, kind]) + DAYS
    return reverse("admin:customers_customer_statement", args=[invoice.customer_id]) + DAYS


def test_the_page_shows_every_entry_with_the_balance_after_it(invoice: Invoice) -> None:
    clerk = sign_in("Billing clerk")
    text = text_of(clerk.get(page(invoice)))
    for expected in (
        "INV-2026-000001",
        "$240.00",
        "-$100.00",
        "$140.00 due at the end",
        "Bank transfer =4711",
    ):
        assert expected in text
    customer = reverse("admin:customers_customer_change", args=[invoice.customer_id])
    assert page(invoice).split("?")[0] in clerk.get(customer).content.decode()


def test_the_csv_ends_at_what_is_due_and_runs_no_formula(invoice: Invoice) -> None:
    answer = sign_in("Billing clerk").get(page(invoice, "csv"))
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(row["type"], row["amount"], row["balance"]) for row in rows] == [
        ("balance_before", "", "0.00"), ("invoice", "240.00", "240.00"), ("payment", "-100.00", "140.00"),
    ]  # fmt: skip
    assert not any(cell.startswith("=") for row in rows for cell in row.values())


@needs_pdf_tools
def test_the_pdf_is_in_the_customers_language(invoice: Invoice) -> None:
    answer = sign_in("Billing clerk").get(page(invoice, "pdf"))
    assert answer.headers["Content-Type"] == "application/pdf"
    assert "statement-acme-USD-2026-11-01-2026-11-30.pdf" in answer.headers["Content-Disposition"]
    text = words(keep("statement-de.pdf", answer.content))
    for expected in (
        "Kontoauszug",
        "Zahlung INV-2026-000001",
        "Überweisung =4711",
        "Offener Betrag 140,00 $",
    ):
        assert expected in text


def test_days_that_make_no_sense_are_refused_at_their_field(invoice: Invoice) -> None:
    clerk = sign_in("Billing clerk")
    wrong = page(invoice).replace("2026-11-30", "2026-10-01")
    answer = clerk.get(wrong)
    assert answer.status_code == 400
    assert "Choose a day on or after the first." in answer.content.decode()
    assert clerk.get(page(invoice, "csv").replace("2026-11-30", "soon")).status_code == 404
    assert clerk.get(page(invoice).replace("2026-11-30", "2026-13-45")).status_code == 400
