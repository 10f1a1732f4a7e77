"""Money as a clerk handles it: payment, credit note, balance into credits, regular credits, a bill with a coupon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from billing.models import CreditGrant, Invoice, RecurringGrant
from billing.one_off import Item, create_one_off
from tests.billing.money import give
from tests.browser.conftest import Shoot
from tests.browser.test_staff_path import sign_in
from tests.factories import make_customer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_invoice_is_paid_credited_and_its_balance_moved_to_the_credits(page: Page, shoot: Shoot) -> None:
    acme = make_customer("acme", name="Acme Outdoor Gear")
    earlier = datetime.now(UTC) - timedelta(days=2)
    invoice = create_one_off(acme, [Item("Consulting", Decimal(1), Decimal("100.00"))], now=earlier)
    sign_in(page, "Billing admin")

    def offered(name: str) -> int:
        return page.get_by_role("link", name=name, exact=True).count()

    page.goto(f"/admin/billing/invoice/{invoice.pk}/change/")
    assert (offered("Write off…"), offered("Move to credits…"), offered("Record a refund…")) == (1, 0, 0)
    page.get_by_role("link", name="Record a payment…").click()
    page.get_by_label("Reference").fill("B 4711")
    page.get_by_role("button", name="Record the payment").dblclick()
    expect(page.get_by_text("A payment of $100.00 is recorded.")).to_be_visible()
    assert (offered("Write off…"), offered("Void…"), offered("Credit note…")) == (0, 0, 1)

    # A credit note in three clicks: the button, the effect, the issue.
    page.get_by_role("link", name="Credit note…").click()
    page.get_by_label("An amount").check()
    page.get_by_label("Amount (USD)").fill("30.00")
    page.get_by_label("Reason").fill("Goodwill")
    page.get_by_role("button", name="Show the effect").click()
    expect(page.get_by_text("Credit balance after it")).to_be_visible()
    shoot(page, "staff-credit-note")
    page.get_by_role("button", name="Issue the credit note").click()
    expect(page.get_by_text("is issued.")).to_be_visible()

    page.goto(f"/admin/customers/customer/{acme.pk}/money/")
    page.get_by_role("link", name="Move to credits…").click()
    shoot(page, "staff-move-balance")
    page.get_by_role("button", name="Move it").click()
    expect(page.get_by_text("$30.00 is a credit of Acme Outdoor Gear now.")).to_be_visible()
    assert (offered("Move to credits…"), offered("Record a refund…")) == (0, 0)
    assert CreditGrant.objects.get().balance == 30


def test_a_customer_is_granted_credits_regularly_and_billed_once_with_a_coupon(
    page: Page, shoot: Shoot
) -> None:
    acme = make_customer("acme", name="Acme Outdoor Gear")
    give(acme, "10%", duration="once")
    sign_in(page, "Billing clerk")
    page.goto(f"/admin/customers/customer/{acme.pk}/money/")
    page.get_by_role("link", name="Grant regularly").click()
    page.get_by_label("Amount").fill("50.00")
    page.get_by_label("Rolls over at most").fill("20.00")
    page.get_by_role("button", name="Grant regularly").dblclick()  # as many people do: it is done once
    expect(page.get_by_text("up to $20.00 roll over")).to_be_visible()
    shoot(page, "staff-customer-money")

    page.goto(f"/admin/billing/invoice/one-off/?customer={acme.pk}")
    page.locator("[name=items-0-description]").fill("Consulting")
    page.locator("[name=items-0-unit_amount]").fill("100")
    page.get_by_label("Use the customer's coupons").check()
    page.get_by_role("button", name="Show the invoice").click()
    expect(page.get_by_text("To pay")).to_be_visible()
    shoot(page, "staff-one-off")
    assert not Invoice.objects.exists()
    page.get_by_role("button", name="Issue the invoice").click()
    expect(page.get_by_text("INV-").first).to_be_visible()
    invoice = Invoice.objects.get()
    assert (invoice.total, invoice.credits_applied, invoice.amount_due) == (90, 50, 40)

    page.goto(f"/admin/customers/customer/{acme.pk}/money/")
    page.get_by_role("link", name="Stop…").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_text("is granted no more.")).to_be_visible()
    assert RecurringGrant.objects.get().stopped_at is not None
