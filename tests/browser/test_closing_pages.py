"""The progress of a close in a real browser: the page follows it without being loaded again."""

from __future__ import annotations

from datetime import date

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from billing.models import CloseRun, CloseState
from tests.browser.conftest import Shoot
from tests.browser.test_staff_path import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_page_of_a_close_follows_its_progress(page: Page, shoot: Shoot) -> None:
    now = timezone.now()
    run = CloseRun.objects.create(
        month=date(2026, 10, 1), grace_days=0, entrance="admin", asked_at=now, state="running", started_at=now,
        seen_at=now, total=10_000, done=2_000,
    )  # fmt: skip
    sign_in(page)
    page.goto(f"/admin/billing/closerun/{run.pk}/change/")
    expect(page.get_by_role("heading", name="Closing October 2026")).to_be_visible()
    expect(page.get_by_text("2,000 of 10,000 subscriptions")).to_be_visible()
    shoot(page, "close-running")
    CloseRun.objects.update(done=10_000, issued=10_000, state=CloseState.DONE, finished_at=timezone.now())
    expect(page.get_by_role("heading", name="October 2026 is closed")).to_be_visible()
    shoot(page, "close-done")
    expect(page.get_by_role("link", name="Open the invoices of October 2026")).to_be_visible()
