"""What stands around every page of the admin: the way back, names of windows, words that mean one thing."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.closing import close_period
from billing.models import Invoice
from billing.months import Month
from customers.models import ApiKey, Customer
from metering.models import Event
from tests.factories import NOW, event, make_customer, make_meter, make_subscription, send
from tests.forms import form_of
from tests.staff import sign_in, text_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def staff() -> Client:
    return sign_in("Billing clerk")


def way(page: Any) -> list[str]:
    """The parts of the way to a page, as its head shows them."""
    head = re.search(
        r'<(?:h1|nav aria-label="Where this page is") class="overflow.*?</(?:h1|nav)>', text_of(page)
    )
    assert head is not None
    parts = re.findall(r"tracking-tight\"> ?(.*?) ?</(?:a|span)>", head[0])
    return [part.strip() for part in parts]


def test_the_way_names_the_list_and_the_row_but_no_application(staff: Client) -> None:
    customer = make_customer("acme", name="iPay Ltd")
    assert way(staff.get(reverse("admin:customers_customer_changelist"))) == ["Customers"]
    # a page of its own names the customer that it is about, with its name as it is written
    statement = staff.get(reverse("admin:customers_customer_statement", args=[customer.pk]))
    assert way(statement) == ["Customers", "iPay Ltd"]
    send(event("evt-lower"))
    page = staff.get(reverse("admin:metering_event_change", args=[Event.objects.get().pk]))
    assert way(page) == ["Events", "evt-lower"]


def test_a_window_is_named_after_its_list(staff: Client) -> None:
    assert "<title> Credit notes | Reckoner</title>" in text_of(
        staff.get(reverse("admin:billing_creditnote_changelist"))
    )


def test_what_cannot_be_changed_leads_back_to_its_list_and_never_says_close(staff: Client) -> None:
    make_subscription()
    send(event("evt-1"))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    page = text_of(staff.get(reverse("admin:billing_invoice_change", args=[Invoice.objects.get().pk])))
    assert re.search(r'href="/admin/billing/invoice/">Back to the list</a>', page)
    assert not re.search(r">\s*Close\s*</a>", page)


def test_a_page_has_one_heading_of_the_first_level(staff: Client) -> None:
    customer = make_customer()
    make_meter()
    for address in (
        reverse("admin:index"),
        reverse("admin:metering_meter_changelist"),
        reverse("admin:metering_meter_add"),
        reverse("admin:customers_customer_change", args=[customer.pk]),
        reverse("admin:customers_customer_portal", args=[customer.pk]),
    ):
        assert text_of(staff.get(address)).count("<h1") == 1, address


def test_one_more_is_offered_in_words_by_the_list_and_not_by_a_row(staff: Client) -> None:
    customer = make_customer()
    listed = text_of(staff.get(reverse("admin:customers_customer_changelist")))
    assert re.search(r'class="addlink[^>]*>.{0,120}Add customer</span>', listed)
    assert "addlink" not in text_of(staff.get(reverse("admin:customers_customer_change", args=[customer.pk])))
    assert "addlink" not in text_of(staff.get(reverse("admin:customers_customer_add")))


def test_times_are_written_alike_everywhere() -> None:
    key = ApiKey(name="Platform", scopes=["read"])
    ApiKey.objects.assign_key(key)
    key.save()
    ApiKey.objects.update(created=datetime(2026, 11, 3, 15, 4, tzinfo=UTC))
    page = sign_in("Billing admin").get(reverse("admin:customers_apikey_changelist"))
    assert "3 Nov 2026, 15:04" in text_of(page)


def test_a_form_is_not_saved_over_what_changed_while_it_was_open(staff: Client) -> None:
    customer = make_customer("acme", name="Acme", address="Old Street 1")
    address = reverse("admin:customers_customer_change", args=[customer.pk])
    first, second = (form_of(staff.get(address), "customer_form") for _ in range(2))
    saved = staff.post(address, first | {"name": ["Acme Ltd"]})
    assert saved.status_code == 302
    stale = staff.post(address, second | {"email": ["ap@acme.example"]})
    assert "billing-clerk changed this at" in text_of(stale)
    customer.refresh_from_db()
    assert (customer.name, customer.email) == ("Acme Ltd", "")
    # an ordinary refusal keeps the form stale; what was refused as stale may be saved, now that it was said
    wrong = staff.post(address, second | {"email": ["nobody"]})
    assert form_of(wrong, "customer_form")["_seen"] != second["_seen"]
    again = form_of(stale, "customer_form")
    assert again["email"] == ["ap@acme.example"]
    assert staff.post(address, again).status_code == 302
    customer.refresh_from_db()
    assert (customer.name, customer.email) == ("Acme", "ap@acme.example")


def test_a_refused_form_still_knows_what_it_showed(staff: Client) -> None:
    customer = make_customer("acme", name="Acme")
    address = reverse("admin:customers_customer_change", args=[customer.pk])
    shown = form_of(staff.get(address), "customer_form")
    refused = form_of(staff.post(address, shown | {"email": ["nobody"]}), "customer_form")
    Customer.objects.get().save()  # by somebody else, between the two
    assert "Somebody changed this at" in text_of(
        staff.post(address, refused | {"email": ["ap@acme.example"]})
    )
