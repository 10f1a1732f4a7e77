"""The staff's path, clicked as a person would: from an empty installation to the first invoice of $240.00."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from billing.closing import close_period
from billing.models import Invoice
from billing.months import Month
from customers.models import Customer
from metering.models import Meter
from metering.periods import Anchor, Interval
from tests.browser.conftest import Shoot
from tests.factories import event, make_customer, make_meter, make_plan, make_subscription, send
from tests.staff import make_staff

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def last_month() -> datetime:
    """The first instant of the last month that is over: the server runs on the real clock."""
    today = datetime.now(UTC).date()
    start = Anchor(today.year, today.month, 1).boundary(Interval.MONTH, -1)
    return datetime(start.year, start.month, start.day, tzinfo=UTC)


def sign_in(page: Page, group: str | None = None) -> None:
    user = make_staff(group)
    page.goto("/admin/")
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile(r"/admin/$"))


def menu(page: Page, name: str) -> None:
    page.get_by_role("link", name=re.compile(rf"\b{name}$")).first.click()


def test_from_an_empty_installation_to_the_first_invoice(page: Page, shoot: Shoot) -> None:
    start = last_month()
    shoot_login(page, shoot)
    sign_in(page)
    shoot(page, "staff-set-up")

    # a meter; its code writes itself while the label is typed
    page.get_by_role("link", name="Create a meter").click()
    page.get_by_label("Label").press_sequentially("Tickets Resolved")
    expect(page.get_by_label("Code")).to_have_value("tickets_resolved")
    page.get_by_label("Unit").fill("ticket")
    shoot(page, "staff-meter-new")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("No events yet.")).to_be_visible()
    shoot(page, "staff-meter-empty")

    # a plan with a rate of $2.00, activated
    page.get_by_role("link", name="Create a plan on Pricing").click()
    page.get_by_label("Name").press_sequentially("Support Outcome Plan")
    shoot(page, "staff-plan-new")
    page.get_by_role("button", name="Save").click()
    shoot(page, "staff-plan-draft-empty")
    page.get_by_role("link", name="Now add a usage-based rate").click()
    page.get_by_label("Meter").select_option(label="Tickets Resolved")
    page.get_by_role("textbox", name="Unit price").fill("2.00")
    shoot(page, "staff-rate-per-unit")
    page.get_by_role("button", name="Save rate").click()
    expect(page.get_by_role("cell", name="$2.00 per ticket")).to_be_visible()
    shoot(page, "staff-plan-draft")
    page.get_by_role("link", name="Preview price").click()
    page.get_by_label("Quantity as a number").fill("120")
    expect(page.locator("#preview_amount")).to_have_text("$240.00")
    shoot(page, "staff-price-preview")
    page.go_back()
    page.get_by_role("link", name="Activate…").click()
    shoot(page, "staff-plan-activate")
    page.get_by_role("button", name="Activate the plan").click()
    expect(page.get_by_text("this version is read-only")).to_be_visible()
    shoot(page, "staff-plan-active")

    # a customer, with the plan from the first day of last month
    menu(page, "Customers")
    page.get_by_role("link", name="Add customer").last.click()
    page.get_by_label("Name").press_sequentially("Acme")
    expect(page.get_by_label("Code")).to_have_value("acme")
    shoot(page, "staff-customer-new")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="assign a plan to Acme").click()
    page.get_by_label("From").fill(f"{start:%Y-%m-%d}")
    page.get_by_role("button", name="Show the effect").click()
    expect(page.get_by_text("First billing period")).to_be_visible()
    shoot(page, "staff-assign-effect")
    page.get_by_role("button", name="Assign the plan").click()
    expect(page.get_by_role("link", name="Support Outcome Plan", exact=True)).to_be_visible()

    send_last_month(120, start)
    shoot_customer_and_preview(page, shoot, start)
    close_and_read(page, shoot)


def shoot_login(page: Page, shoot: Shoot) -> None:
    page.goto("/admin/")
    shoot(page, "staff-login")


def send_last_month(count: int, start: datetime) -> None:
    now = datetime.now(UTC)
    tickets = (
        event(f"t-{n}", subject=f"ticket-{n}", occurred_at=(start + timedelta(hours=5 * n)).isoformat())
        for n in range(count)
    )
    counts = send(*tickets, now=now).counts
    assert counts["accepted"] == count


def shoot_customer_and_preview(page: Page, shoot: Shoot, start: datetime) -> None:
    page.reload()
    shoot(page, "staff-customer")
    page.get_by_role("link", name="Preview invoice").click()
    page.get_by_label("Period").select_option(value=f"{start:%Y-%m-%d}")
    expect(page.locator("#total")).to_have_text("$240.00")
    expect(page.get_by_role("cell", name="120 tickets × $2.00")).to_be_visible()
    shoot(page, "staff-preview")
    assert not Invoice.objects.exists()


def close_and_read(page: Page, shoot: Shoot) -> None:
    menu(page, "Invoices")
    shoot(page, "staff-invoices-empty")
    page.get_by_role("link", name="Close a month").click()
    expect(page.locator("#total")).to_have_text("$240.00")
    shoot(page, "staff-close")
    page.get_by_label("I have looked at the figures above.").check()
    page.get_by_label("Issue at once").check()
    page.get_by_role("button", name=re.compile("^Close ")).click()
    expect(page.get_by_role("heading", name=re.compile("is closed"))).to_be_visible()
    shoot(page, "staff-closed")
    page.get_by_role("link", name=re.compile("^Open the invoices of")).click()
    shoot(page, "staff-invoices")
    page.get_by_role("link", name=Invoice.objects.get().number).click()
    expect(page.locator("#total")).to_have_text("$240.00")
    shoot(page, "staff-invoice")
    page.get_by_role("link", name="events", exact=True).click()
    expect(page.get_by_text("120 events")).to_be_visible()
    shoot(page, "staff-events-behind")
    menu(page, "Dashboard")
    expect(page.get_by_text("$240.00").first).to_be_visible()
    shoot(page, "staff-dashboard")


def test_the_dashboard_opens_first_and_then_fetches_the_forecast(page: Page, shoot: Shoot) -> None:
    start = last_month()
    make_meter(once_per_subject="ever")
    make_subscription(make_customer(), start_on=start.date())
    now = datetime.now(UTC)
    send(
        event("a", subject="a", occurred_at=f"{start:%Y-%m-%dT10:00:00Z}"),
        event("b", subject="b", occurred_at=f"{now:%Y-%m-%dT%H:%M:%SZ}"),
        now=now,
    )
    close_period(Month(start.year, start.month), now=now, grace_days=0)
    sign_in(page, "Read only")
    expect(page.locator("#forecast").get_by_role("row", name=re.compile("Tickets Resolved"))).to_contain_text(
        "$2.00"
    )
    expect(page.get_by_text("Being worked out")).to_have_count(0)
    shoot(page, "staff-dashboard-forecast")


def test_tiers_are_written_row_by_row_with_the_keyboard(page: Page, shoot: Shoot) -> None:
    make_meter()
    plan = make_plan()
    sign_in(page)
    page.goto(f"/admin/billing/plan/{plan.pk}/version/")
    page.get_by_role("button", name="Make the draft").click()
    page.get_by_role("link", name="Change", exact=True).click()
    page.get_by_label("Rate model").select_option("graduated")
    expect(page.get_by_label("Unit price").first).to_be_visible()
    expect(page.locator("#id_unit_amount")).to_be_hidden()
    page.get_by_label("Up to").first.fill("100")
    expect(page.get_by_role("columnheader", name="Percent")).to_have_count(0)
    for place, price in enumerate(("2", "1")):
        page.locator("[name=tier_unit_amount]").nth(place).fill(price)
    page.get_by_role("button", name="Add a tier").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[name=tier_up_to]").nth(2)).to_be_focused()
    page.get_by_label("Up to").nth(1).fill("50")
    page.locator("[name=tier_unit_amount]").nth(2).fill("0.5")
    page.get_by_role("button", name="Save rate").click()
    expect(page.get_by_text("“Up to” 50 is below the bound of the tier before")).to_be_visible()
    shoot(page, "staff-rate-tiers-refused")
    page.get_by_label("Up to").nth(1).fill("500")
    expect(page.locator("[data-from]").nth(2)).to_have_text("over 500")
    page.get_by_role("button", name="Save rate").click()
    words = "First 100 tickets at $2.00 per ticket, then $1.00 per ticket up to 500, then $0.50 per ticket"
    expect(page.get_by_role("cell", name=words)).to_be_visible()


def test_a_key_is_shown_once(page: Page, shoot: Shoot) -> None:
    sign_in(page)
    menu(page, "API keys")
    shoot(page, "staff-keys-empty")
    page.get_by_role("link", name="Add API key").last.click()
    page.get_by_label("Name").fill("Support platform")
    shoot(page, "staff-key-new")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_text("This key is shown only now.")).to_be_visible()
    secret = page.locator("#api-key").inner_text()
    shoot(page, "staff-key-shown-once")
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_text(secret)).to_have_count(0)
    page.get_by_role("link", name="Support platform").click()
    page.get_by_role("link", name="Revoke…").click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_text("is revoked").first).to_be_visible()


def test_what_waits_is_settled_by_following_its_link(page: Page, shoot: Shoot) -> None:
    send(event("waiting", meter="calls_made", customer="umbrella"), now=datetime.now(UTC))
    sign_in(page)
    menu(page, "Unmatched events 1")
    shoot(page, "staff-unmatched")
    page.get_by_role("link", name="Create this meter").click()
    expect(page.get_by_label("Label")).to_have_value("Calls Made")
    page.get_by_role("button", name="Save").click()
    page.goto("/admin/metering/event/unmatched/")
    page.get_by_role("link", name="Create this customer").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("1 events were waiting")).to_be_visible()
    assert Meter.objects.get().code == "calls_made"
    assert Customer.objects.get().code == "umbrella"
    page.goto("/admin/metering/event/unmatched/")
    expect(page.get_by_text("Every event found its meter and its customer")).to_be_visible()


def test_every_list_is_pictured(page: Page, shoot: Shoot) -> None:
    subscription = make_subscription(make_customer("acme"))
    start = last_month()
    send_last_month(30, start)
    send(event("t-0", value="7"), now=datetime.now(UTC))
    sign_in(page)
    pages = {
        "meters": "metering/meter/", "meter": f"metering/meter/{Meter.objects.get().pk}/change/",
        "plans": "billing/plan/", "customers": "customers/customer/", "workloads": "metering/workload/",
        "events": "metering/event/", "conflicts": "metering/eventconflict/", "users": "auth/user/",
        "user-new": "auth/user/add/", "groups": "auth/group/",
        "portal": f"customers/customer/{subscription.customer_id}/portal/",
        "end": f"customers/customer/{subscription.customer_id}/plans/{subscription.pk}/cancel/",
    }  # fmt: skip
    for name, address in pages.items():
        page.goto(f"/admin/{address}")
        shoot(page, f"staff-{name}")


def test_a_reader_sees_no_button_that_writes(page: Page, open_page: Callable[..., Page]) -> None:
    subscription = make_subscription()
    sign_in(page, "Read only")
    for address in (
        "billing/plan/",
        "customers/customer/",
        "metering/meter/",
        "customers/apikey/",
        "billing/invoice/",
    ):
        page.goto(f"/admin/{address}")
        expect(page.get_by_role("link", name=re.compile("^(Add|Close a month)"))).to_have_count(0)
    page.goto(f"/admin/customers/customer/{subscription.customer_id}/change/")
    expect(page.get_by_role("link", name=re.compile("^(Assign plan|End…|Archive…)"))).to_have_count(0)
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
