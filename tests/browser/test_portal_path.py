"""The customer's path, as a customer walks it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_whoever_is_not_signed_in_is_asked_for_an_address(page: Page, shoot: Shoot) -> None:
    page.goto("/portal/")
    expect(page).to_have_url("/portal/sign-in/")
    shoot(page, "portal-sign-in")
    page.get_by_label("E-mail address").fill("anna")
    page.get_by_role("button", name="Mail me a sign-in link").click()
    expect(page.get_by_text("Enter a whole e-mail address")).to_be_visible()
    shoot(page, "portal-sign-in-refused")
    page.get_by_label("E-mail address").fill("stranger@example.com")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    shoot(page, "portal-link-sent")
