"""Pages of closing in a real browser: progress that follows by itself, approving what is held, late usage."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from billing.closing import close_period
from billing.deciding import find_late_usage
from billing.models import CloseReview, CloseRun, CloseState, ParkedCustomer
from billing.months import Month
from tests.browser.conftest import Shoot
from tests.browser.test_staff_path import sign_in
from tests.factories import NOW, event, make_customer, make_subscription, send

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_page_of_a_close_follows_its_progress(page: Page, shoot: Shoot) -> None:
    now = timezone.now()
    run = CloseRun.objects.create(
        month=date(2026, 10, 1), grace_days=0, entrance="admin", asked_at=now, state="running", started_at=now,
        seen_at=now, total=10_000, done=2_000,
    )  # fmt: skip
    ParkedCustomer.objects.create(
        customer=make_customer(), month=run.month, code="rating_failed", parked_at=now, tried_at=now,
        reason="Acme, Support Outcome Plan: no price for channel “fax”.",
    )  # fmt: skip
    sign_in(page)
    page.goto(f"/admin/billing/closerun/{run.pk}/change/")
    expect(page.get_by_role("heading", name="Closing October 2026")).to_be_visible()
    expect(page.get_by_text("2,000 of 10,000 subscriptions")).to_be_visible()
    shoot(page, "close-running")
    CloseRun.objects.update(done=10_000, issued=10_000, state=CloseState.DONE, finished_at=timezone.now())
    expect(page.get_by_role("heading", name="October 2026 is closed")).to_be_visible()
    expect(page.get_by_role("link", name="Open the invoices of October 2026")).to_be_visible()
    shoot(page, "close-done")
    page.goto("/admin/billing/parkedcustomer/")
    shoot(page, "close-parked")
    page.get_by_role("link", name="Acme").first.click()
    shoot(page, "close-parked-one")


def test_a_clerk_approves_what_is_held_and_looks_at_late_usage(page: Page, shoot: Shoot) -> None:
    for code, november in (("acme", 30_000), ("globex", 90_000), ("hooli", 0)):
        make_subscription(make_customer(code))
        for value, day in ((300, "2026-10-03"), (november, "2026-11-03")):
            if value:
                at = f"{day}T10:00:00Z"
                send(event(f"{code}-{day}", customer=code, value=str(value), occurred_at=at))
    for month in (10, 11):
        close_period(Month(2026, month), now=datetime(2026, 12, 5, tzinfo=UTC), grace_days=0)
    sign_in(page)
    page.goto("/admin/billing/closereview/")
    shoot(page, "close-unusual")
    page.get_by_label("Approve Acme").check()
    page.get_by_label("Reason").fill("Their campaign, confirmed by Ann.")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("1 customer approved.")).to_be_visible()
    page.get_by_role("combobox", name="Show").select_option(label="Approved")
    expect(page.get_by_text("Their campaign, confirmed by Ann.")).to_be_visible()
    shoot(page, "close-approved")
    assert CloseReview.objects.filter(held=True).count() == 1

    send(event("late", value="12"), event("late-2", customer="globex", value="3"))
    find_late_usage(now=NOW)
    page.goto("/admin/billing/changedline/")
    expect(page.get_by_role("cell", name="$24.00")).to_be_visible()
    shoot(page, "late-usage")
    page.get_by_role("link", name="events that caused it").first.click()
    expect(page.get_by_role("link", name="late", exact=True)).to_be_visible()
    shoot(page, "late-usage-events")
    page.get_by_role("link", name="Back to late usage").click()
    page.get_by_label("Globex, Tickets Resolved").check()
    page.get_by_label("Reason").fill("Agreed by phone.")
    page.get_by_role("button", name="Waive").click()
    expect(page.get_by_text("1 line waived.")).to_be_visible()
    page.get_by_text("What was credited or waived, and by whom").click()
    shoot(page, "late-usage-waived")
