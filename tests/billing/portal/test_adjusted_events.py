"""The events that caused an adjustment, in portal, admin and API, each with its history."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.closing import close_period
from billing.line_events import events_of_line
from billing.models import Invoice, InvoiceLine
from billing.months import Month
from customers.models import Customer
from metering.correcting import amend_event, void_event
from metering.histories import event_histories
from metering.models import Event
from tests import staff
from tests.factories import BOUNDS, NOW, event, send, send_tickets
from tests.integrator import Integrator

DECEMBER = datetime(2026, 12, 5, tzinfo=UTC)


@pytest.fixture
def adjustment(october: Invoice) -> InvoiceLine:
    """After October's invoice 2 events came late, 1 was voided, 1 amended from 1 to 3, 1 came and went: + 3 tickets."""
    send_tickets(2, first=120)
    send(event("brief"), event("other", occurred_at="2026-11-03T10:00:00Z"))
    void_event(Event.objects.get(key="evt-7"), reason="double", by="clerk", now=NOW)
    void_event(Event.objects.get(key="brief"), reason="test", by="clerk", now=NOW)
    amend_event(
        Event.objects.get(key="evt-8"), {"value": "3"}, reason="three", by="clerk", now=NOW, bounds=BOUNDS
    )
    close_period(Month(2026, 11), now=DECEMBER, grace_days=0)
    send_tickets(1, first=200)  # later still: not of this adjustment
    return InvoiceLine.objects.get(kind="adjustment")


CAUSES = {"evt-120": False, "evt-121": False, "evt-7": True, "evt-8": True, "evt-8#2": False}


def test_an_adjustment_leads_to_exactly_the_events_that_caused_it(adjustment: InvoiceLine) -> None:
    found: Any = events_of_line(adjustment)
    assert {each.key: each.taken_back for each in found} == CAUSES
    assert adjustment.quantity == sum(
        -each.counted_value if each.taken_back else each.counted_value for each in found
    )
    usage = InvoiceLine.objects.get(invoice=adjustment.invoice, kind="usage")
    assert [each.key for each in events_of_line(usage)] == ["other"]


def test_a_second_adjustment_begins_where_the_first_ended(adjustment: InvoiceLine) -> None:
    close_period(Month(2026, 12), now=DECEMBER.replace(year=2027, month=1), grace_days=0)
    second = InvoiceLine.objects.get(kind="adjustment", adjustment_n=2)
    assert [each.key for each in events_of_line(second)] == ["evt-200"]


def test_the_portal_shows_them_and_what_happened_to_each(adjustment: InvoiceLine, anna: Client) -> None:
    invoice = adjustment.invoice
    assert (
        f"/lines/{adjustment.n}/events/" in anna.get(f"/portal/invoices/{invoice.number}/").content.decode()
    )
    path = f"/portal/invoices/{invoice.number}/lines/{adjustment.n}/events/"
    page = anna.get(path).content.decode()
    assert set(re.findall(r'class="key"><a [^>]*><bdi>(.*?)</bdi>', page)) == set(CAUSES)
    assert page.count("taken back") == 2
    answer: Any = anna.get(path + "csv/")
    rows = list(csv.DictReader(b"".join(answer.streaming_content).decode("utf-8-sig").splitlines()))
    assert {row["key"]: row["change"] == "taken back" for row in rows} == CAUSES
    amended = Event.objects.get(key="evt-8")
    story = anna.get(f"{path}{amended.pk}/").content.decode()
    assert re.findall(r'data-label="What">(.*?)<', story) == ["Received", "Received", "Amended"]
    assert "three" not in story  # the reason is between staff
    assert anna.get(f"{path}{Event.objects.get(key='evt-200').pk}/").status_code == 404


def chained(answer: Any) -> dict[str, list[tuple[str, str]]]:
    body = json.loads(b"".join(answer.streaming_content))
    return {
        each["key"]: [(entry["what"], entry["key"]) for entry in each["history"]] for each in body["events"]
    }


HISTORIES = {
    "evt-120": [("received", "evt-120")],
    "evt-121": [("received", "evt-121")],
    "evt-7": [("received", "evt-7"), ("voided", "evt-7")],
    "evt-8": [("received", "evt-8"), ("received", "evt-8#2"), ("amended", "evt-8")],
    "evt-8#2": [("received", "evt-8"), ("received", "evt-8#2"), ("amended", "evt-8")],
}


def test_portal_and_admin_give_them_as_json_with_the_whole_history_of_each(
    adjustment: InvoiceLine, anna: Client
) -> None:
    portal: Any = anna.get(f"/portal/invoices/{adjustment.invoice.number}/lines/{adjustment.n}/events/json/")
    text = b"".join(portal.streaming_content).decode()
    assert {each["key"]: each["change"] == "taken_back" for each in json.loads(text)["events"]} == CAUSES
    assert json.loads(text)["amount"] == "6.0000"
    assert "clerk" not in text  # who did it and why is between staff
    assert "three" not in text
    url = reverse("admin:billing_invoice_events_json", args=[adjustment.invoice_id, adjustment.n])
    assert chained(staff.sign_in().get(url)) == HISTORIES
    usage = reverse("admin:billing_invoice_events_json", args=[adjustment.invoice_id, 1])
    assert list(chained(staff.sign_in("Read only").get(usage))) == ["other"]


def test_histories_of_many_events_ask_no_query_for_each(
    adjustment: InvoiceLine, django_assert_num_queries: Any
) -> None:
    events = list(events_of_line(adjustment))
    with django_assert_num_queries(3):  # corrections, events, refused conflicts
        found = event_histories(events)
    assert {event.key: [(e.what, e.key) for e in found[event.pk]] for event in events} == HISTORIES


def test_another_customer_sees_none_of_it(
    adjustment: InvoiceLine, globex: Customer, sign_in: Callable[[Customer], Client]
) -> None:
    other = sign_in(globex)
    path = f"/portal/invoices/{adjustment.invoice.number}/lines/{adjustment.n}/events/"
    for end in ("", "csv/", "json/", f"{Event.objects.get(key='evt-7').pk}/"):
        assert other.get(path + end).status_code == 404


def test_an_event_that_was_moved_from_another_customer_tells_nothing_of_it(
    october: Invoice, globex: Customer, anna: Client
) -> None:
    send(event("secret-name", customer="globex"))
    amend_event(
        Event.objects.get(key="secret-name"),
        {"customer": "acme"}, reason="wrong customer", by="clerk", now=NOW, bounds=BOUNDS,
    )  # fmt: skip
    close_period(Month(2026, 11), now=DECEMBER, grace_days=0)
    line = InvoiceLine.objects.get(kind="adjustment", invoice__customer__code="acme")
    moved = Event.objects.get(key="secret-name#2")
    page = anna.get(f"/portal/invoices/{line.invoice.number}/lines/{line.n}/events/{moved.pk}/")
    assert re.findall(r'data-label="Event"[^>]*><bdi>(.*?)<', page.content.decode()) == ["secret-name#2"]


def test_the_api_gives_them_as_pages_and_as_a_table(adjustment: InvoiceLine) -> None:
    reader = Integrator("read")
    route = f"invoices/{adjustment.invoice.number}/lines/{adjustment.n}/events/"
    status, answer = reader.get(route, page_size=2)
    assert (status, answer["count"], len(answer["results"])) == (200, 5, 2)
    events = reader.get(route)[1]["results"]
    assert {each["key"]: each["change"] == "taken_back" for each in events} == CAUSES
    amended = next(each for each in events if each["key"] == "evt-8#2")
    history = reader.get(amended["history"].removeprefix("/api/v1/").partition("?")[0], source="api")[1]
    assert [(each["what"], each["key"]) for each in history["history"]] == [
        ("received", "evt-8"), ("received", "evt-8#2"), ("amended", "evt-8"),
    ]  # fmt: skip
    table: Any = reader.client.get(f"/api/v1/{route}", {"format": "csv"})
    rows = list(csv.DictReader(b"".join(table.streaming_content).decode().splitlines()))
    assert {row["key"]: row["change"] == "taken_back" for row in rows} == CAUSES
    assert reader.get(route, format="xml")[0] == 400
    usage = f"invoices/{adjustment.invoice.number}/lines/1/events/"
    assert [each["change"] for each in reader.get(usage)[1]["results"]] == ["counted"]


def test_the_admin_shows_them(adjustment: InvoiceLine) -> None:
    clerk = staff.sign_in()
    page = clerk.get(reverse("admin:billing_invoice_events", args=[adjustment.invoice_id, adjustment.n]))
    text = staff.text_of(page)
    assert all(f">{key}</a>" in text for key in CAUSES)
    assert text.count("<td>taken back</td>") == 2
