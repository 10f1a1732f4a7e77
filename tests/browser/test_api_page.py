"""The page that describes the API: an integrator tries a request on it, under the content security policy."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from customers.keys import create_api_key
from metering import catalog
from metering.models import Event
from tests.factories import event, make_customer, make_meter

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_event_is_sent_from_the_page_and_nothing_comes_from_elsewhere(
    page: Page, live_server: object
) -> None:
    catalog.forget()
    make_meter(dimensions=["channel"])
    make_customer()
    _, key = create_api_key("integration", scopes=["ingest"])
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/api/docs/")

    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".modal-ux input").first.fill(key)
    page.locator(".modal-ux button.authorize").first.click()
    page.locator(".modal-ux .btn-done").first.click()

    route = page.locator("[id*=send_events]").first
    route.click()
    route.locator(".try-out__btn").click()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    body = json.dumps(event("tried", occurred_at=yesterday))
    route.locator("textarea").first.fill(body)
    route.locator("button.execute").click()

    expect(route.locator(".live-responses-table")).to_contain_text('"accepted": 1')
    assert Event.objects.get().key == "tried"
    here = page.url.split("/api/")[0]
    assert {url for url in asked if not url.startswith((here, "data:"))} == set()
