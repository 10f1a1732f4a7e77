"""The list of invoices and the page of one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.db.models import Count
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.closing import close_period
from billing.collecting import record_payment
from billing.correcting import issue_credit_note
from billing.documents import invoice_document
from billing.models import Invoice, Plan, Subscription
from billing.months import Month
from billing.one_off import Item, create_one_off
from billing.portal.compared import compared_with_before
from billing.portal.invoices import visible_invoices
from billing.subscribing import subscribe
from billing.voiding import void_invoice
from customers.models import Customer
from tests.billing.money import give
from tests.billing.portal.conftest import sign_in_again
from tests.factories import NOW, make_customer, make_meter, make_plan, send_tickets

INVOICES = "/portal/invoices/"


def text_of(client: Client, path: str = INVOICES, **query: str) -> str:
    answer = client.get(path, query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def issue_months(customer: Customer, count: int) -> None:
    """Bills the last `count` months before November 2026."""
    first = 2026 * 12 + 10 - count
    Subscription.objects.filter(customer=customer).update(start_on=date(first // 12, first % 12 + 1, 1))
    for index in range(first, first + count):
        close_period(Month(index // 12, index % 12 + 1), now=NOW, grace_days=0)


def test_an_invoice_explains_its_line(anna: Client, october: Invoice) -> None:
    text = text_of(anna, f"{INVOICES}{october.number}/")
    assert "120 tickets × $2.00 = $240.00" in text
    assert "1–31 October 2026" in text
    assert "Europe/Berlin time" in text
    assert f"{INVOICES}{october.number}/lines/1/events/" in text
    assert f"{INVOICES}{october.number}/pdf/" in text


def test_the_page_and_the_file_say_the_same(anna: Client, october: Invoice) -> None:
    answer = anna.get(f"{INVOICES}{october.number}/pdf/")
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == f'attachment; filename="{october.number}.pdf"'
    assert answer.content.startswith(b"%PDF-")
    document = invoice_document(october)
    page = text_of(anna, f"{INVOICES}{october.number}/")
    for each in document.lines:
        for step in each.words.steps:
            assert step.sentence in page


def test_a_server_that_cannot_make_files_says_so_and_offers_the_page(
    anna: Client, october: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing.printing import DocumentsUnavailable

    def fail(_: Invoice) -> bytes:
        raise DocumentsUnavailable("no pango")

    monkeypatch.setattr("billing.portal.invoices.invoice_pdf", fail)
    answer = anna.get(f"{INVOICES}{october.number}/pdf/")
    assert answer.status_code == 503
    assert "The PDF file cannot be made right now" in answer.content.decode()


@pytest.mark.parametrize(("status", "words"), [("paid", "Paid"), ("void", "Void: nothing to pay")])
def test_a_paid_or_void_invoice_says_so(anna: Client, october: Invoice, status: str, words: str) -> None:
    if status == "paid":
        paid = {"amount": october.amount_due, "received_on": NOW.date()}
        record_payment(october, **paid, by="clerk", now=NOW)
    else:
        void_invoice(october, reason="Wrong", by="clerk", now=NOW)
    text = text_of(anna, f"{INVOICES}{october.number}/")
    assert words in text
    assert "by 4 December 2026" not in text


def test_the_list_begins_with_the_latest(anna: Client, acme: Customer) -> None:
    issue_months(acme, 3)
    text = text_of(anna)
    assert (
        text.index("1–31 October 2026") < text.index("1–30 September 2026") < text.index("1–31 August 2026")
    )


def test_a_customer_without_invoices_is_told_when_the_first_comes(anna: Client) -> None:
    assert "No invoices yet" in text_of(anna)


def test_the_list_is_filtered_by_year_and_status(anna: Client, acme: Customer) -> None:
    issue_months(acme, 12)  # November 2025 to October 2026
    old = text_of(anna, year="2025")
    assert "1–30 November 2025" in old
    assert old.count('role="rowheader"') == 2
    assert "No invoice matches." in text_of(anna, status="issued")
    assert "1–31 October 2026" in text_of(anna, year="2026", status="paid")


def test_an_invoice_is_found_by_a_part_of_its_number(anna: Client, acme: Customer) -> None:
    issue_months(acme, 3)
    found = text_of(anna, number=" 000002 ")
    assert found.count('role="rowheader"') == 1
    assert "INV-2026-000002" in found
    assert "No invoice matches." in text_of(anna, number="%")


def test_what_is_to_pay_is_chosen_and_told_apart(anna: Client, october: Invoice) -> None:
    reader = anna

    def states(**query: str) -> list[str]:
        return re.findall(r'class="badge \w+">([^<]*)<', text_of(reader, **query))

    assert states(status="issued") == ["To pay"]
    assert states(status="overdue") == []
    issue_credit_note(october, amount=Decimal(10), reason="Goodwill", by="clerk", now=NOW)
    assert states() == ["To pay"], "nothing was paid, also not a part"
    record_payment(october, amount=Decimal(40), received_on=NOW.date(), by="clerk", now=NOW)
    assert states(status="issued") == ["Partly paid"]
    assert "$190.00" in text_of(anna)
    with time_machine.travel(datetime(2026, 12, 24, 12, 0, tzinfo=UTC), tick=False):
        reader = sign_in_again(october.customer)
        assert states(status="issued") == states(status="overdue") == ["Overdue"]
        assert "Overdue: it was due by 4 December 2026" in text_of(reader, f"{INVOICES}{october.number}/")


def test_the_list_is_a_file_of_what_was_chosen(anna: Client, october: Invoice) -> None:
    record_payment(october, amount=Decimal(40), received_on=NOW.date(), by="clerk", now=NOW)
    answer = anna.get(f"{INVOICES}csv/")
    assert answer["Content-Disposition"] == 'attachment; filename="invoices.csv"'
    assert answer.content.decode().splitlines() == [
        "number,first_day,last_day,issued_on,due_on,status,currency,total,to_pay",
        "INV-2026-000001,2026-10-01,2026-10-31,2026-11-20,2026-12-04,Partly paid,USD,240.00,200.00",
    ]
    assert len(anna.get(f"{INVOICES}csv/", {"status": "paid"}).content.decode().splitlines()) == 1
    assert anna.get(f"{INVOICES}csv/", {"status": "draft"}).status_code == 404


def test_an_invoice_is_compared_with_the_one_before_line_by_line(
    anna: Client, acme: Customer, plan: Plan
) -> None:
    subscription = Subscription.objects.get(customer=acme)
    Subscription.objects.filter(pk=subscription.pk).update(start_on=date(2026, 9, 1))
    send_tickets(100, first=5000, occurred_at="2026-09-03T10:00:00Z")
    close_period(Month(2026, 9), now=NOW, grace_days=0)
    send_tickets(120)
    give(acme, "10%")
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    september, october = Invoice.objects.order_by("period_start")
    assert "Compared with" not in text_of(anna, f"{INVOICES}{september.number}/"), "nothing came before"
    compared = compared_with_before(october, visible_invoices(acme))
    assert compared is not None
    # 100 tickets for $200.00 before, 120 for $240.00 less 10 % now.
    assert compared.sentence == "It is $16.00 more than the invoice before it."
    rows = [(row.name, row.before, row.now, row.used_before, row.used_now) for row in compared.rows]
    assert rows == [
        ("Tickets Resolved", 200, 240, "100 tickets", "120 tickets"),
        ("Discounts", 0, -24, "", ""),
    ]
    assert sum(row.difference for row in compared.rows) == compared.whole.difference == 16
    text = " ".join(text_of(anna, f"{INVOICES}{october.number}/").split())
    assert "+$40.00" in text
    assert "-$24.00" in text
    assert (
        f'That was <a href="{INVOICES}{september.number}/">{september.number}</a> for 1–30 September 2026.'
        in text
    )


def test_an_open_invoice_says_how_to_pay_it(
    anna: Client, acme: Customer, october: Invoice, settings: Any
) -> None:
    assert "How to pay" not in text_of(anna, f"{INVOICES}{october.number}/"), "the issuer gave no way then"
    settings.ISSUER = settings.ISSUER | {"payment": "IBAN DE00 1234"}
    october = create_one_off(acme, [Item("Set-up", Decimal(1), Decimal(240))], now=NOW)
    path = f"{INVOICES}{october.number}/"
    text = text_of(anna, path)
    assert "IBAN DE00 1234" in text
    assert f"Name the number {october.number} with your payment." in text
    record_payment(october, amount=Decimal(240), received_on=NOW.date(), by="clerk", now=NOW)
    assert "How to pay" not in text_of(anna, path)


def test_the_list_has_pages_that_keep_the_filter(anna: Client, acme: Customer) -> None:
    issue_months(acme, 21)
    first = text_of(anna, status="paid")
    assert "Page 1 of 2" in first
    assert "?status=paid&amp;page=2" in first
    second = text_of(anna, status="paid", page="2")
    assert second.count('role="rowheader"') == 1
    assert first.count('role="rowheader"') == 20


def test_the_list_asks_the_database_as_often_for_twenty_invoices_as_for_one(
    anna: Client, acme: Customer
) -> None:
    issue_months(acme, 1)
    with CaptureQueriesContext(connection) as one:
        text_of(anna)
    issue_months_before(acme)
    with CaptureQueriesContext(connection) as many:
        assert text_of(anna).count('role="rowheader"') == 20
    assert len(many) == len(one) <= 9


def issue_months_before(customer: Customer) -> None:
    """Bills nineteen months before October 2026, beside the one that is there."""
    Subscription.objects.filter(customer=customer).update(start_on=date(2025, 3, 1))
    for index in range(2025 * 12 + 2, 2025 * 12 + 2 + 19):
        close_period(Month(index // 12, index % 12 + 1), now=NOW, grace_days=0)


def test_an_invoice_asks_the_database_as_often_for_many_lines_as_for_one(
    acme: Customer, plan: Plan, anna: Client
) -> None:
    rates: list[dict[str, Any]] = []
    for n in range(12):
        make_meter(f"m{n}")
        rates.append({"kind": "usage", "meter": f"m{n}", "model": "per_unit", "unit_amount": "1"})
    subscribe(acme, plan=make_plan(*rates, code="wide"), start_on=date(2026, 10, 1))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    counts = set()
    for invoice in Invoice.objects.annotate(size=Count("lines")):
        with CaptureQueriesContext(connection) as queries:
            page = text_of(anna, f"{INVOICES}{invoice.number}/")
        assert page.count("See the events behind it") == invoice.size
        counts.add((invoice.size, len(queries)))
    # session, person, access with customer, invoice, lines, outcomes among them, logo, payments, credit notes,
    # disputes, the invoice before
    assert counts == {(1, 11), (12, 11)}


def test_dates_are_those_of_the_customers_zone(
    plan: Plan, sign_in: Callable[[Customer], Client], settings: Any
) -> None:
    kiwi = make_customer("kiwi", timezone="Pacific/Auckland")
    subscribe(kiwi, plan=plan, start_on=date(2026, 10, 1))
    send_tickets(1, customer="kiwi")
    close_period(Month(2026, 10), now=NOW, grace_days=0)  # noon UTC on the 20th is the 21st in Auckland
    invoice = Invoice.objects.get(customer=kiwi)
    text = text_of(sign_in(kiwi), f"{INVOICES}{invoice.number}/")
    assert "21 November 2026" in text
    assert "20 November 2026" not in text
    assert "by 5 December 2026" in text, "14 days after the day that is printed"
