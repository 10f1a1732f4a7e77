"""What results cost, clicked as a person would: the provider's prices, the margin, the ticket that lost money.

The figures are those of tests/stories/test_margins.py.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from billing.models import CostRate
from metering.models import Workload
from tests.browser.conftest import Shoot
from tests.browser.test_staff_path import last_month, menu, sign_in
from tests.factories import NOW, make_meter, make_subscription, send
from tests.stories.test_margins import activity

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def activity_of_last_month() -> None:
    start = last_month()
    make_subscription(start_on=start.date())
    make_meter("llm_tokens", label="LLM Tokens", type="sum", unit="token", dimensions=["type"])
    make_meter("api_calls", label="API Calls", unit="call")
    bot = Workload.objects.create(code="support_bot", name="Support bot")
    Workload.objects.create(code="index", name="Index", parent=bot)
    when = {"occurred_at": start.replace(day=3, hour=10).isoformat()}
    events = [each | when for n in range(1, 121) for each in activity(n)]
    assert send(*events, now=max(NOW, start.replace(day=28))).counts["accepted"] == 480


def add_cost(page: Page, meter: str) -> None:
    menu(page, "Workloads")
    page.get_by_role("link", name="Cost rates").click()
    page.get_by_role("link", name="Add a cost", exact=True).click()
    page.get_by_label("Meter").select_option(label=meter)


def test_provider_prices_are_written_margins_read_and_the_losing_ticket_found(
    page: Page, shoot: Shoot
) -> None:
    activity_of_last_month()
    sign_in(page)

    # $0.50 and $2.50 a million tokens, by type
    add_cost(page, "LLM Tokens")
    expect(page.locator("#preview")).to_contain_text("“Cost of a unit” is missing.")
    page.get_by_role("checkbox", name="type").check()
    page.get_by_label("Cost is for").fill("1000000")
    page.locator("[name='row_0_match:type']").fill("input")
    page.locator("[name=row_0_unit_amount]").fill("0.50")
    page.get_by_role("button", name="Add a row").click()
    page.locator("[name='row_1_match:type']").fill("output")
    page.locator("[name=row_1_unit_amount]").fill("2.50")
    page.get_by_label("Everything else").select_option("listed")
    page.get_by_label("Label").fill("provider prices Jan 2026")
    page.get_by_label("Quantity as a number").fill("9600000")
    expect(page.locator("#preview_amount")).to_have_text("$4.80")
    shoot(page, "staff-cost-editor")
    page.get_by_role("button", name="Add the cost").click()
    expect(page.get_by_text("By type: input: $0.50 per 1,000,000 tokens")).to_be_visible()

    # $0.002 a call, and $30 a month for the index
    add_cost(page, "API Calls")
    page.get_by_label("Cost of a unit").fill("0.002")
    page.get_by_role("button", name="Add the cost").click()
    page.get_by_role("link", name="Cost rates").click()
    page.get_by_role("link", name="Add a cost", exact=True).click()
    page.get_by_role("link", name="Fixed, each month").click()
    page.get_by_label("Workload").select_option(label="Index")
    page.get_by_label("Cost each month").fill("30.00")
    shoot(page, "staff-cost-fixed")
    page.get_by_role("button", name="Add the cost").click()
    assert CostRate.objects.count() == 3
    shoot(page, "staff-workloads-costs")

    # a ticket costs nothing by itself: one click where the cost is missed
    page.get_by_role("link", name="Margins").click()
    page.goto(f"{page.url}?time={last_month():%Y-%m}")
    page.get_by_role("button", name="It costs nothing by itself").click()
    expect(page.get_by_text("Tickets Resolved costs nothing by itself")).to_be_visible()

    # 240.00 - 47.40 = 192.60; ticket 1 lost 0.402
    time = f"{last_month():%Y-%m}"
    page.goto(f"/admin/metering/workload/margins/?time={time}&group_by=subject")
    expect(page.get_by_text("$192.60").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"80\.25 %")).first).to_be_visible()
    first = page.locator("tbody tr").filter(has_text="acme").first
    expect(first).to_contain_text("ticket-1")
    expect(first).to_contain_text("-$0.40")
    shoot(page, "staff-margins-tickets")

    # 47.40 over 120 tickets: the price editor says below what it loses money
    menu(page, "Pricing")
    page.get_by_role("link", name="Support Outcome Plan").first.click()
    page.get_by_role("link", name="New version…").click()
    page.get_by_role("button", name="Make the draft").click()
    page.get_by_role("link", name="Change", exact=True).first.click()
    expect(page.locator("#break_even")).to_contain_text("Break-even: $0.395 a unit.")
    expect(page.locator("#break_even")).to_be_visible()
    shoot(page, "staff-rate-break-even")
