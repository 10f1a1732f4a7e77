"""Webhook endpoints over HTTP: the secret once, refusals at the field, tests, deliveries with their answers."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import pytest
from standardwebhooks import Webhook

from billing.delivering import send_webhooks
from billing.models import WebhookDelivery, WebhookEndpoint
from tests.billing.receiver import receiving
from tests.integrator import Integrator

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.com/billing"


@pytest.fixture
def integrator(fresh: None) -> Integrator:
    return Integrator("manage")


def signed_by_hand(secret: str, headers: Any, body: str | bytes) -> str:
    """As docs/webhooks.md says it, for receivers without a library."""
    text = body.encode() if isinstance(body, str) else body
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + text
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def test_a_secret_is_answered_once_and_verifies_what_is_sent(integrator: Integrator) -> None:
    with receiving() as receiver:
        status, endpoint = integrator.post(
            "webhook-endpoints/", {"url": receiver.url, "event_types": ["invoice.paid"]}
        )
        assert status == 201
        assert endpoint["secret"].startswith("whsec_")
        _, read = integrator.get(f"webhook-endpoints/{endpoint['id']}/")
        assert "secret" not in read
        assert {**read, "secret": endpoint["secret"]} == endpoint
        _, rotated = integrator.post(f"webhook-endpoints/{endpoint['id']}/rotate-secret/", {})
        _, sent = integrator.post(f"webhook-endpoints/{endpoint['id']}/test/", {})
        assert send_webhooks() == 1
    headers, body = receiver.requests[0]
    assert headers["webhook-id"] == sent["id"]
    for secret in (endpoint["secret"], rotated["secret"]):
        assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"
        assert f"v1,{signed_by_hand(secret, headers, body)}" in headers["webhook-signature"].split(" ")
    _, found = integrator.get("webhook-deliveries/", state="delivered", type="webhook.test")
    (row,) = found["results"]
    _, delivery = integrator.get(f"webhook-deliveries/{row['id']}/")
    assert (delivery["webhook_id"], delivery["body"]["type"]) == (sent["id"], "webhook.test")
    assert [(each["status"], each["answer"]) for each in delivery["tries"]] == [(200, "thanks")]
    _, again = integrator.post(f"webhook-deliveries/{row['id']}/resend/", {})
    assert (again["state"], again["attempts"]) == ("waiting", 0)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "https://169.254.169.254/latest/meta-data/"}, "url"),
        ({"url": "x" * 2000}, "url"),
        ({}, "url"),
        ({"url": URL, "event_types": ["invoice.isued"]}, "event_types.0"),
        ({"url": URL, "event_types": "all"}, "event_types"),
        ({"url": URL, "contact": "ops"}, "contact"),
        ({"url": URL, "secret": "mine"}, "secret"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(
    integrator: Integrator, settings: Any, body: dict[str, Any], wrong: str
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE = False
    status, answer = integrator.post("webhook-endpoints/", body)
    assert status == 400, answer
    assert wrong in answer["error"]["fields"]
    assert not WebhookEndpoint.objects.exists()


def test_an_endpoint_is_changed_and_removed_and_its_deliveries_stay(integrator: Integrator) -> None:
    _, made = integrator.post("webhook-endpoints/", {"url": URL, "event_types": ["invoice.paid"]})
    page = f"webhook-endpoints/{made['id']}/"
    _, changed = integrator.patch(page, {"active": False, "description": "Ledger"})
    assert (changed["active"], changed["description"], changed["event_types"]) == (
        False,
        "Ledger",
        ["invoice.paid"],
    )
    integrator.post(f"{page}test/", {})
    assert integrator.delete(page) == 204
    assert integrator.get(page)[0] == 404
    assert integrator.get("webhook-endpoints/")[1]["results"] == []
    delivery = WebhookDelivery.objects.get()
    assert delivery.state == "failed"
    status, refused = integrator.post(f"webhook-deliveries/{delivery.pk}/resend/", {})
    assert (status, refused["error"]["code"]) == (409, "not_in_this_state")


def test_a_key_that_reads_may_not_add_and_one_that_ingests_sees_nothing(fresh: None) -> None:
    assert Integrator("read").post("webhook-endpoints/", {"url": URL})[0] == 403
    assert Integrator("ingest").get("webhook-deliveries/")[0] == 403
