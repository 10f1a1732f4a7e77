"""Forms and lists on desks and phones: fields beside each other line up, ticks stand before their words."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from billing.models import Plan
from metering.models import Workload
from tests.browser.conftest import PHONE
from tests.browser.test_staff_path import sign_in
from tests.factories import make_customer, make_meter, make_plan

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def box(of: Locator) -> dict[str, float]:
    expect(of).to_be_visible()
    found = of.bounding_box()
    assert found
    return {**found, "middle": found["y"] + found["height"] / 2}


def test_fields_line_up_and_ticks_stand_before_their_words(page: Page) -> None:
    customer = make_customer()
    make_meter()
    make_plan()
    sign_in(page)
    page.goto("/admin/billing/usagelimit/add/")
    assert box(page.locator("#id_quantity"))["y"] == box(page.locator("#id_amount"))["y"]

    page.goto(f"/admin/customers/customer/{customer.pk}/assign/")
    tick = box(page.get_by_role("checkbox", name="Usage is free during the trial too"))
    words = box(page.get_by_text("Usage is free during the trial too"))
    assert tick["x"] + tick["width"] < words["x"]
    assert abs(tick["middle"] - words["middle"]) < 3


def test_on_a_phone_a_badge_is_no_button_and_columns_are_named_as_on_desks(page: Page) -> None:
    Workload.objects.create(code="bot", name="Support bot", owner="Assistant team")
    make_meter()
    make_plan()
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    sign_in(page)
    page.goto("/admin/metering/workload/")
    cell = page.locator("#result_list td", has_text="Assistant team")
    assert cell.evaluate("cell => getComputedStyle(cell, '::before').content") == '"Owner"'

    page.goto(f"/admin/billing/plan/{Plan.objects.get().pk}/change/")
    badge = page.locator(".rk-main .rk-badge")
    assert box(badge)["height"] < 30
