"""Acme with an invoice for October, somebody signed in to its portal, and a second customer beside it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing.closing import close_period
from billing.models import Invoice, Plan
from billing.months import Month
from billing.subscribing import subscribe
from customers.models import Customer, PortalAccess
from customers.portal_access import create_portal_access, portal_link
from tests.factories import NOW, make_customer, make_meter, make_plan, send_tickets

BASE = "http://testserver"
MID_NOVEMBER = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_november() -> Any:
    with time_machine.travel(MID_NOVEMBER, tick=False):
        yield


@pytest.fixture
def plan(db: None) -> Plan:
    make_meter()
    return make_plan()


@pytest.fixture
def acme(plan: Plan) -> Customer:
    customer = make_customer("acme", name="Acme Robotics", timezone="Europe/Berlin")
    subscribe(customer, plan=plan, start_on=date(2026, 10, 1))
    return customer


@pytest.fixture
def globex(plan: Plan) -> Customer:
    customer = make_customer("globex", name="Globex Secret GmbH", email="boss@globex.example")
    subscribe(customer, plan=plan, start_on=date(2026, 10, 1))
    return customer


@pytest.fixture
def october(acme: Customer) -> Invoice:
    """Acme's issued invoice over 120 tickets."""
    send_tickets(120, subject="ticket-4711")
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    return Invoice.objects.get(customer=acme)


@pytest.fixture
def sign_in() -> Callable[[Customer], Client]:
    def sign_in(customer: Customer) -> Client:
        access = create_portal_access(customer, f"reader@{customer.code}.example")
        client = Client()
        answer = client.post(portal_link(access, BASE).removeprefix(BASE))
        assert answer.status_code == 302
        return client

    return sign_in


def sign_in_again(customer: Customer) -> Client:
    """Whoever may open a customer's portal signs in once more, as after a month."""
    access = PortalAccess.objects.select_related("user").get(customer=customer)
    client = Client()
    assert client.post(portal_link(access, BASE).removeprefix(BASE)).status_code == 302
    return client


@pytest.fixture
def anna(acme: Customer, sign_in: Callable[[Customer], Client]) -> Client:
    """A browser signed in to Acme's portal."""
    return sign_in(acme)
