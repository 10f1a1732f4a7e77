"""Without a mouse: what can be clicked in the admin can be reached with Tab and pressed, and is called something."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_staff_path import sign_in
from tests.factories import make_customer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_first_tab_skips_the_menu(page: Page) -> None:
    sign_in(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('content').contains(document.activeElement)")


def test_menu_and_filters_open_and_close_with_keys(page: Page) -> None:
    make_customer("acme")
    sign_in(page)
    toggle = page.get_by_role("button", name="Show or hide the menu")
    toggle.press("Enter")
    expect(page.get_by_role("link", name="Meters")).to_be_hidden()
    toggle.press("Space")
    expect(page.get_by_role("link", name="Meters", exact=True)).to_be_visible()
    page.goto("/admin/customers/customer/")
    page.get_by_role("button", name="Filters").press("Enter")
    expect(page.locator("#changelist-filter")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#changelist-filter")).to_be_hidden()


def test_icons_are_not_read_out(page: Page) -> None:
    sign_in(page)
    page.goto("/admin/metering/meter/")
    expect(page.get_by_role("link", name="Add meter", exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("speed|receipt_long"))).to_have_count(0)
