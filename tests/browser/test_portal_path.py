"""The customer's path, as a customer walks it."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from billing.closing import close_period
from billing.models import Invoice
from billing.months import Month
from billing.subscribing import subscribe
from customers.models import Customer
from customers.portal_access import create_portal_access, portal_link
from metering.periods import local_day, month_period
from tests.browser.conftest import ARTEFACTS, Shoot
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, send

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ISSUER = {
    "name": "Helpful Machines",
    "address": "1 Market Street\nSan Francisco, CA 94105",
    "email": "billing@helpful.example",
    "tax_id": "US 12-3456789",
}
TOKENS = {
    "kind": "usage",
    "meter": "llm_tokens",
    "model": "graduated",
    "tiers": [{"up_to": "1000", "unit_amount": "0"}, {"up_to": None, "unit_amount": "0.00015"}],
}
FEE = {"kind": "subscription", "label": "Platform fee", "amount": "49.00", "timing": "in_arrears"}


@pytest.fixture(autouse=True)
def _issuer(settings: Any) -> None:
    settings.ISSUER = ISSUER


def months_back(today: date, count: int) -> Month:
    index = today.year * 12 + today.month - 1 - count
    return Month(index // 12, index % 12 + 1)


@pytest.fixture
def acme() -> Customer:
    """Last month has 120 tickets, invoiced; the running month has some each day so far."""
    now = datetime.now(UTC)
    zone = "Europe/London"
    acme = make_customer(
        name="Acme Robotics Ltd.",
        address="Unit 4, Riverside\n12 Dock Road\nLondon SE1 2AB",
        email="accounts@acme.example",
        tax_id="GB 123 4567 89",
        timezone=zone,
    )
    make_meter()
    make_meter("llm_tokens", label="Language model tokens", unit="token", type="sum")
    today = local_day(now, zone)
    last, before = months_back(today, 1), months_back(today, 2)
    plan = make_plan(TICKETS, TOKENS, FEE)
    subscribe(acme, plan=plan, start_on=date(before.year, before.month, 1))
    for month, count in ((before, 64), (last, 120)):
        start = month_period(month.year, month.month, zone).start
        send_spread(start, days=27, count=count, name=f"{month.year}-{month.month}")
    running = month_period(today.year, today.month, zone).start
    days = max(1, (now - running).days)
    send_spread(running, days=days, count=43, name="now")
    close_period(before, now=now, grace_days=0)
    close_period(last, now=now, grace_days=0)
    return acme


def send_spread(start: datetime, *, days: int, count: int, name: str) -> None:
    """Tickets on the first `days` days, more on some of them than on others, and tokens behind each."""
    now = datetime.now(UTC)
    events = []
    for n in range(count):
        at = start + timedelta(days=(n * n) % days, hours=8 + n % 9, minutes=7 * n % 60)
        occurred_at = min(at, now).isoformat()
        subject = "=SUM(A1:A9)" if n == 3 else f"ticket-{4000 + n}"
        events.append(event(f"{name}-{n:04}", occurred_at=occurred_at, subject=subject))
        events.append(
            event(
                f"{name}-t-{n:04}", meter="llm_tokens", occurred_at=occurred_at, subject=subject, value="350"
            )
        )
    result = send(*events, now=now)
    assert result.counts["accepted"] == 2 * count


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


def test_from_the_mailed_link_to_the_events_behind_120_tickets(
    page: Page, live_server: Any, shoot: Shoot, acme: Customer, tmp_path: Path
) -> None:
    link = portal_link(create_portal_access(acme, "anna@acme.example"), live_server.url)
    page.goto(link)
    expect(page.get_by_text("Acme Robotics Ltd.")).to_be_visible()
    shoot(page, "portal-link")
    page.get_by_role("button", name="Continue").click()

    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("43 tickets × $2.00 = $86.00")).to_be_visible()
    expect(page.get_by_text("$2.00 per ticket")).to_be_visible()
    page.get_by_text("Show these figures as a table").click()
    expect(page.get_by_role("row", name="Whole period so far 43 tickets")).to_be_visible()
    page.get_by_text("Show these figures as a table").click()
    shoot(page, "portal-home")
    page.get_by_role("link", name="Language Model Tokens").or_(
        page.get_by_role("link", name="Language model tokens")
    ).first.click()
    expect(page.get_by_role("heading", name="Language model tokens per day")).to_be_visible()

    page.get_by_role("link", name="Invoices", exact=True).click()
    expect(page.get_by_role("row")).to_have_count(3)
    shoot(page, "portal-invoices")
    page.get_by_label("Status").select_option("Paid")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No invoice matches.")).to_be_visible()
    page.get_by_role("link", name="Show all invoices").click()

    invoice = Invoice.objects.filter(customer=acme).order_by("-period_start")[0]
    page.get_by_role("link", name=invoice.number or "").click()
    expect(page.get_by_text("120 tickets × $2.00 = $240.00")).to_be_visible()
    shoot(page, "portal-invoice")

    with page.expect_download() as download:
        page.get_by_role("link", name="Download PDF").click()
    assert download.value.suggested_filename == f"{invoice.number}.pdf"
    pdf = ARTEFACTS / "portal-invoice.pdf"
    download.value.save_as(pdf)
    assert pdf.read_bytes().startswith(b"%PDF-")

    page.get_by_role("link", name="See the events behind it (Tickets Resolved)").click()
    expect(page.get_by_role("row")).to_have_count(51)
    shoot(page, "portal-events")
    page.get_by_role("link", name="Later").click()
    page.get_by_role("link", name="Later").click()
    expect(page.get_by_role("row")).to_have_count(21)
    page.get_by_role("link", name="Earlier").click()
    expect(page.get_by_role("row")).to_have_count(51)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    path = tmp_path / "events.csv"
    download.value.save_as(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    assert sum(int(row["value"]) for row in rows) == 120
    assert "'=SUM(A1:A9)" in {row["subject"] for row in rows}

    page.get_by_role("link", name="Account").click()
    expect(page.get_by_text("GB 123 4567 89")).to_be_visible()
    shoot(page, "portal-account")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    shoot(page, "portal-signed-out")
    page.goto(link)
    expect(page.get_by_role("heading", name="This link is no longer valid")).to_be_visible()
    shoot(page, "portal-link-over")
