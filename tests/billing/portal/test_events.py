"""The events behind a line: exactly those that were counted, page by page and as CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.closing import close_period
from billing.models import Invoice
from billing.months import Month
from billing.subscribing import subscribe
from customers.models import Customer
from customers.spreadsheets import csv_cell
from metering import catalog
from metering.models import Meter
from tests.factories import NOW, event, make_customer, make_meter, make_plan, send, send_tickets


def path_of(invoice: Invoice, n: int = 1) -> str:
    return f"/portal/invoices/{invoice.number}/lines/{n}/events/"


def page_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return str(answer.content.decode())


def rows_of(client: Client, invoice: Invoice, n: int = 1) -> list[dict[str, str]]:
    answer: Any = client.get(path_of(invoice, n) + "csv/")
    assert answer.status_code == 200
    assert answer.streaming
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(text.splitlines()))


def keys_on(page: str) -> list[str]:
    return re.findall(r'class="key"><a [^>]*><bdi>(.*?)</bdi>', page)


def link(page: str, rel: str) -> str:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
    return found.group(1).replace("&amp;", "&") if found else ""


def test_pages_hold_every_event_once_forwards_and_backwards(anna: Client, october: Invoice) -> None:
    path = path_of(october)
    forwards: list[str] = []
    pages = []
    query = ""
    while True:
        page = page_of(anna, path + query)
        pages.append(keys_on(page))
        forwards += pages[-1]
        if not (query := link(page, "next")):
            break
    assert [len(each) for each in pages] == [50, 50, 20]
    assert sorted(forwards) == sorted(f"evt-{n}" for n in range(120))
    back = page_of(anna, path + link(page, "prev"))
    assert keys_on(back) == pages[1]
    assert keys_on(page_of(anna, path + link(back, "prev"))) == pages[0]
    assert link(page_of(anna, path + link(back, "prev")), "prev") == ""


def test_the_file_adds_up_to_the_line(anna: Client, october: Invoice) -> None:
    rows = rows_of(anna, october)
    assert len(rows) == 120
    assert sum(Decimal(row["value"]) for row in rows) == october.lines.get().quantity
    assert rows[0] == {
        "time": "2026-10-03T12:00:00+02:00",
        "key": rows[0]["key"],
        "subject": "ticket-4711",
        "value": "1",
    }


def test_times_are_those_of_the_customers_zone(anna: Client, acme: Customer) -> None:
    # The first and last instants of October in Berlin, which leaves summer time on the 25th.
    send(
        event("first", occurred_at="2026-09-30T22:00:00Z"),
        event("last", occurred_at="2026-10-31T22:59:59.999999Z"),
        event("next", occurred_at="2026-10-31T23:00:00Z"),
    )
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    invoice = Invoice.objects.get()
    page = page_of(anna, path_of(invoice))
    assert keys_on(page) == ["first", "last"]
    assert "1 Oct 2026, 00:00:00" in page
    assert "31 Oct 2026, 23:59:59" in page
    assert [row["time"] for row in rows_of(anna, invoice)] == [
        "2026-10-01T00:00:00+02:00",
        "2026-10-31T23:59:59.999999+01:00",
    ]


def test_what_came_after_the_invoice_is_not_behind_it(anna: Client, october: Invoice) -> None:
    send_tickets(5, first=5000)
    assert len(rows_of(anna, october)) == 120
    assert october.lines.get().quantity == 120


def test_a_line_without_events_says_so(anna: Client, acme: Customer) -> None:
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    invoice = Invoice.objects.get()
    assert "No event was counted in this period." in page_of(anna, path_of(invoice))
    assert rows_of(anna, invoice) == []


def test_a_fee_has_no_events(anna: Client, plan: Any, sign_in: Callable[[Customer], Client]) -> None:
    fee = {"kind": "subscription", "label": "Platform fee", "amount": "49.00", "timing": "in_arrears"}
    customer = make_customer("fees")
    subscribe(customer, plan=make_plan(fee, code="fees", name="Fees"), start_on=date(2026, 10, 1))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    invoice = Invoice.objects.get(customer=customer)
    client = sign_in(customer)
    assert client.get(path_of(invoice)).status_code == 404
    page = page_of(client, f"/portal/invoices/{invoice.number}/")
    assert "Platform fee" in page
    assert "events" not in page


def test_only_dimensions_that_have_a_price_are_shown(
    plan: Any, sign_in: Callable[[Customer], Client]
) -> None:
    make_meter("tokens", label="Tokens", unit="token", type="sum", dimensions=["model", "team"])
    rate = {
        "kind": "usage",
        "meter": "tokens",
        "model": "per_unit",
        "dimensions": ["model"],
        "rows": [{"match": {"model": "a"}, "unit_amount": "0.01"}, {"match": {}, "unit_amount": "0.02"}],
    }
    customer = make_customer("priced")
    subscribe(customer, plan=make_plan(rate, code="tokens", name="Tokens"), start_on=date(2026, 10, 1))
    dimensions = {"model": "=cmd", "team": "internal"}
    send(event("t1", meter="tokens", customer="priced", value="10", dimensions=dimensions))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    invoice = Invoice.objects.get(customer=customer)
    client = sign_in(customer)
    (row,) = rows_of(client, invoice)
    assert row == {
        "time": "2026-10-03T10:00:00+00:00",
        "key": "t1",
        "subject": "",
        "model": "'=cmd",
        "value": "10",
    }
    page = page_of(client, path_of(invoice))
    assert "=cmd" in page
    assert "internal" not in page


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_text_a_spreadsheet_would_run_is_made_harmless(start: str) -> None:
    assert csv_cell(f"{start}1+1") == f"'{start}1+1"


def test_other_texts_stay_as_they_are() -> None:
    assert csv_cell("ticket-4711") == "ticket-4711"
    assert csv_cell("") == ""


def test_hostile_subjects_and_keys_are_neutral_in_file_and_page(anna: Client, acme: Customer) -> None:
    send(event("=HYPERLINK(0)", subject="+1<script>alert(1)</script>"))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    invoice = Invoice.objects.get()
    (row,) = rows_of(anna, invoice)
    assert (row["key"], row["subject"]) == ("'=HYPERLINK(0)", "'+1<script>alert(1)</script>")
    assert "<script>" not in page_of(anna, path_of(invoice))


def test_a_negative_value_is_a_number_and_stays_one(anna: Client, acme: Customer) -> None:
    Meter.objects.update(allow_negative=True)
    catalog.forget()
    send(event("up", value="5"), event("down", value="-2"))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    assert sorted(row["value"] for row in rows_of(anna, Invoice.objects.get())) == ["-2", "5"]


def test_a_page_asks_the_database_as_often_for_fifty_events_as_for_one(
    anna: Client, october: Invoice, globex: Customer, sign_in: Callable[[Customer], Client]
) -> None:
    send_tickets(1, first=500, customer="globex")
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    small = Invoice.objects.get(customer=globex)
    counts = set()
    for client, invoice, rows in ((anna, october, 50), (sign_in(globex), small, 1)):
        with CaptureQueriesContext(connection) as queries:
            assert len(keys_on(page_of(client, path_of(invoice)))) == rows
        counts.add(len(queries))
    assert counts == {8}  # session, person, access with customer, invoice, line, meter, events, logo
