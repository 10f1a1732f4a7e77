"""Webhooks in the admin: a secret shown once, tests and tries on the page, what each group may do."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from billing.delivering import send_webhooks
from billing.models import WebhookDelivery, WebhookEndpoint, WebhookMessage
from billing.notifying import announce
from billing.registering import EndpointTerms, register_endpoint
from billing.webhook_types import WebhookType
from tests.billing.receiver import receiving
from tests.factories import NOW
from tests.staff import messages_of, sign_in, text_of

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.com/billing"
ADD = "admin:billing_webhookendpoint_add"


@pytest.fixture
def staff() -> Client:
    return sign_in("Billing admin")


def page(name: str, *arguments: Any) -> str:
    return reverse(f"admin:billing_{name}", args=arguments)


def test_a_secret_is_shown_once_also_a_new_one(staff: Client) -> None:
    made = staff.post(reverse(ADD), {"url": URL, "event_types": ["invoice.paid"], "active": "on"})
    endpoint = WebhookEndpoint.objects.get()
    assert made.context["secret"] in made.content.decode()
    assert "no-store" in made.headers["Cache-Control"]
    assert (endpoint.url, endpoint.event_types, endpoint.made_by) == (URL, ["invoice.paid"], "billing-admin")
    rotate = page("webhookendpoint_secret", endpoint.pk)
    assert "24 hours" in text_of(staff.get(rotate))
    renewed = staff.post(rotate)
    assert renewed.context["secret"] != made.context["secret"]
    shown = text_of(staff.get(page("webhookendpoint_change", endpoint.pk)))
    assert "whsec_" not in shown
    assert "Earlier secret signs until" in shown


def test_an_address_inside_is_refused_at_the_field(staff: Client, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE = False
    refused = staff.post(reverse(ADD), {"url": "https://127.0.0.1/", "active": "on"})
    assert refused.status_code == 400
    assert "inside a private network" in refused.context["form"].errors["url"][0]
    endpoint, _ = register_endpoint(EndpointTerms("https://8.8.8.8/"), by="anna", now=NOW)
    change = page("webhookendpoint_change", endpoint.pk)
    assert staff.post(change, {"url": "https://[::1]/", "active": "on"}).status_code == 400
    endpoint.refresh_from_db()
    assert endpoint.url == "https://8.8.8.8/"


def test_a_test_and_its_answer_are_on_the_pages_and_it_is_sent_again(staff: Client) -> None:
    with receiving() as receiver:
        receiver.status, receiver.answer = 500, b"<b>broken</b>"
        endpoint, _ = register_endpoint(EndpointTerms(receiver.url), by="anna", now=NOW)
        assert "on its way" in messages_of(staff.post(page("webhookendpoint_test", endpoint.pk), follow=True))
        send_webhooks()
        delivery = WebhookDelivery.objects.get()
        shown = text_of(staff.get(page("webhookdelivery_change", delivery.pk)))
        assert "&lt;b&gt;broken&lt;/b&gt;" in shown
        assert "webhook.test" in shown
        assert "Failing since" in text_of(staff.get(page("webhookendpoint_change", endpoint.pk)))
        receiver.status = 200
        staff.post(page("webhookdelivery_again", delivery.pk))
        assert send_webhooks() == 1
    assert len(set(receiver.ids)) == 1
    WebhookDelivery.objects.update(state="failed", delivered_at=None)
    assert "1 that were given up" in messages_of(
        staff.post(page("webhookendpoint_again", endpoint.pk), follow=True)
    )


def test_a_clerk_sends_again_and_a_reader_does_not(staff: Client) -> None:
    endpoint, _ = register_endpoint(EndpointTerms(URL), by="anna", now=NOW)
    clerk, reader = sign_in("Billing clerk"), sign_in("Read only")
    for target in (page("webhookendpoint_test", endpoint.pk), page("webhookendpoint_again", endpoint.pk)):
        assert reader.post(target).status_code == 403
        assert clerk.post(target).status_code == 302
        assert clerk.get(target).status_code == 404
    again = page("webhookdelivery_again", WebhookDelivery.objects.get().pk)
    assert (reader.post(again).status_code, clerk.post(again).status_code) == (403, 302)
    assert clerk.post(page("webhookendpoint_change", endpoint.pk), {"url": URL}).status_code == 403
    assert "Send a test" not in text_of(reader.get(page("webhookendpoint_change", endpoint.pk)))


def test_an_endpoint_is_changed_and_removed_after_a_question(staff: Client) -> None:
    endpoint, _ = register_endpoint(EndpointTerms(URL), by="anna", now=NOW)
    staff.post(page("webhookendpoint_change", endpoint.pk), {"url": URL, "description": "Ledger"})
    endpoint.refresh_from_db()
    assert (endpoint.description, endpoint.active) == ("Ledger", False)
    remove = page("webhookendpoint_remove", endpoint.pk)
    assert "cannot be undone" in text_of(staff.get(remove))
    staff.post(remove)
    endpoint.refresh_from_db()
    assert endpoint.state == ("removed", "Removed")
    assert list(staff.get(page("webhookendpoint_changelist")).context["cl"].result_list) == []
    kept = staff.get(page("webhookendpoint_changelist") + "?removed=yes").context["cl"].result_list
    assert list(kept) == [endpoint]
    assert staff.get(page("webhookendpoint_change", endpoint.pk)).context["form"] is None


def test_the_log_is_searched_and_costs_the_same_however_long_it_is(
    staff: Client, django_assert_max_num_queries: Any
) -> None:
    register_endpoint(EndpointTerms(URL), by="anna", now=NOW)
    for n in range(30):
        announce(WebhookType.INVOICE_ISSUED, f"INV-{n:02}", {}, now=NOW)
    assert WebhookMessage.objects.count() == 30
    with django_assert_max_num_queries(20):
        found = staff.get(page("webhookdelivery_changelist") + "?q=INV-07")
    assert [row.message.subject for row in found.context["cl"].result_list] == ["INV-07"]
    with django_assert_max_num_queries(20):
        assert len(staff.get(page("webhookdelivery_changelist")).context["cl"].result_list) == 30


def test_the_menu_counts_what_was_switched_off_and_nothing_for_who_may_not_look(staff: Client) -> None:
    def badge(client: Client) -> Any:
        menu = client.get(reverse("admin:index")).context["sidebar_navigation"]
        return next(
            item.get("badge")
            for group in menu
            for item in group["items"]
            if item["title"] == "Webhook endpoints"
        )

    for n in range(3):
        register_endpoint(EndpointTerms(f"{URL}/{n}"), by="anna", now=NOW)
    assert not badge(staff)
    off = WebhookEndpoint.objects.order_by("id")[:2]
    WebhookEndpoint.objects.filter(pk__in=[each.pk for each in off]).update(
        active=False, switched_off_at=NOW, switched_off_reason="It failed."
    )
    assert badge(staff) == 2
    nobody = Client()
    nobody.force_login(User.objects.create_user("guest", is_staff=True))
    assert not badge(nobody)
