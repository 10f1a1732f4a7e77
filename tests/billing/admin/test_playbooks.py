"""A playbook makes meters, a draft plan, its price and a guarding example in one step, after showing the bill."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from billing.models import Plan
from billing.playbooks import PLAYBOOKS, as_fields, proposed
from billing.previewing import preview_invoice
from billing.pricing import activate_plan
from billing.subscribing import subscribe
from metering.models import Meter
from metering.periods import month_period
from tests.factories import NOW, make_customer, make_meter, make_plan, send
from tests.staff import sign_in, text_of

pytestmark = pytest.mark.django_db
# What each example comes to: 120 x 2.00; 40 x 9.99; (12 - 2) x 60.00; 49.00 + (5,000 - 1,000) x 0.10
BILLS = {
    "support-tickets": "$240.00",
    "qualified-leads": "$399.60",
    "meetings-booked": "$600.00",
    "documents-processed": "$449.00",
}
ATTEMPTS = {
    "support-tickets": "tickets_opened",
    "qualified-leads": "conversations_begun",
    "meetings-booked": "meetings_proposed",
    "documents-processed": "documents_received",
}


def filled(slug: str, **changes: str) -> dict[str, Any]:
    book = next(each for each in PLAYBOOKS if each.slug == slug)
    fields = {name: "" if value is None else value for name, value in as_fields(proposed(book)).items()}
    return {**fields, "with_work": "on", "with_attempts": "on", **changes}


def url(slug: str) -> str:
    return reverse("admin:billing_plan_playbook", args=[slug])


@pytest.mark.parametrize(("slug", "bill"), BILLS.items())
def test_each_playbook_shows_its_bill_writes_nothing_and_then_makes_what_it_showed(
    slug: str, bill: str
) -> None:
    clerk = sign_in("Billing clerk")
    assert bill in text_of(clerk.get(reverse("admin:billing_plan_playbooks")))
    assert bill in text_of(clerk.get(url(slug)))
    assert bill in text_of(clerk.post(url(slug), filled(slug) | {"_preview": "1"}))
    assert not Meter.objects.exists()
    assert not Plan.objects.exists()

    made = clerk.post(url(slug), filled(slug) | {"_create": "1"}, follow=True)
    plan = Plan.objects.get()
    assert made.redirect_chain[-1][0] == reverse("admin:billing_plan_change", args=[plan.pk])
    meter = Meter.objects.exclude(attempts_meter=None).get()
    assert meter.is_outcome
    assert meter.attempts_meter is not None
    assert meter.attempts_meter.code == ATTEMPTS[slug]
    assert Meter.objects.count() == 4
    assert (plan.status, plan.examples.count()) == ("draft", 1)
    activate_plan(plan, now=NOW)  # the example passes


def test_the_list_of_the_first_page_leads_from_a_playbook_to_an_event_that_the_close_of_last_month_bills() -> (
    None
):
    """Four meters exist, one is priced: its event names a subject, is of October, and settles after 72 hours."""
    staff = sign_in()
    index = reverse("admin:index")
    assert reverse("admin:billing_plan_playbooks") in text_of(staff.get(index))
    staff.post(url("support-tickets"), filled("support-tickets") | {"_create": "1"})
    plan = activate_plan(Plan.objects.get(), now=NOW)
    subscription = subscribe(make_customer(timezone="America/New_York"), plan=plan, start_on=date(2026, 9, 1))
    with time_machine.travel(NOW, tick=False):
        step = next(each for each in staff.get(index).context["steps"] if each.now)
    assert step.title == "Send the first event"
    sent = json.loads(step.curl[step.curl.index("{") : step.curl.rindex("}") + 1])
    assert (sent["meter"], sent["occurred_at"]) == ("tickets_resolved", "2026-10-01T16:00:00Z")
    assert [each.status for each in send(sent).results] == ["accepted"]
    october = preview_invoice(subscription, period=month_period(2026, 10, "America/New_York"), now=NOW)
    assert october.total == 2


def test_codes_that_are_taken_are_never_touched_and_others_are_asked_for() -> None:
    meter, plan = make_meter(), make_plan(code="support_outcome")
    staff = sign_in()
    page = text_of(staff.get(url("support-tickets")))
    assert "The meter “tickets_resolved” exists already, so “tickets_resolved_2” is offered." in page
    sent = filled("support-tickets", meter_code=meter.code, plan_code=plan.code) | {"_create": "1"}
    page = text_of(staff.post(url("support-tickets"), sent))
    assert "There is a meter “tickets_resolved” already. Write another code." in page
    assert "There is a plan “support_outcome” already. Write another code." in page
    assert (Meter.objects.count(), Plan.objects.count()) == (1, 1)
    assert staff.post(url("support-tickets"), filled("support-tickets") | {"_create": "1"}).status_code == 302
    assert set(Meter.objects.values_list("code", flat=True)) == {
        "tickets_resolved", "tickets_resolved_2", "tickets_opened", "api_calls", "llm_tokens"
    }  # fmt: skip


def test_without_attempts_each_outcome_is_one_and_a_meter_that_is_there_stays() -> None:
    opened = make_meter("tickets_opened", description="Ours")
    staff = sign_in()
    sent = filled("support-tickets", with_attempts="", with_work="") | {"_create": "1"}
    assert staff.post(url("support-tickets"), sent).status_code == 302
    assert Meter.objects.get(code="tickets_resolved").attempts_meter is None
    assert staff.post(url("support-tickets"), filled("support-tickets") | {"_create": "1"}).status_code == 302
    assert Meter.objects.get(code="tickets_resolved_2").attempts_meter == opened
    assert Meter.objects.get(code="tickets_opened").description == "Ours"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("price", "-1", "greater than or equal to 0"),
        ("price", "NaN", "Enter a number"),
        ("meter_code", "two words", "letters"),
        ("meter_code", "api_calls", "is the meter of the work or the attempts behind it"),
        ("meter_code", "tickets_opened", "is the meter of the work or the attempts behind it"),
        ("hours", "x", "Enter a number"),
        ("currency", "XYZ", "not one of the available choices"),
        ("plan_name", "", "required"),
        ("hours", "999999999", "less than or equal to 87600"),
    ],
)
def test_what_cannot_be_is_said_at_its_field_and_nothing_is_made(
    field: str, value: str, sentence: str
) -> None:
    sent = filled("support-tickets", **{field: value}) | {"_create": "1"}
    answer = sign_in().post(url("support-tickets"), sent)
    assert answer.status_code == 200
    assert sentence in text_of(answer)
    assert not Meter.objects.exists()
    assert not Plan.objects.exists()


def test_empty_lists_of_meters_and_plans_lead_to_the_playbooks() -> None:
    staff = sign_in()
    for page in ("metering_meter_changelist", "billing_plan_changelist"):
        assert reverse("admin:billing_plan_playbooks") in text_of(staff.get(reverse(f"admin:{page}")))
