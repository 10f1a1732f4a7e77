"""What customers see of their account: balances, payments, credit notes, the statement as page, PDF and CSV."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from billing.accounts import balances, statement_of
from billing.collecting import record_payment, write_off
from billing.correcting import issue_credit_note
from billing.documents import invoice_html
from billing.models import Invoice
from billing.portal import statement
from billing.statement_files import usual_spells
from billing.voiding import void_invoice
from customers.models import Customer
from tests.factories import NOW

WHO: dict[str, Any] = {"by": "Clerk Kim", "now": NOW}
DAY = NOW.date()


@pytest.fixture
def settled(october: Invoice) -> Invoice:
    """October over $240.00, of which $100.00 are paid and $40.00 credited: $100.00 are due."""
    record_payment(october, amount=Decimal("100.00"), received_on=DAY, reference="=B 4711", **WHO)
    issue_credit_note(october, amount=Decimal("40.00"), reason="Goodwill", **WHO)
    october.refresh_from_db()
    return october


def text_of(client: Client, path: str, **query: str) -> str:
    answer = client.get(f"/portal/{path}", query)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_the_statement_ends_at_what_is_due(anna: Client, settled: Invoice) -> None:
    text = text_of(anna, "statement/")
    for expected in ("$240.00", "-$40.00", "-$100.00", "CN-2026-000001", "INV-2026-000001"):
        assert expected in text
    shown = statement_of(settled.customer, "USD", first=DAY, last=DAY)
    assert [(row.entry.kind, f"{row.balance:.2f}") for row in shown.rows] == [
        ("invoice", "240.00"), ("credit_note", "200.00"), ("payment", "100.00"),
    ]  # fmt: skip
    assert shown.closing == settled.amount_due == 100
    later = statement_of(settled.customer, "USD", first=DAY.replace(day=21), last=DAY.replace(day=30))
    assert (later.opening, later.rows, later.closing) == (100, (), 100)


def test_a_void_invoice_leaves_nothing_on_the_account(october: Invoice) -> None:
    void_invoice(october, reason="Wrong", **WHO)
    assert statement_of(october.customer, "USD", first=DAY, last=DAY).closing == 0


def test_balances_tell_due_overdue_and_credit_apart(settled: Invoice) -> None:
    (balance,) = balances(settled.customer, now=NOW)
    assert (balance.due, balance.overdue, balance.credit) == (100, 0, 0)
    (late,) = balances(settled.customer, now=NOW.replace(month=12, day=25))
    assert late.overdue == 100
    record_payment(settled, amount=Decimal("130.00"), received_on=DAY, overpaid=True, **WHO)
    (over,) = balances(settled.customer, now=NOW)
    assert (over.due, over.credit) == (0, 30)


def test_what_was_written_off_is_closed_for_the_customer_and_says_no_reason(
    anna: Client, settled: Invoice
) -> None:
    write_off(settled, reason="Bankrupt, says the court", by="Clerk Kim", now=NOW)
    for path in ("", "invoices/", f"invoices/{settled.number}/", "statement/", "statement/csv/"):
        text = re.sub("<[^>]*>", "", text_of(anna, path)).lower()
        assert "written" not in text, path
        assert "write" not in text, path
        assert "court" not in text, path
    assert "Closed without payment" in text_of(anna, "statement/")
    assert "Closed" in text_of(anna, "invoices/")
    assert "Written off" not in invoice_html(Invoice.objects.get())


def test_the_statement_is_a_file(anna: Client, settled: Invoice) -> None:
    answer = anna.get("/portal/statement/pdf/")
    assert answer.content.startswith(b"%PDF-")
    rows = list(csv.DictReader(io.StringIO(anna.get("/portal/statement/csv/").content.decode())))
    assert [(row["type"], row["amount"], row["balance"]) for row in rows] == [
        ("balance_before", "", "0.00"), ("invoice", "240.00", "240.00"), ("credit_note", "-40.00", "200.00"),
        ("payment", "-100.00", "100.00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query", [{"first": "soon"}, {"first": "2026-12-01", "last": "2026-11-01"}, {"currency": "XXX"}]
)
def test_days_that_cannot_be_chosen_are_told(anna: Client, settled: Invoice, query: dict[str, str]) -> None:
    assert anna.get("/portal/statement/", query).status_code == 400
    assert anna.get("/portal/statement/csv/", query).status_code == 404


def test_the_overview_says_what_is_to_pay_and_the_invoice_what_was_paid(
    anna: Client, settled: Invoice
) -> None:
    assert "$100.00" in text_of(anna, "")
    text = text_of(anna, f"invoices/{settled.number}/")
    assert "Credit note CN-2026-000001" in text
    assert "-$100.00" in text
    assert "Clerk Kim" not in text


def test_a_credit_note_is_a_page_and_a_file(anna: Client, settled: Invoice) -> None:
    text = text_of(anna, "credit-notes/CN-2026-000001/")
    assert "Goodwill" in text
    assert "$40.00" in text
    assert anna.get("/portal/credit-notes/CN-2026-000001/pdf/").content.startswith(b"%PDF-")


def test_nobody_sees_the_credit_notes_and_entries_of_another_customer(
    sign_in: Any, settled: Invoice, globex: Customer
) -> None:
    stranger = sign_in(globex)
    for path in ("credit-notes/CN-2026-000001/", "credit-notes/CN-2026-000001/pdf/"):
        assert stranger.get(f"/portal/{path}").status_code == 404
    assert "INV-2026-000001" not in text_of(stranger, "statement/")
    assert Client().get("/portal/statement/").status_code == 302


def test_many_entries_are_pages_that_bring_the_balance_forward(
    anna: Client, october: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An invoice over $240.00 and seven payments of $10.00: pages of three, the latest first shown."""
    monkeypatch.setattr(statement, "PER_PAGE", 3)
    for n in range(7):
        record_payment(october, amount=Decimal(10), received_on=DAY, reference=f"Part {n}", **WHO)
    shown = text_of(anna, "statement/", currency="USD")
    assert "Page 3 of 3" in shown
    assert [f"Part {n}" in shown for n in range(7)] == [False] * 5 + [True] * 2
    # 240.00 - 5 x 10.00 before the page, 170.00 after it.
    assert "Brought forward" in shown
    assert shown.index("$190.00") < shown.index("$180.00") < shown.index("Balance due")
    first = text_of(anna, "statement/", currency="USD", page="1")
    assert "Balance before" in first
    assert "Balance due" not in first
    assert "?currency=USD&amp;page=2" in first
    assert anna.get("/portal/statement/", {"page": "4"}).status_code == 404
    assert "Part 0" in anna.get("/portal/statement/csv/").content.decode(), "files hold all of it"


def test_usual_days_are_one_click_away(anna: Client, settled: Invoice) -> None:
    spells = [(each.label, str(each.first), str(each.last)) for each in usual_spells(DAY)]
    assert spells == [
        ("This month", "2026-11-01", "2026-11-20"),
        ("Last month", "2026-10-01", "2026-10-31"),
        ("This year", "2026-01-01", "2026-11-20"),
        ("Last year", "2025-01-01", "2025-12-31"),
    ]
    shown = text_of(anna, "statement/", first="2026-10-01", last="2026-10-31")
    assert 'currency=USD" aria-current="true">Last month</a>' in shown
    assert "Nothing was invoiced or paid on these days." in shown
