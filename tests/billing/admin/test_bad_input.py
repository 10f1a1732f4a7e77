"""Whatever a person or a program sends to the admin, it answers with a page that says so, never with a failure."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.agreed_changes import Author
from billing.changing import pause
from billing.closing import close_period
from billing.models import Invoice, Plan, Subscription, SubscriptionChange, UsageLimit
from billing.months import Month
from billing.pricing import create_version
from customers.models import ApiKey, Customer
from metering.models import Event, Meter
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.staff import sign_in

pytestmark = pytest.mark.django_db

ODD = ("\x00", "9" * 20, "9999-12-31", "0001-01-01", "NaN", "é" * 600, "'\"<b>")
LISTS = {
    "metering_event_changelist": ("q", "meter", "received", "p", "o"),
    "metering_meter_changelist": ("q", "status__exact", "type__exact", "o"),
    "metering_eventconflict_changelist": ("q", "source", "p"),
    "metering_workload_changelist": ("q", "p"),
    "billing_invoice_changelist": ("q", "month", "state", "status__exact", "currency", "o"),
    "billing_invoice_export": ("q", "month", "status__exact"),
    "billing_invoice_close": ("month",),
    "billing_plan_changelist": ("q", "status", "billing_period"),
    "customers_customer_changelist": ("q", "state", "currency"),
    "customers_apikey_changelist": ("q", "revoked__exact"),
    "auth_user_changelist": ("q", "groups__id__exact"),
}


@pytest.fixture
def staff() -> Client:
    return sign_in()


def answer(response: Any) -> int:
    if response.streaming:
        b"".join(response.streaming_content)
    return int(response.status_code)


@pytest.mark.parametrize("page", LISTS)
def test_odd_queries_of_a_list_are_answered(staff: Client, page: str) -> None:
    make_subscription()
    for name in LISTS[page]:
        for value in ODD:
            assert answer(staff.get(reverse(f"admin:{page}"), {name: value}, follow=True)) < 500, (
                name,
                value,
            )


@pytest.mark.parametrize("value", ODD)
def test_odd_values_in_forms_are_answered_and_write_nothing(staff: Client, value: str) -> None:
    subscription = make_subscription()
    draft = create_version(subscription.plan)
    rate = draft.rates.get()
    other = make_customer("other")
    rate_names = ("meter", "model", "unit_amount", "per", "included_units", "minimum_amount", "label")
    forms: dict[str, tuple[str, ...]] = {
        reverse("admin:metering_meter_add"): (
            "label",
            "code",
            "type",
            "dimensions",
            "percentile",
            "filters",
            "factor",
        ),
        reverse("admin:billing_plan_add"): ("name", "code", "currency", "billing_period"),
        reverse("admin:billing_plan_rate", args=[draft.pk, rate.pk]): rate_names,
        reverse("admin:customers_customer_add"): ("name", "code", "timezone", "currency", "email"),
        reverse("admin:customers_customer_assign", args=[other.pk]): (
            "plan",
            "start_on",
            "end_on",
            "anchor",
            "quantity",
            "trial_days",
        ),
        **{
            reverse(
                "admin:customers_customer_plan_change",
                args=[subscription.customer_id, subscription.pk, action],
            ): ("plan", "quantity", "when", "on", "until", "reason")
            for action in ("change", "quantity", "pause", "resume", "cancel", "reactivate")
        },
        reverse("admin:customers_customer_portal", args=[other.pk]): ("email",),
        reverse("admin:customers_apikey_add"): ("name", "scopes", "source"),
        reverse("admin:billing_invoice_close"): ("month", "sure"),
    }
    good = {
        "plan": str(subscription.plan_id), "start_on": "2026-10-01", "anchor": "calendar",
        "quantity": "1", "_confirm": "1",
        "meter": str(rate.meter_id), "model": "per_unit", "unit_amount": "1", "kind": "usage",
        "tier_up_to": value, "tier_unit_amount": value, "tier_percent": value, "tier_flat_amount": value,
    }  # fmt: skip
    for address, names in forms.items():
        for name in names:
            assert answer(staff.post(address, good | {name: value})) < 500, (address, name)
        assert answer(staff.post(address, dict.fromkeys(names, value))) < 500, address
    assert not ApiKey.objects.exists()
    assert not Invoice.objects.exists()
    assert Plan.objects.count() == 2


@pytest.mark.parametrize("value", ODD)
def test_odd_previews_are_answered(staff: Client, value: str) -> None:
    subscription = make_subscription()
    preview = reverse("admin:customers_customer_preview", args=[subscription.customer_id])
    price = reverse("admin:billing_plan_price", args=[subscription.plan_id])
    for query in ({"period": value}, {"subscription": value}):
        assert answer(staff.get(preview, query)) == 200
    for query in (
        {"rate": value, "quantity": "1"},
        {"rate": str(subscription.plan.rates.get().pk), "quantity": value},
    ):
        assert answer(staff.get(price, query)) == 200


@pytest.mark.django_db(transaction=True)
def test_addresses_of_what_does_not_exist_are_not_found(staff: Client) -> None:
    make_subscription()
    send_tickets(1)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    invoice = Invoice.objects.get()
    for name, arguments in {
        "billing_plan_activate": (10**9,), "billing_plan_rate": (1, 10**9), "customers_customer_assign": (10**9,),
        "customers_customer_plan": (Customer.objects.get().pk, 10**9), "billing_invoice_events": (invoice.pk, 10**9),
        "billing_invoice_pdf": (10**9,), "customers_apikey_revoke": ("none",), "customers_apikey_change": ("none",),
    }.items():  # fmt: skip
        assert staff.get(reverse(f"admin:{name}", args=arguments)).status_code == 404, name
    events = reverse("admin:billing_invoice_events", args=[invoice.pk, 1])
    for page in ("0", "-1", "many", "10**910**910**9"):
        assert staff.get(events, {"page": page}).status_code == 200
    for address in (f"/admin/metering/event/{'z' * 40}/change/", "/admin/metering/meter/x/change/"):
        assert staff.get(address).status_code == 302
    assert Event.objects.count() == Subscription.objects.count() == Meter.objects.count() == 1


@pytest.mark.parametrize("value", ["\x00", "abc", "😀", "1e400", "9" * 30])
def test_what_is_no_row_is_refused_at_a_field_with_a_search(staff: Client, value: str) -> None:
    pages = {
        "customers_customer_add": {"name": "x", "timezone": "UTC", "currency": "USD", "parent": value},
        "billing_usagelimit_add": {"customer": value, "meter": value, "quantity": "1", "kind": "soft"},
        "billing_budget_add": {"name": "x", "workload": value, "customer": value, "measure": "cost"},
    }  # fmt: skip
    for name, data in pages.items():
        answer = staff.post(reverse(f"admin:{name}"), data)
        assert answer.status_code == 200, name
        errors = answer.context["adminform"].form.errors if "adminform" in answer.context else {"form": 1}
        assert errors, name
    assert not Customer.objects.exists()


def test_an_emptied_limit_is_refused_and_still_shown(staff: Client) -> None:
    customer, meter = make_subscription().customer, Meter.objects.get()
    limit = UsageLimit.objects.create(customer=customer, meter=meter, quantity=10)
    page = staff.post(
        reverse("admin:billing_usagelimit_change", args=[limit.pk]), {"quantity": "", "kind": "soft"}
    )
    assert page.status_code == 200
    assert page.context["adminform"].form.errors
    limit.refresh_from_db()
    assert limit.quantity == 10


@pytest.mark.parametrize("field", ["name", "quantity", "expected_amount", "usage_meter", "usage_quantity"])
def test_an_example_with_an_impossible_letter_is_refused(staff: Client, field: str) -> None:
    draft = create_version(make_subscription().plan)
    sent = {"name": "Busy", "quantity": "1", "expected_amount": "4", "usage_meter": "tickets_resolved"}
    sent |= {"usage_quantity": "2", field: "\x00"}
    page = staff.post(reverse("admin:billing_plan_example_add", args=[draft.pk]), sent)
    assert page.status_code == 200
    assert page.context["form"].errors
    assert not draft.examples.exists()


def test_an_impossible_reason_is_refused_before_anything_is_done(staff: Client) -> None:
    subscription = make_subscription()
    change = pause(subscription, when=date(2027, 1, 1), author=Author(NOW, "anna"))
    undo = reverse(
        "admin:customers_customer_plan_undo", args=[subscription.customer_id, subscription.pk, change.pk]
    )
    page = staff.post(undo, {"reason": "\x00"})
    assert page.context["problem"].startswith("Reason: ")
    draft = create_version(subscription.plan)
    activate = reverse("admin:billing_plan_activate", args=[draft.pk])
    told = staff.post(activate, {"accept": ["\x00", "price_below_cost"], "reason": "\x00"}, follow=True)
    assert "Reason: Null characters are not allowed." in told.content.decode()
    draft.refresh_from_db()
    assert draft.status == "draft"
    assert not SubscriptionChange.objects.filter(undoes=change).exists()
