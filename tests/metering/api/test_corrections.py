"""Correcting events over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from customers.models import Customer
from metering.measuring import measure
from metering.models import EventCorrection, Meter
from metering.spans import Span
from tests.factories import event, make_customer, make_meter, send, send_tickets
from tests.integrator import Integrator

pytestmark = pytest.mark.django_db


@pytest.fixture
def meter() -> Meter:
    make_customer()
    return make_meter()


def count(meter: Meter) -> Decimal:
    october = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    return measure(meter, [Span(0, Customer.objects.get(code="acme").pk, *october)])[0].quantity


def test_an_event_is_voided_over_http_and_read_with_its_history(integrator: Integrator, meter: Meter) -> None:
    send(event("path/evt 1"))
    status, answer = integrator.post("events/path/evt%201/void/", {"reason": "test ticket"})
    assert status == 200
    assert (answer["key"], answer["status"], answer["reason"]) == ("path/evt 1", "voided", "test ticket")
    assert answer["by"].startswith("API key integration")
    status, again = integrator.post("events/path/evt%201/void", {"reason": "test ticket"})
    assert (status, again["error"]["code"]) == (409, "event_voided")
    read = integrator.get("events/path/evt%201/")[1]
    assert (read["status"], [entry["what"] for entry in read["history"]]) == (
        "voided",
        ["received", "voided"],
    )
    assert count(meter) == 0


def test_an_event_is_amended_over_http(integrator: Integrator, meter: Meter) -> None:
    send_tickets(1)
    status, answer = integrator.post("events/evt-0/amend/", {"reason": "two in one", "value": 2})
    assert (status, answer["status"]) == (200, "amended")
    assert answer["replacement"] == {"key": "evt-0#2", "status": "accepted"}
    assert integrator.get("events/evt-0%232/")[1]["value"] == "2"
    assert count(meter) == 2


@pytest.mark.parametrize(
    ("route", "body", "status", "code"),
    [
        ("void", {}, 400, "invalid"),
        ("void", {"reason": 5}, 400, "invalid"),
        ("void", {"reason": "r", "value": "1"}, 400, "invalid"),
        ("void", ["r"], 400, "invalid"),
        ("amend", {"reason": "r", "key": "x"}, 400, "invalid"),
        ("amend", {"reason": "r"}, 400, "nothing_changed"),
        ("amend", {"reason": "r", "value": "ten"}, 400, "invalid_value"),
        ("amend", {"reason": "r", "value": {"a": 1}}, 400, "invalid_value"),
        ("amend", {"reason": "r", "customer": 5}, 400, "invalid_customer"),
    ],
)
def test_a_bad_correction_over_http_is_a_clear_4xx(
    integrator: Integrator, meter: Meter, route: str, body: Any, status: int, code: str
) -> None:
    send_tickets(1)
    answered, answer = integrator.post(f"events/evt-0/{route}/", body)
    assert (answered, answer["error"]["code"]) == (status, code)
    assert not EventCorrection.objects.exists()


def test_a_key_corrects_events_of_its_own_source_only(integrator: Integrator, meter: Meter) -> None:
    send(event("evt-0"), source="other")
    assert integrator.post("events/evt-0/void/", {"reason": "r"})[0] == 404
    assert integrator.get("events/evt-0/")[0] == 404
    assert integrator.get("events/%00/")[0] in (400, 404)
    assert Integrator("read").post("events/evt-0/void/", {"reason": "r"})[0] == 403


def test_an_event_of_another_source_is_named_by_its_source(integrator: Integrator, meter: Meter) -> None:
    send(event("evt-0"))  # the same key from two sources is two events
    sent = {
        "specversion": "1.0",
        "id": "evt-0",
        "source": "/helpdesk",
        "type": "tickets_resolved",
        "subject": "acme",
        "time": "2026-10-03T10:00:00Z",
    }
    ingest = Integrator("ingest")
    assert ingest.send("events/", json.dumps(sent), "application/cloudevents+json")[0] == 200
    assert count(meter) == 2
    assert integrator.get("events/evt-0/", source="/helpdesk")[1]["source"] == "/helpdesk"
    status, answer = ingest.post("events/evt-0/void/?source=/helpdesk", {"reason": "test ticket"})
    assert (status, answer["status"]) == (200, "voided")
    assert integrator.get("events/evt-0/")[1]["status"] == "accepted"
    assert count(meter) == 1
    status, answer = integrator.post("events/evt-0/amend/?source=/desk", {"reason": "r", "value": "2"})
    assert (status, "?source=" in answer["error"]["message"]) == (404, True)
    assert integrator.get("events/evt-0/", sauce="x")[0] == 400


def test_a_key_that_only_ingests_corrects_nothing_of_another_keys_source(meter: Meter, fresh: None) -> None:
    Integrator("ingest", source="crm")
    send(event("evt-0"), source="crm")
    status, answer = Integrator("ingest").post("events/evt-0/void/?source=crm", {"reason": "r"})
    assert status == 403
    assert "“crm” is the source of another API key" in answer["error"]["message"]
    assert count(meter) == 1
    assert Integrator("manage").post("events/evt-0/void/?source=crm", {"reason": "r"})[0] == 200
