"""Staff create a customer, assign a plan, see the usage, preview the invoice."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from billing.closing import close_period
from billing.collecting import record_payment
from billing.models import Invoice, MeterCoverage, Subscription, SubscriptionChange
from billing.months import Month
from customers.models import Customer, PortalAccess
from metering.models import EventBatch
from tests.factories import (
    NOW,
    event,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)
from tests.staff import messages_of, sign_in, text_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_story_time")]


@pytest.fixture
def _story_time() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def staff() -> Client:
    return sign_in()


def url(name: str, *arguments: object) -> str:
    return reverse(f"admin:customers_customer_{name}", args=arguments)


def details(**changes: str) -> dict[str, str]:
    fields = {"name": "Acme Outdoor", "code": "", "email": "", "timezone": "Europe/Berlin", "currency": "USD"}
    settled = {"tax_treatment": "standard", "locale": "en_US"}
    return fields | {"address": "", "tax_id": ""} | settled | changes


def test_a_customer_gets_its_code_from_its_name_and_leads_to_a_plan(staff: Client) -> None:
    answer = staff.post(url("add"), details(), follow=True)
    customer = Customer.objects.get()
    assert (customer.code, customer.timezone) == ("acme_outdoor", "Europe/Berlin")
    assert "assign a plan to Acme Outdoor" in messages_of(answer)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"currency": "XAU"}, "currency"),
        ({"email": "not an address"}, "email"),
        ({"code": "a b"}, "code"),
        ({"name": ""}, "name"),
    ],
)
def test_a_bad_customer_is_refused_at_the_field(staff: Client, changes: dict[str, str], field: str) -> None:
    answer = staff.post(url("add"), details(**changes))
    assert field in answer.context["adminform"].form.errors
    assert not Customer.objects.exists()


def test_assigning_shows_the_effect_first_and_writes_nothing_then(staff: Client) -> None:
    make_meter()
    plan, customer = make_plan(), make_customer(timezone="Europe/Berlin")
    fields = {"plan": plan.pk, "start_on": "2026-10-15", "end_on": "", "anchor": "calendar", "quantity": "1"}
    shown = staff.post(url("assign", customer.pk), fields)
    effect = shown.context["terms"]
    assert (effect.first_period, effect.partial) == ("15–31 October 2026", True)
    assert effect.invoice_on == date(2026, 11, 3)  # midnight of 1 November in Berlin and two grace days
    # Drawn up when the month is over, issued after the grace days; nobody is told that nothing stays "the same".
    assert "Drawn up from 1 Nov 2026" in text_of(shown)
    assert "With the usage so far, there is nothing to bill yet." in text_of(shown)
    assert not Subscription.objects.exists()
    assert not MeterCoverage.objects.exists()
    staff.post(url("assign", customer.pk), fields | {"_confirm": "1"})
    subscription = Subscription.objects.get()
    assert (subscription.start_on, subscription.end_on, subscription.timezone) == (
        date(2026, 10, 15),
        None,
        "Europe/Berlin",
    )


def test_plans_of_one_name_are_told_apart_by_the_code_that_the_name_does_not_give(staff: Client) -> None:
    make_meter()
    usual, other = make_plan(code="support_outcome_plan"), make_plan(code="support_2")
    page = text_of(staff.get(url("assign", make_customer().pk)))
    assert usual.name == other.name
    assert "Support Outcome Plan, version 1 (monthly, USD)" in page
    assert "Support Outcome Plan, version 1 (support_2, monthly, USD)" in page


def test_a_missing_name_is_said_once_and_not_as_a_missing_code(staff: Client) -> None:
    page = staff.post(reverse("admin:customers_customer_add"), {"name": "", "code": ""})
    errors = page.context["adminform"].form.errors
    assert "name" in errors
    assert "code" not in errors


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({}, "start_on", "it bills the same usage"),
        ({"start_on": "yesterday"}, "start_on", "valid date"),
        ({"start_on": "2027-01-01", "end_on": "2026-12-01"}, "end_on", "after the start"),
        ({"plan": "999"}, "plan", "valid choice"),
        ({"anchor": "moon"}, "anchor", "valid choice"),
        ({"quantity": "0"}, "quantity", "greater than or equal to 1"),
    ],
)
@pytest.mark.parametrize("step", [{}, {"_confirm": "1"}])
def test_a_bad_assignment_is_refused_at_the_field(
    staff: Client, changes: dict[str, str], field: str, words: str, step: dict[str, str]
) -> None:
    existing = make_subscription()
    fields = {
        "plan": str(existing.plan_id),
        "start_on": "2026-11-01",
        "end_on": "",
        "anchor": "calendar",
        "quantity": "1",
    }
    answer = staff.post(url("assign", existing.customer_id), fields | changes | step)
    assert words in str(answer.context["form"].errors[field])
    assert Subscription.objects.count() == 1


def test_only_active_plans_in_the_customers_currency_can_be_chosen(staff: Client) -> None:
    make_meter()
    make_plan(code="dollars")
    euros = make_plan(code="euros", currency="EUR")
    customer = make_customer(currency="EUR")
    form = staff.get(url("assign", customer.pk)).context["form"]
    assert list(form.fields["plan"].queryset) == [euros]


def test_a_plan_is_ended_before_a_day_and_not_before_what_is_invoiced(staff: Client) -> None:
    subscription = make_subscription()
    page = url("plan_change", subscription.customer_id, subscription.pk, "cancel")
    refused = staff.post(page, {"when": "date", "on": "2026-09-01", "_confirm": "1"})
    assert "after the start" in str(refused.context["form"].errors["on"])
    assert "Choose the day" in str(staff.post(page, {"when": "date"}).context["form"].errors["on"])
    shown = staff.post(page, {"when": "period_end", "reason": "moving"})
    assert shown.context["effect"]["on"] == date(2026, 12, 1)
    subscription.refresh_from_db()
    assert subscription.end_on is None
    staff.post(page, {"when": "period_end", "reason": "moving", "_confirm": "1"})
    subscription.refresh_from_db()
    assert subscription.end_on == date(2026, 12, 1)
    change = SubscriptionChange.objects.get()
    assert (change.kind, change.made_by, change.reason) == ("cancel", "root", "moving")
    undo = url("plan_undo", subscription.customer_id, subscription.pk, change.pk)
    assert staff.get(undo).context["problem"] == ""
    staff.post(undo, {"reason": "stays"})
    subscription.refresh_from_db()
    assert subscription.end_on is None
    page = text_of(staff.get(url("change", subscription.customer_id)))
    assert "taken back by root" in page
    assert "moving; stays" in page


def test_an_upgrade_is_shown_with_credit_and_charge_before_it_is_made(staff: Client) -> None:
    fee = {"kind": "subscription", "label": "Base", "timing": "at_start"}
    small = make_plan(fee | {"amount": "100.00"}, code="small", name="Small")
    large = make_plan(fee | {"amount": "300.00"}, code="large", name="Large")
    subscription = make_subscription(make_customer(), small, start_on=date(2026, 11, 1))
    close_period(Month(2026, 10), now=datetime(2026, 11, 1, tzinfo=UTC), grace_days=0)
    page = url("plan_change", subscription.customer_id, subscription.pk, "change")
    # 16 November: 15 of 30 days are left, so 50.00 come back and 150.00 are charged; December's fee is 200.00 more.
    asked = {"plan": large.pk, "when": "date", "on": "2026-11-16"}
    shown = text_of(staff.post(page, asked))
    assert "$300.00 more on the coming invoices" in shown
    assert "Base: 15 of 30 days not used" in shown
    assert "-$50.00" in shown
    assert "$150.00" in shown
    assert Subscription.objects.count() == 1
    staff.post(page, asked | {"_confirm": "1"})
    assert Subscription.objects.get(plan=large).start_on == date(2026, 11, 16)
    overview = text_of(staff.get(url("change", subscription.customer_id)))
    assert "Small goes on as Large" in overview
    assert "Coming invoices" in overview


def test_the_preview_is_240_dollars_for_120_tickets_and_writes_nothing(staff: Client) -> None:
    subscription = make_subscription()
    send_tickets(120)
    before = EventBatch.objects.filter(position=None).count()
    page = staff.get(url("preview", subscription.customer_id), {"period": "2026-10-01"})
    assert page.context["total"] == "$240.00"
    assert [line.plain for line in page.context["lines"]] == ["120 tickets × $2.00"]
    assert "Preview: nothing is written." in text_of(page)
    assert not Invoice.objects.exists()
    assert EventBatch.objects.filter(position=None).count() == before


def test_the_preview_begins_with_the_running_period_and_offers_the_past(staff: Client) -> None:
    subscription = make_subscription(start_on=date(2026, 9, 10))
    page = staff.get(url("preview", subscription.customer_id))
    assert [each["words"] for each in page.context["periods"]] == [
        "1–30 November 2026 (running)",
        "1–31 October 2026",
        "1–30 September 2026",
    ]
    assert page.context["days"] == "1–30 November 2026"
    september = staff.get(url("preview", subscription.customer_id), {"period": "2026-09-01"})
    assert september.context["days"] == "10–30 September 2026"


def test_a_yearly_plan_with_monthly_usage_is_previewed_by_month(staff: Client) -> None:
    make_meter()
    plan = make_plan(billing_period="yearly", usage_period="monthly")
    subscription = make_subscription(plan=plan, start_on=date(2026, 10, 1))
    page = staff.get(url("preview", subscription.customer_id))
    assert [each["words"] for each in page.context["periods"]] == [
        "1–30 November 2026 (running)",
        "1–31 October 2026",
    ]


def test_a_preview_that_cannot_be_priced_says_why(staff: Client) -> None:
    make_meter("tokens", dimensions=["model"])
    rows = [{"match": {"model": "a"}, "unit_amount": "1"}]
    by_model = {
        "kind": "usage",
        "meter": "tokens",
        "model": "per_unit",
        "dimensions": ["model"],
        "rows": rows,
    }
    plan = make_plan(by_model | {"unmatched": "listed"}, code="tokens")
    subscription = make_subscription(plan=plan)
    send(event("x", meter="tokens", dimensions={"model": "new"}, occurred_at="2026-11-02T00:00:00Z"))
    page = staff.get(url("preview", subscription.customer_id))
    assert "no row of the rate for tokens has a price for it" in page.context["refused"]
    assert staff.get(url("change", subscription.customer_id)).status_code == 200


def test_the_customers_page_shows_plans_usage_of_this_month_and_what_it_costs(staff: Client) -> None:
    subscription = make_subscription()
    send_tickets(5)
    send_tickets(3, first=5, occurred_at="2026-11-02T00:00:00Z")
    page = staff.get(url("change", subscription.customer_id))
    assert [(each["meter"].code, each["total"]) for each in page.context["usage"]] == [
        ("tickets_resolved", "3 tickets")
    ]
    assert [(each["state"], each["so_far"]) for each in page.context["subscriptions"]] == [
        ("running", "$6.00")
    ]


def test_code_zone_and_currency_stay_once_there_is_a_plan(staff: Client) -> None:
    customer = make_subscription().customer
    page = url("change", customer.pk)
    assert "Time zone and currency are fixed" in text_of(staff.get(page))
    staff.post(page, details(name="New Name", code="other", timezone="Asia/Tokyo", currency="EUR"))
    customer.refresh_from_db()
    assert (customer.name, customer.code, customer.timezone, customer.currency) == (
        "New Name",
        "acme",
        "UTC",
        "USD",
    )


def test_a_customer_is_archived_without_a_plan_only_and_comes_back(staff: Client) -> None:
    billed, other = make_subscription().customer, make_customer("other")
    staff.post(url("archive", billed.pk))
    staff.post(url("archive", other.pk))
    assert list(Customer.objects.exclude(archived_at=None)) == [other]
    listed = staff.get(url("changelist")).context["cl"].result_list
    assert [customer.code for customer in listed] == ["acme"]
    staff.post(url("archive", other.pk))
    assert not Customer.objects.exclude(archived_at=None).exists()
    assert staff.post(url("delete", other.pk), {"post": "yes"}).status_code == 403


def test_the_list_shows_plans_without_a_query_per_customer(
    staff: Client, django_assert_max_num_queries: Any
) -> None:
    first = make_subscription()
    for n in range(25):
        make_subscription(make_customer(f"c-{n}"), first.plan)
    with django_assert_max_num_queries(12):
        page = text_of(staff.get(url("changelist")))
    assert page.count("Support Outcome Plan") >= 26


def test_portal_access_is_given_shown_once_mailed_and_taken_back(staff: Client) -> None:
    customer = make_customer()
    page = url("portal", customer.pk)
    staff.post(page, {"email": "anna@acme.example"})
    access = PortalAccess.objects.get()
    again = staff.post(page, {"email": "anna@acme.example"})
    assert "already" in str(again.context["form"].errors["email"])
    shown = staff.post(url("portal_link", customer.pk, access.pk))
    assert "/portal/" in shown.context["link"]
    assert "no-store" in shown.headers["Cache-Control"]
    sent = staff.post(url("portal_mail", customer.pk, access.pk), follow=True)
    assert "on its way to anna@acme.example" in messages_of(sent)
    staff.post(url("portal_revoke", customer.pk, access.pk))
    access.refresh_from_db()
    assert access.revoked_at is not None
    assert staff.post(url("portal_link", customer.pk, access.pk)).status_code == 404
    assert PortalAccess.objects.count() == 1


def test_a_new_customer_counts_the_events_that_waited_for_it(staff: Client) -> None:
    make_meter()
    send_tickets(2, customer="acme_outdoor")
    answer = staff.post(url("add"), details(), follow=True)
    assert "2 events were waiting for this customer and count now." in messages_of(answer)


def test_times_are_the_customers_own(staff: Client) -> None:
    """At 12:00 UTC on 30 November it is December already in Kiritimati."""
    subscription = make_subscription(make_customer(timezone="Pacific/Kiritimati"))
    with time_machine.travel(datetime(2026, 11, 30, 12, tzinfo=UTC), tick=False):
        page = staff.get(url("preview", subscription.customer_id))
    assert page.context["days"] == "1–31 December 2026"


def test_the_list_says_what_each_customer_owes(staff: Client) -> None:
    make_subscription(make_customer("acme"))
    make_customer("globex")
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    record_payment(Invoice.objects.get(), amount=Decimal("1.50"), received_on=NOW.date(), by="clerk", now=NOW)
    page = staff.get(reverse("admin:customers_customer_changelist"))
    # three tickets at 2.00 less 1.50; nothing stands for nothing
    assert {row.code: row.owed for row in page.context["cl"].result_list} == {
        "acme": Decimal("4.50"),
        "globex": None,
    }
    assert "$4.50" in text_of(page)
