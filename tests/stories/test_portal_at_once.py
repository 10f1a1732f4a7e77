"""What a customer sends several times at once, as a double click does, is done once on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing.closing import close_period
from billing.line_events import billed_outcomes
from billing.models import Dispute, InvoiceLine, UsageLimit, WebhookEndpoint, WebhookMessage
from billing.months import Month
from billing.subscribing import subscribe
from customers.models import Customer
from customers.portal_access import create_portal_access, portal_link
from tests.at_once import at_once
from tests.factories import NOW, event, make_customer, make_meter, make_plan, send

pytestmark = pytest.mark.django_db(transaction=True)
TIMES = 6
DISPUTE = "/portal/invoices/INV-2026-000001/lines/1/dispute/"
LIMIT = {"meter": "tickets_resolved", "most": "500", "unit": "money", "kind": "hard", "remind_at": ["80"]}


@pytest.fixture(autouse=True)
def _in_november() -> Any:
    with time_machine.travel(datetime(2026, 11, 20, 12, 0, tzinfo=UTC), tick=False):
        yield


@pytest.fixture
def acme() -> Customer:
    """Four billed tickets in October."""
    make_meter(once_per_subject="ever")
    acme = make_customer("acme")
    subscribe(acme, plan=make_plan(), start_on=date(2026, 10, 1))
    send(*(event(f"evt-{n}", subject=f"ticket-{n}") for n in range(4)))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    return acme


@pytest.fixture
def browsers(acme: Customer) -> list[Client]:
    """One sign-in, in several windows."""
    access = create_portal_access(acme, "anna@acme.example")
    clients = [Client() for _ in range(TIMES)]
    link = portal_link(access, "http://testserver").removeprefix("http://testserver")
    assert clients[0].post(link).status_code == 302
    for client in clients[1:]:
        client.cookies = clients[0].cookies
    return clients


def post_at_once(browsers: list[Client], path: str, sent: dict[str, Any]) -> list[Any]:
    answers: list[Any] = []
    tasks: list[Callable[[], object]] = [
        partial(lambda client: answers.append(client.post(path, sent)), client) for client in browsers
    ]
    at_once(*tasks)
    return answers


def test_a_dispute_and_its_withdrawal_sent_at_once_are_done_and_told_once(browsers: list[Client]) -> None:
    WebhookEndpoint.objects.create(url="https://receiver.example/hooks", made_at=NOW)
    billed = billed_outcomes(InvoiceLine.objects.get())[:2]
    answers = post_at_once(
        browsers, DISPUTE, {"outcome": [str(each.pk) for each in billed], "send": "1", "reason": "Back."}
    )
    dispute = Dispute.objects.get()
    page = f"/portal/disputes/{dispute.pk}/"
    assert [answer.headers.get("Location") for answer in answers] == [page] * TIMES
    answers = post_at_once(browsers, f"{page}withdraw/", {"reason": "It was right."})
    assert [answer.headers.get("Location") for answer in answers] == [page] * TIMES
    assert [step.kind for step in dispute.steps.all()] == ["opened", "withdrawn"]
    told = WebhookMessage.objects.order_by("type").values_list("type", flat=True)
    assert list(told) == ["dispute.withdrawn", "outcome.disputed"]


def test_a_limit_sent_at_once_is_set_once_and_taken_away_once(browsers: list[Client]) -> None:
    page = "/portal/limits/"
    answers = post_at_once(browsers, page, LIMIT)
    assert [answer.status_code for answer in answers] == [302] * TIMES
    answers = post_at_once(browsers, page, LIMIT | {"remove": "1"})
    assert [answer.status_code for answer in answers] == [302] * TIMES
    assert [each.history_type for each in UsageLimit.history.all()] == ["-", "+"]
