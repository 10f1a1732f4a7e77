"""Who sees what of a consolidated invoice: the parent the whole, a child its own part, nobody else anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing.documents import invoice_html
from billing.models import Invoice
from customers.models import Customer
from customers.portal_access import create_portal_access, portal_link
from tests.factories import make_customer
from tests.stories.test_families import CLOSED, close, consolidated, family, tickets  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db
BASE = "http://testserver"
WHOLE = "INV-2026-000001"
BERLIN, TOKYO = f"{WHOLE}-2", f"{WHOLE}-3"


@pytest.fixture(autouse=True)
def _in_november() -> Iterator[None]:
    with time_machine.travel(CLOSED, tick=False):
        yield


@pytest.fixture
def enter() -> Callable[[Customer], Client]:
    def enter(customer: Customer) -> Client:
        access = create_portal_access(customer, f"reader@{customer.code}.example")
        client = Client()
        assert client.post(portal_link(access, BASE).removeprefix(BASE)).status_code == 302
        return client

    return enter


def read(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


def test_the_parent_sees_the_whole_with_subtotals_and_the_events_of_its_children(
    family: tuple[Customer, ...],  # noqa: F811
    enter: Callable[[Customer], Client],
) -> None:
    close()
    parent = enter(family[0])
    page = read(parent, f"/portal/invoices/{WHOLE}/")
    for said in ("Globex", "Berlin", "Tokyo", "Subtotal", "$20.00", "$30.00", "$116.62", "-$2.00"):
        assert said in page
    assert "Compared with the invoice before" not in page
    events = read(parent, f"/portal/invoices/{WHOLE}/lines/2/events/")
    assert "berlin-t-0" in events
    assert "tokyo-t-0" not in events
    listed = read(parent, "/portal/invoices/")
    assert WHOLE in listed
    assert f"{WHOLE}-" not in listed


def test_a_child_sees_its_part_before_tax_and_nothing_of_its_siblings(
    family: tuple[Customer, ...],  # noqa: F811
    enter: Callable[[Customer], Client],
) -> None:
    close()
    child = enter(family[1])
    page = read(child, f"/portal/invoices/{BERLIN}/")
    for said in ("Tickets Resolved", "$18.00", "Total before tax", "Before tax, paid by Globex"):
        assert said in page
    for secret in ("Tokyo", "116.62", "18.62", "$50.00", "Amount due"):
        assert secret not in page
    assert "berlin-t-0" in read(child, f"/portal/invoices/{BERLIN}/lines/2/events/")
    for path in (
        f"/portal/invoices/{WHOLE}/",
        f"/portal/invoices/{WHOLE}/lines/2/events/",
        f"/portal/invoices/{WHOLE}/lines/3/events/",
        f"/portal/invoices/{TOKYO}/",
        f"/portal/invoices/{BERLIN}/lines/3/events/",
        f"/portal/invoices/{WHOLE}-1/",
    ):
        assert child.get(path).status_code == 404, path


def test_a_child_owes_nothing_and_reads_nothing_of_the_whole_on_its_other_pages(
    family: tuple[Customer, ...],  # noqa: F811
    enter: Callable[[Customer], Client],
) -> None:
    close()
    child = enter(family[1])
    for path in (
        "/portal/",
        "/portal/invoices/",
        "/portal/credits/",
        "/portal/statement/",
        "/portal/account/",
    ):
        page = read(child, path)
        assert "116.62" not in page, path
        assert "Tokyo" not in page, path


def test_a_stranger_and_a_child_that_pays_itself_see_nothing(
    family: tuple[Customer, ...],  # noqa: F811
    enter: Callable[[Customer], Client],
) -> None:
    close()
    own = make_customer("own", name="Paris", parent=family[0])
    for customer in (make_customer("stranger"), own):
        client = enter(customer)
        for number in (WHOLE, BERLIN, TOKYO):
            assert client.get(f"/portal/invoices/{number}/").status_code == 404
    assert "Paris" not in read(enter(family[0]), "/portal/")


def test_the_parent_sees_what_its_children_use_in_the_running_period(
    family: tuple[Customer, ...],  # noqa: F811
    enter: Callable[[Customer], Client],
    django_assert_max_num_queries: Any,
) -> None:
    close()
    with time_machine.travel("2026-11-05T12:00:00Z", tick=False):
        tickets("berlin", 7, at="2026-11-03T10:00:00Z", name="november")
        parent = enter(family[0])
        page = read(parent, "/portal/")
        assert "Customers you pay for, so far" in page
        assert "7 tickets" in page
        assert "$12.60" in page  # 14.00 less Berlin's 10 %
        # $12.60 with the minimum of $30.00 of Tokyo and the fee of $50.00 of Globex itself
        text = re.sub(r"<[^>]*>", "", " ".join(page.split()))
        assert "drawn up from 1 December 2026 on: $92.60 so far, before tax." in text
        assert "Globex pays for it" in read(enter(family[1]), "/portal/")


def test_the_document_says_who_pays(family: tuple[Customer, ...]) -> None:  # noqa: F811
    close()
    whole = invoice_html(consolidated())
    assert whole.index("Globex") < whole.index("Berlin") < whole.index("Tokyo")
    assert "Subtotal Berlin" in " ".join(re.sub(r"<[^>]*>|[\u2068\u2069]", "", whole).split())
    part = invoice_html(Invoice.objects.get(number=BERLIN))
    assert "Your part of an invoice" in part
    assert "Tokyo" not in part
    assert "Please pay" not in part
