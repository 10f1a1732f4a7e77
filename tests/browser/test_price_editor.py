"""The price editor in a real browser: plans made by clicking, a preview that follows the slider, no scripts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, Route, expect

from billing.closing import close_period
from billing.models import Plan, PlanStatus, Rate
from billing.months import Month
from billing.pricing import create_plan
from tests.browser.conftest import Shoot
from tests.browser.test_staff_path import last_month, menu, send_last_month, sign_in
from tests.factories import TICKETS, make_customer, make_meter, make_subscription

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def new_plan(page: Page, name: str) -> None:
    sign_in(page)
    menu(page, "Pricing")
    page.get_by_role("link", name="Add plan").last.click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Now add a usage-based rate").click()


def fill_tier(page: Page, place: int, up_to: str, price: str) -> None:
    page.locator("[name=tier_up_to]").nth(place).fill(up_to)
    page.locator("[name=tier_unit_amount]").nth(place).fill(price)


def test_graduated_tiers_are_clicked_together_previewed_activated_and_assigned(
    page: Page, shoot: Shoot
) -> None:
    make_meter("minutes", label="Audio", unit="minute")
    make_customer()
    new_plan(page, "Audio")
    expect(page.get_by_text("Write a price to see")).to_be_hidden()
    page.get_by_label("Meter").select_option(label="Audio")
    page.get_by_label("Rate model").select_option("graduated")
    fill_tier(page, 0, "1000", "0")
    fill_tier(page, 1, "5000", "0.05")
    page.keyboard.press("Enter")  # from the last row: a new one, in the same cell's table
    expect(page.locator("[data-from]").nth(2)).to_have_text("over 5000")
    fill_tier(page, 2, "", "0.04")
    words = "First 1,000 minutes are free, then $0.05 per minute up to 5,000, then $0.04 per minute."
    expect(page.locator("#sentence")).to_have_text(words)
    amount = page.locator("#preview_amount")
    page.get_by_label("Quantity as a number").fill("3000")
    expect(amount).to_have_text("$100.00")  # 2,000 x 0.05
    slider = page.get_by_label("Quantity", exact=True)
    slider.focus()
    page.keyboard.press("End")
    expect(page.get_by_label("Quantity as a number")).to_have_value("8000")
    expect(amount).to_have_text("$320.00")  # 4,000 x 0.05 + 3,000 x 0.04
    expect(slider).to_be_focused()
    page.keyboard.press("Home")
    expect(amount).to_have_text("$0.00")
    shoot(page, "staff-rate-graduated")
    page.get_by_role("button", name="Remove this tier").nth(2).press("Enter")
    expect(page.locator("[data-from]")).to_have_count(2)
    page.locator("[name=tier_up_to]").nth(1).fill("")
    page.get_by_role("button", name="Save rate").click()
    expect(
        page.get_by_role("cell", name="First 1,000 minutes are free, then $0.05 per minute")
    ).to_be_visible()

    page.get_by_role("link", name="Activate…").click()
    page.get_by_role("button", name="Activate the plan").click()
    page.get_by_role("link", name="assign it to a customer").click()
    page.get_by_role("link", name="Acme").first.click()
    page.get_by_role("link", name="Assign plan").click()
    page.get_by_role("button", name="Show the effect").click()
    page.get_by_role("button", name="Assign the plan").click()
    expect(page.get_by_role("link", name="Audio", exact=True)).to_be_visible()
    assert Plan.objects.get().status == PlanStatus.ACTIVE


def test_a_token_table_is_written_and_pasted_by_model_and_type(page: Page, shoot: Shoot) -> None:
    make_meter("llm_tokens", label="LLM Tokens", type="sum", unit="token", dimensions=["model", "type"])
    new_plan(page, "Tokens")
    expect(page.get_by_label("Meter").locator("option:checked")).to_have_text("LLM Tokens")  # the only one
    page.get_by_role("checkbox", name="model").check()
    page.get_by_role("checkbox", name="type").check()
    page.get_by_label("Price is for").fill("1000000")
    page.locator("[name='row_0_match:model']").click()
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.setData("text/plain", "a\\tinput\\t10\\na\\toutput\\t30\\nb\\tinput\\t2.50\\n");
            document.activeElement.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }"""
    )
    expect(page.locator("[data-row]")).to_have_count(4)
    page.get_by_role("button", name="Add a row").click()
    page.keyboard.type("c")
    page.get_by_role("button", name="Remove this row").nth(3).click()
    page.locator("[name=row_rest_unit_amount]").fill("20")
    page.get_by_label("Quantity as a number").fill("1500000")
    expect(page.locator("#preview_amount")).to_have_text("$15.00")
    page.get_by_label("Priced for").select_option("everything else")
    expect(page.locator("#preview_amount")).not_to_have_text("$15.00")
    shoot(page, "staff-rate-tokens")
    page.get_by_role("button", name="Save rate").click()
    words = "By model and type: a, input: $10.00 per 1,000,000 tokens"
    expect(page.get_by_role("cell", name=words)).to_be_visible()
    assert [(row["match"], row["unit_amount"]) for row in Rate.objects.get().terms["rows"]] == [
        ({"model": "a", "type": "input"}, "10"),
        ({"model": "a", "type": "output"}, "30"),
        ({"model": "b", "type": "input"}, "2.50"),
        ({}, "20"),
    ]
    page.get_by_role("link", name="Change", exact=True).click()
    expect(page.locator("[name='row_0_match:model']")).to_have_value("a")
    page.get_by_label("Everything else").select_option("free")
    expect(page.locator("[name=row_rest_unit_amount]")).to_be_hidden()
    page.get_by_role("checkbox", name="type").uncheck()
    expect(page.locator("[name='row_0_match:type']")).to_be_hidden()


def test_the_editor_works_without_scripts(page: Page, open_page: Callable[..., Page]) -> None:
    make_meter("llm_tokens", label="LLM Tokens", type="sum", unit="token", dimensions=["model"])
    new_plan(page, "Tokens")
    plain = open_page(java_script_enabled=False, storage_state=page.context.storage_state())
    plain.goto(page.url)
    plain.get_by_label("Meter").select_option(label="LLM Tokens")
    plain.get_by_role("button", name="Show the price").click()
    plain.get_by_role("checkbox", name="model").check()
    plain.locator("[name='row_0_match:model']").fill("a")
    plain.locator("[name=row_0_unit_amount]").fill("3")
    plain.locator("[name=row_rest_unit_amount]").fill("2")
    plain.get_by_role("button", name="Show the price").click()
    expect(plain.locator("#sentence")).to_have_text(
        "By model: a: $3.00 per token; everything else: $2.00 per token."
    )
    plain.get_by_role("button", name="Save rate").click()
    expect(plain.get_by_role("cell", name="a: $3.00 per token")).to_be_visible()


def test_an_example_is_offered_worked_out_and_guards_the_activation(page: Page, shoot: Shoot) -> None:
    make_meter()
    draft = create_plan(
        code="support", name="Support", currency="USD", billing_period="monthly", rates=[TICKETS]
    )
    sign_in(page)
    page.goto(f"/admin/billing/plan/{draft.pk}/change/")
    page.get_by_role("link", name="Add the first example").click()
    expect(page.get_by_label("Must come to")).to_have_value("240.00")
    page.get_by_label("Must come to").fill("250")
    page.get_by_role("button", name="Work it out").click()
    expect(page.get_by_text("It comes to 240.00, not to 250.")).to_be_visible()
    shoot(page, "staff-example")
    page.get_by_role("button", name="Save example").click()
    shoot(page, "staff-plan-example-fails")
    page.get_by_role("link", name="Activate…").click()
    expect(page.get_by_role("button", name="Activate the plan")).to_be_disabled()
    expect(page.get_by_text("must come to $250.00, comes to $240.00")).to_be_visible()
    shoot(page, "staff-activate-example-fails")
    page.get_by_role("link", name="Change the example").click()
    page.get_by_label("Must come to").fill("240")
    page.get_by_role("button", name="Save example").click()
    page.get_by_role("link", name="Activate…").click()
    page.get_by_role("button", name="Activate the plan").click()
    expect(page.get_by_text("this version is read-only")).to_be_visible()


def test_an_own_price_is_agreed_and_a_new_version_is_looked_at_before_anybody_moves(
    page: Page, shoot: Shoot
) -> None:
    make_subscription()
    start = last_month()
    send_last_month(120, start)
    close_period(Month(start.year, start.month), now=datetime.now(UTC), grace_days=0)
    sign_in(page)
    menu(page, "Pricing")
    page.get_by_role("link", name="Support Outcome Plan").first.click()
    page.get_by_role("link", name="New version…").click()
    page.get_by_role("button", name="Make the draft").click()
    page.get_by_role("link", name="Change", exact=True).click()
    page.get_by_role("textbox", name="Unit price").fill("2.50")
    page.get_by_role("button", name="Save rate").click()
    page.get_by_role("link", name="What if…").click()
    expect(page.get_by_text("$300.00").first).to_be_visible()
    shoot(page, "staff-what-if")
    page.go_back()
    page.get_by_role("link", name="Activate…").click()
    page.get_by_role("button", name="Activate the plan").click()
    page.get_by_role("link", name="Compare and move customers…").click()
    expect(page.get_by_role("row", name="Tickets Resolved")).to_contain_text("$2.50 per ticket")
    page.get_by_label("All customers").check()
    expect(page.get_by_label("Acme")).to_be_checked()
    shoot(page, "staff-moves")
    page.get_by_role("button", name="Move the chosen customers at their next period").click()
    expect(page.get_by_text("1 customer moves to version 2.")).to_be_visible()

    menu(page, "Customers")
    page.get_by_role("link", name="Acme").first.click()
    page.get_by_role("link", name="Own prices").first.click()
    shoot(page, "staff-own-prices")
    page.get_by_role("link", name="Agree an own price").click()
    page.get_by_role("textbox", name="Unit price").fill("1.75")
    expect(page.locator("#sentence")).to_have_text("$1.75 per ticket.")
    shoot(page, "staff-own-price")
    page.get_by_role("button", name="Agree this price").click()
    expect(page.get_by_role("cell", name="$1.75 per ticket")).to_be_visible()


def test_parts_of_another_choice_are_not_seen_before_the_script_could_hide_them(page: Page) -> None:
    make_meter("minutes", label="Audio", unit="minute")
    plan = create_plan(code="audio", name="Audio", currency="USD", billing_period="monthly", rates=[])
    sign_in(page)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/reckoner/pricing.js", hold)
    with page.expect_request("**/reckoner/pricing.js"):
        page.goto(f"/admin/billing/plan/{plan.pk}/rates/add/", wait_until="commit")
    page.evaluate("document.adoptedStyleSheets = []")  # this test looks at what a person sees meanwhile
    page.evaluate("document.documentElement.removeAttribute('x-cloak')")
    expect(page.get_by_label("Rate model")).to_be_visible()
    assert page.locator("#id_unit_amount").is_hidden()
    assert page.locator("[name=tier_unit_amount]").first.is_hidden()
    held[0].continue_()
    expect(page.locator("#id_unit_amount")).to_be_visible()
    assert page.locator("[name=tier_unit_amount]").first.is_hidden()
