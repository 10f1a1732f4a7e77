"""A dispute as people walk it: the customer ticks and asks, staff look and answer, the customer reads the answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from billing.closing import close_period
from billing.cost_rates import Validity, add_cost_rate
from billing.models import CreditNote, Invoice
from billing.months import Month
from customers.models import Customer
from customers.portal_access import create_portal_access, portal_link
from metering.models import Workload
from metering.periods import local_day
from tests.browser.conftest import Shoot
from tests.browser.test_portal_path import months_back
from tests.browser.test_staff_path import sign_in
from tests.factories import event, make_customer, make_meter, make_subscription, send

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def acme() -> Customer:
    """60 tickets of last month at $2.00, each with calls before it, invoiced now."""
    now = datetime.now(UTC)
    last = months_back(local_day(now, "UTC"), 1)
    make_meter(once_per_subject="ever")
    make_meter("api_calls", label="API calls", unit="call")
    Workload.objects.create(code="bot", name="Support bot")
    add_cost_rate({"meter": "api_calls", "model": "per_unit", "unit_amount": "0.25"}, Validity())
    acme = make_customer(name="Acme Robotics Ltd.", email="accounts@acme.example")
    make_subscription(acme, start_on=last.first)
    day = f"{last.year}-{last.month:02}"
    send(
        *(
            event(f"evt-{n:02}", subject=f"ticket-{4000 + n}", occurred_at=f"{day}-{1 + n % 27:02}T10:30:00Z")
            for n in range(60)
        ),
        *(
            event(
                f"call-{n:02}-{part}",
                meter="api_calls",
                workload="bot",
                subject=f"ticket-{4000 + n}",
                occurred_at=f"{day}-{1 + n % 27:02}T10:{10 + part}:00Z",
            )
            for n in range(60)
            for part in range(3)
        ),
        now=now,
    )
    close_period(Month(last.year, last.month), now=now, grace_days=0)
    return acme


def test_a_dispute_from_the_portal_to_the_admin_and_back(
    page: Page, open_page: Any, live_server: Any, shoot: Shoot, acme: Customer
) -> None:
    invoice = Invoice.objects.get()
    page.goto(portal_link(create_portal_access(acme, "anna@acme.example"), live_server.url))
    page.get_by_role("button", name="Continue").click()
    page.goto(f"/portal/invoices/{invoice.number}/")
    page.get_by_role("link", name="See the events behind it (Tickets Resolved)").click()
    expect(page.get_by_role("checkbox")).to_have_count(50)
    for number in (4000, 4027, 4054, 4001):  # the first days
        page.get_by_role("checkbox", name=f"Dispute ticket-{number}").check()
    shoot(page, "portal-outcomes")
    page.get_by_role("button", name="Dispute the ticked ones").click()
    expect(page.get_by_role("heading", name="Dispute 4 outcomes")).to_be_visible()
    page.get_by_label("Why should they not be billed?").fill("These customers wrote again the same day.")
    shoot(page, "portal-dispute-new")
    page.get_by_role("button", name="Send the dispute").click()
    expect(page.get_by_text("We answer here and by mail.")).to_be_visible()
    dispute_page = page.url

    staff = open_page()
    sign_in(staff)
    staff.get_by_role("link", name="Disputes").click()
    expect(staff.get_by_role("link", name="D-")).to_be_visible()
    shoot(staff, "staff-disputes")
    staff.get_by_role("link", name="D-").click()
    expect(staff.get_by_role("heading", name="If 4 of them are accepted")).to_be_visible()
    staff.get_by_role("checkbox", name="Accept ticket-4001").uncheck()
    staff.get_by_role("button", name="Show the effect of the ticked ones").click()
    expect(staff.get_by_text("-$6.00").first).to_be_visible()
    staff.get_by_label("Answer").fill("Three came back the same day. Ticket 4001 did not.")
    staff.get_by_text("5 steps").first.click()
    shoot(staff, "staff-dispute")
    staff.get_by_role("button", name="Accept 3, decline 1").click()
    expect(staff.get_by_text("3 accepted, 1 declined").first).to_be_visible()
    shoot(staff, "staff-dispute-decided")
    staff.get_by_role("link", name="ticket-4000").first.click()
    expect(staff.get_by_role("heading", name="What it earned and cost")).to_be_visible()
    shoot(staff, "staff-subject")
    staff.goto("/admin/billing/outcome/")
    shoot(staff, "staff-outcomes")

    note = CreditNote.objects.get()
    assert note.total == 6
    page.goto(dispute_page)
    expect(page.get_by_text("Three came back the same day. Ticket 4001 did not.")).to_be_visible()
    shoot(page, "portal-dispute")
    page.get_by_role("link", name="ticket-4000").click()
    expect(page.get_by_role("heading", name="ticket-4000")).to_be_visible()
    shoot(page, "portal-subject")
    page.goto(dispute_page)
    page.get_by_role("link", name=f"Credit note {note.number}").click()
    expect(page.get_by_text("$6.00").first).to_be_visible()
    page.goto(f"/portal/invoices/{invoice.number}/")
    shoot(page, "portal-invoice-disputed")
    with page.expect_download() as download:
        page.get_by_role("link", name="Evidence as CSV").click()
    assert download.value.suggested_filename == f"{invoice.number}-evidence.csv"
