"""Disputes over HTTP: opened on behalf of a customer and decided by the rules of the portal and the admin."""

from __future__ import annotations

from typing import Any

import pytest

from billing.closing import close_period
from billing.disputing import open_dispute
from billing.models import CreditNote, Dispute, Invoice, WebhookMessage
from billing.months import Month
from billing.registering import EndpointTerms, register_endpoint
from metering.models import Event
from tests.factories import NOW, event, make_meter, make_subscription, send
from tests.integrator import Integrator
from tests.stories.test_disputes import ASKED, ISSUED, billed

pytestmark = pytest.mark.django_db
ROUTE = "disputes/"
OPEN = {
    "invoice": "INV-2026-000001",
    "line": 1,
    "outcomes": ["evt-1", "evt-2"],
    "reason": "They came back.",
    "on_behalf_of": "anna@acme.example",
}


def outcomes(integrator: Integrator, state: str) -> list[dict[str, Any]]:
    _, found = integrator.get("outcomes/", state=state)
    return list(found["results"])


def test_a_dispute_is_opened_read_decided_once_and_reopened(integrator: Integrator) -> None:
    register_endpoint(EndpointTerms("https://hooks.example.com/1"), by="tests", now=NOW)
    billed()
    status, body = integrator.post(ROUTE, OPEN)
    assert status == 201, body
    assert (body["state"], body["opened_by"], body["invoice"]) == (
        "open",
        "anna@acme.example",
        OPEN["invoice"],
    )
    assert sorted(each["key"] for each in body["outcomes"]) == ["evt-1", "evt-2"]
    status, refused = integrator.post(ROUTE, OPEN)
    assert (status, refused["error"]["code"]) == (409, "dispute_refused")
    path = f"{ROUTE}{body['id']}/"
    assert [each["state"] for each in outcomes(integrator, "disputed")] == ["disputed", "disputed"]
    decision = {"accepted": ["evt-1"], "answer": "One did.", "remedy": "credit_note"}
    _, decided = integrator.post(f"{path}decide/", decision)
    step = decided["history"][-1]
    assert (step["accepted"], step["declined"], step["amount"]) == (1, 1, "-2.00")
    assert step["credit_note"] == CreditNote.objects.get().number
    assert integrator.post(f"{path}decide/", decision)[0] == 409
    _, refused = integrator.post(f"{path}decide/", decision | {"accepted": ["evt-1", "nobody"]})
    assert list(refused["error"]["fields"]) == ["accepted"]
    (credited,) = outcomes(integrator, "credited")
    assert (credited["key"], credited["invoice"]) == ("evt-1", OPEN["invoice"])
    assert integrator.post(f"{path}reopen/", {"reason": "Look again."})[1]["state"] == "open"
    assert integrator.get(ROUTE, state="open", customer="acme")[1]["results"][0]["id"] == body["id"]
    assert integrator.get(path)[1]["history"][-1]["text"] == "Look again."
    told = WebhookMessage.objects.filter(type__contains="dispute").order_by("made_at", "type")
    assert [each.type for each in told] == ["dispute.decided", "dispute.reopened", "outcome.disputed"]
    _, withdrawn = integrator.post(f"{path}withdraw/", {"reason": "It was right after all."})
    assert (withdrawn["state"], sorted(each["state"] for each in withdrawn["outcomes"])) == (
        "decided",  # one of them was accepted
        ["accepted", "withdrawn"],
    )
    assert withdrawn["at_stake"] == "-2.00"
    assert integrator.post(f"{path}withdraw/", {"reason": "Again."})[0] == 409
    assert WebhookMessage.objects.filter(type="dispute.withdrawn").count() == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"line": 9}, "line"),
        ({"invoice": "INV-1"}, "line"),
        ({"outcomes": ["nobody"]}, "outcomes"),
        ({"outcomes": []}, "outcomes"),
        ({"reason": ""}, "reason"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_opened(
    integrator: Integrator, change: dict[str, object], named: str
) -> None:
    billed()
    status, refused = integrator.post(ROUTE, OPEN | change)
    assert status == 400
    assert named in refused["error"]["fields"]
    assert not Dispute.objects.exists()


def test_a_key_of_two_sources_names_neither_and_nothing_is_opened_or_decided(integrator: Integrator) -> None:
    """Two tickets of one key, of two sources: one would be disputed, or declined, in silence."""
    make_meter(once_per_subject="ever")
    make_subscription()
    send(event("evt-1", subject="ticket-1"), event("evt-2", subject="ticket-2"))
    send(event("evt-1", subject="ticket-9"), source="crm")
    close_period(Month(2026, 10), now=ISSUED, grace_days=0)
    for keys in (["evt-1"], ["evt-1", "evt-2"]):
        status, refused = integrator.post(ROUTE, OPEN | {"outcomes": keys})
        assert (status, list(refused["error"]["fields"])) == (400, ["outcomes"])
    line = Invoice.objects.get().lines.get()
    found = open_dispute(line, [each.pk for each in Event.objects.all()], reason="x", by="anna", now=ASKED)
    decision = {"accepted": ["evt-1"], "answer": "One did.", "remedy": "adjustment"}
    status, refused = integrator.post(f"{ROUTE}{found.pk}/decide/", decision)
    assert (status, list(refused["error"]["fields"])) == (400, ["accepted"])
    assert "Decide this dispute in the admin." in refused["error"]["fields"]["accepted"][0]
    assert Dispute.objects.get().state == "open"
    assert integrator.post(f"{ROUTE}{found.pk}/decide/", decision | {"accepted": ["evt-2"]})[0] == 200


def test_a_key_that_only_reads_looks_and_opens_nothing(fresh: None) -> None:
    billed()
    reader = Integrator("read")
    assert reader.post(ROUTE, OPEN)[0] == 403
    assert reader.get(ROUTE)[1]["results"] == []
