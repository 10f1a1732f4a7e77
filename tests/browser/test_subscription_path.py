"""A plan is changed as a clerk would: the money effect first, then the change, then its trace and the way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from billing.models import Subscription
from billing.portal.planned import plan_notes
from tests.browser.conftest import Shoot
from tests.browser.test_staff_path import sign_in
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FEE = {"kind": "subscription", "label": "Base fee", "timing": "at_start"}


def test_a_clerk_changes_a_plan_with_its_effect_shown_and_takes_it_back(page: Page, shoot: Shoot) -> None:
    make_meter()
    small = make_plan(FEE | {"amount": "100.00"}, TICKETS, code="small", name="Small")
    make_plan(FEE | {"amount": "300.00"}, TICKETS, code="large", name="Large")
    now = datetime.now(UTC)
    start = (now.date().replace(day=1) - timedelta(days=1)).replace(day=1)
    acme = make_customer("acme", name="Acme Outdoor Gear")
    make_subscription(acme, small, start_on=start)
    send(event("t-0", occurred_at=now.isoformat()), now=now)
    sign_in(page, "Billing clerk")

    page.goto(f"/admin/customers/customer/{acme.pk}/change/")
    page.get_by_role("link", name="Change…").click()
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    page.get_by_role("link", name="Change plan…").click()
    page.get_by_label("Plan").select_option(label="Large, version 1 (monthly, USD)")
    page.get_by_label("At the end of the period").check()
    page.get_by_label("Reason").fill("They grew")
    page.get_by_role("button", name="Show the effect").click()
    expect(page.get_by_role("heading", name="more on the coming invoices")).to_be_visible()
    assert Subscription.objects.count() == 1
    shoot(page, "staff-plan-change")
    page.get_by_role("button", name="Change the plan").click()

    expect(page.get_by_text("Small goes on as Large")).to_be_visible()
    expect(page.get_by_text("They grew")).to_be_visible()
    shoot(page, "staff-customer-timeline")
    running = Subscription.objects.get(plan=small)
    assert plan_notes(running, today=now.date()) == [
        f"From {running.end_on:%-d %B %Y} on: Large.",
    ]
    page.goto(f"/admin/customers/customer/{acme.pk}/plans/{running.pk}/")
    shoot(page, "staff-plan")
    page.get_by_role("link", name="Take back…").click()
    shoot(page, "staff-plan-undo")
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_text("taken back", exact=True)).to_be_visible()
    running.refresh_from_db()
    assert running.end_on is None

    page.goto(f"/admin/customers/customer/{make_customer('new').pk}/assign/")
    page.get_by_label("Plan").select_option(label="Large, version 1 (monthly, USD)")
    page.get_by_label("Trial", exact=True).fill("14")
    page.get_by_role("button", name="Show the effect").click()
    expect(page.get_by_role("heading", name="What this brings")).to_be_visible()
    expect(page.get_by_role("heading", name="With the change")).to_be_visible()
    shoot(page, "staff-assign-effect")
