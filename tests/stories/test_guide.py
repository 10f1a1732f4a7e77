"""The guide, from set-up to PDF, over real HTTP: $2.00 for each support ticket resolved."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import call_command

from metering.periods import month_period
from tests.factories import NOW
from tests.stories.http import Client

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api(live_server: Any) -> Client:
    out = StringIO()
    scopes = ("--scope", "ingest", "--scope", "manage")
    call_command("create_api_key", "--name", "Story", *scopes, stdout=out, stderr=StringIO())
    with time_machine.travel(NOW, tick=True):
        yield Client(live_server.url, out.getvalue().strip())


def set_up(api: Client, *customers: str, timezone: str = "UTC") -> None:
    """Create the meter, the plan and the customers, and assign the plan from 1 October 2026."""
    meter = {"code": "tickets_resolved", "label": "Tickets Resolved", "type": "count"}
    assert api.post("meters/", meter).status == 201
    plan = {
        "code": "support_outcome",
        "name": "Support Outcome Plan",
        "currency": "USD",
        "billing_period": "monthly",
        "rates": [{"kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "2.00"}],
    }
    assert api.post("plans/", plan).status == 201
    assert api.post("plans/support_outcome/activate/", {}).status == 200
    for code in customers:
        customer = {"code": code, "name": code.title(), "timezone": timezone}
        assert api.post("customers/", customer).status == 201
        subscription = {"customer": code, "plan": "support_outcome", "start_on": "2026-10-01"}
        assert api.post("subscriptions/", subscription).status == 201


def ticket(customer: str, n: int, occurred_at: str = "2026-10-03T10:00:00Z") -> dict[str, str]:
    return {
        "key": f"{customer}-{n}",
        "meter": "tickets_resolved",
        "customer": customer,
        "value": "1",
        "occurred_at": occurred_at,
        "subject": f"ticket-{n}",
    }


def close(month: str = "2026-10") -> str:
    out = StringIO()
    call_command("close_invoices", "--month", month, "--issue-now", stdout=out, stderr=StringIO())
    return out.getvalue()


def invoice_of(api: Client, customer: str, month: str = "2026-10") -> Any:
    found = api.get(f"invoices/?customer={customer}&period={month}").json["results"]
    assert len(found) == 1
    return api.get(f"invoices/{found[0]['number']}/").json


def test_the_guides_numbers(api: Client) -> None:
    counts = {"fifty": 50, "many": 120, "none": 0, "one": 1}
    set_up(api, *counts)
    for customer, count in counts.items():
        if count:
            answer = api.post("events/", [ticket(customer, n) for n in range(count)])
            assert (answer.status, answer.json["accepted"]) == (200, count)
    # The same 120 again are answered as success and counted once.
    again = api.post("events/", [ticket("many", n) for n in range(120)]).json
    assert (again["accepted"], again["duplicates"]) == (0, 120)

    usage = api.get(
        "usage/?meter=tickets_resolved&customer=fifty&from=2026-10-01T00:00:00Z&to=2026-11-01T00:00:00Z"
    ).json
    assert [group["total"] for group in usage["groups"]] == ["50"]
    preview = api.post("invoices/preview/", {"customer": "many", "period": "2026-10"}).json
    assert preview["total"] == "240.00"

    assert "4 invoices issued" in close()
    totals = {customer: invoice_of(api, customer)["total"] for customer in counts}
    assert totals == {"fifty": "100.00", "many": "240.00", "none": "0.00", "one": "2.00"}
    assert "0 invoices issued" in close()

    invoice = invoice_of(api, "many")
    line = invoice["lines"][0]
    assert (line["quantity"], line["unit_amount"], line["amount"]) == ("120", "2.00", "240.00")
    assert (invoice["period_start"], invoice["period_end"]) == ("2026-10-01", "2026-11-01")
    assert line["working"] == preview["lines"][0]["working"]
    events = api.get(f"invoices/{invoice['number']}/lines/1/events/").json
    assert events["results"][0]["subject"].startswith("ticket-")
    pdf = api.get(f"invoices/{invoice['number']}/pdf/")
    assert (pdf.status, pdf.content_type, pdf.content[:5]) == (200, "application/pdf", b"%PDF-")


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
def test_midnight_of_the_first_is_the_next_months_in_the_customers_zone(api: Client, zone: str) -> None:
    set_up(api, "acme", timezone=zone)
    midnight = month_period(2026, 10, zone).end
    before = midnight - timedelta(microseconds=1)
    sent = [ticket("acme", 1, before.isoformat()), ticket("acme", 2, midnight.isoformat())]
    assert api.post("events/", sent).json["accepted"] == 2
    close()
    assert invoice_of(api, "acme")["lines"][0]["quantity"] == "1"
    with time_machine.travel("2026-12-05T12:00:00Z", tick=True):
        close("2026-11")
        assert invoice_of(api, "acme", "2026-11")["total"] == "2.00"


def test_events_sent_before_meter_and_customer_exist_are_billed(api: Client) -> None:
    early = api.post("events/", [ticket("acme", n) for n in range(3)]).json
    assert (early["accepted"], early["unmatched"]) == (0, 3)
    set_up(api, "acme")
    close()
    assert invoice_of(api, "acme")["total"] == "6.00"
