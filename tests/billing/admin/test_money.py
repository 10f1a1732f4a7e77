"""Credits, coupons and tax in the admin, as a clerk does it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from billing.alerting import send_alerts, set_alert
from billing.closing import close_period
from billing.mailing import send_notices
from billing.models import (
    Coupon,
    CreditEntry,
    CreditGrant,
    CustomerCoupon,
    Invoice,
    RecurringGrant,
    TaxRate,
    TaxSetup,
)
from billing.months import Month
from customers.models import Customer
from tests.billing.money import credit, give, tax
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.staff import messages_of, sign_in

pytestmark = pytest.mark.django_db
FIRST = {
    "amount": "50.00", "currency": "USD", "kind": "promotional", "name": "Welcome", "reference": "", "expires_on": "",
    "effective_on": "", "priority": "50", "rollover_limit": "", "rollover_days": "",
}  # fmt: skip


@pytest.fixture
def clerk() -> Client:
    return sign_in("Billing clerk")


def page(name: str, *arguments: object) -> str:
    return reverse(f"admin:{name}", args=arguments)


def text(answer: object) -> str:
    return " ".join(answer.content.decode().split())


def test_a_clerk_grants_a_credit_and_sees_the_ledger(clerk: Client) -> None:
    customer = make_customer(timezone="America/New_York")
    with time_machine.travel(NOW, tick=False):
        answer = clerk.post(
            page("customers_customer_grant", customer.pk), FIRST | {"expires_on": "2026-12-31"}, follow=True
        )
    grant = CreditGrant.objects.get()
    assert (grant.balance, grant.granted_by) == (50, "billing-clerk")
    assert grant.expires_at.isoformat() == "2027-01-01T05:00:00+00:00"  # the end of the 31st in New York
    assert "$50.00 is granted" in text(answer)
    assert "+$50.00" in text(answer)
    shown = text(clerk.get(page("customers_customer_change", customer.pk)))
    assert "Credit balance, USD" in shown


def test_a_grant_sent_twice_is_granted_once(clerk: Client) -> None:
    """A double click, or back and again. Other content under the same form is asked about, never dropped."""
    customer = make_customer()
    grant = page("customers_customer_grant", customer.pk)
    sent = FIRST | {"key": clerk.get(grant).context["form"]["key"].value()}
    answers = [clerk.post(grant, sent, follow=True) for _ in range(2)]
    assert ["$50.00 is granted" in text(answer) for answer in answers] == [True, True]
    assert [each.amount for each in CreditGrant.objects.all()] == [50]
    assert LogEntry.objects.count() == 1
    other = clerk.post(grant, sent | {"amount": "20.00"})
    assert "This form was sent before, and what it said then is granted." in text(other)
    assert CreditGrant.objects.count() == 1
    clerk.post(grant, sent | {"amount": "20.00", "key": other.context["form"]["key"].value()})
    assert sorted(each.amount for each in CreditGrant.objects.all()) == [20, 50]


def test_a_refused_grant_can_be_corrected_under_its_key(clerk: Client) -> None:
    grant = page("customers_customer_grant", make_customer().pk)
    sent = FIRST | {"key": "k"}
    assert "USD has 2 decimals" in text(clerk.post(grant, sent | {"amount": "1.005"}))
    clerk.post(grant, sent)
    assert CreditGrant.objects.get().amount == 50


@time_machine.travel(NOW, tick=False)
def test_a_recurring_grant_sent_twice_is_set_up_once() -> None:
    clerk = sign_in("Billing clerk")
    regular = page("customers_customer_recurring", make_customer().pk)
    sent = {
        "amount": "5.00", "currency": "USD", "interval": "month", "start_on": "2026-11-01", "name": "Monthly credit",
        "kind": "promotional", "priority": "50", "key": clerk.get(regular).context["form"]["key"].value(),
    }  # fmt: skip
    for _ in range(2):
        answer = clerk.post(regular, sent, follow=True)
        assert messages_of(answer) == "$5.00 every month is granted from 1 November 2026 on."
    assert (RecurringGrant.objects.count(), CreditGrant.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amount": "0"}, "Give an amount above 0."),
        ({"amount": "1.005"}, "USD has 2 decimals"),
        ({"expires_on": "2020-01-01"}, "would have expired before it can be used"),
        ({"rollover_limit": "5"}, "Only what expires rolls over"),
    ],
)
def test_a_credit_that_makes_no_sense_is_explained_at_its_field(
    clerk: Client, change: dict[str, str], words: str
) -> None:
    customer = make_customer()
    assert words in text(clerk.post(page("customers_customer_grant", customer.pk), FIRST | change))
    assert not CreditGrant.objects.exists()


def test_a_credit_is_voided_with_a_reason_after_a_question(clerk: Client) -> None:
    grant = credit(make_customer(), "50")
    void = page("customers_customer_grant_void", grant.customer_id, grant.pk)
    assert "cannot be undone" in text(clerk.get(void))
    assert "This field is required" in text(clerk.post(void, {"reason": ""}))
    assert CreditEntry.objects.count() == 1
    assert "Given twice" in text(clerk.post(void, {"reason": "Given twice"}, follow=True))
    grant.refresh_from_db()
    assert (grant.balance, grant.void_reason) == (0, "Given twice")
    assert "Nothing is left" in text(clerk.post(void, {"reason": "again"})) or "voided already" in text(
        clerk.post(void, {"reason": "again"})
    )


def test_a_coupon_is_given_and_taken_away_on_the_customers_page(clerk: Client) -> None:
    customer = make_customer()
    held = give(make_customer("other"), "10%", code="ten", name="Ten off")
    choose = page("customers_customer_coupon", customer.pk)
    assert "Ten off (ten)" in text(clerk.get(choose))
    clerk.post(choose, {"coupon": held.coupon_id, "start_on": "2026-10-01"})
    mine = CustomerCoupon.objects.get(customer=customer)
    assert mine.given_by == "billing-clerk"
    assert "There is no coupon to give" in text(clerk.get(choose))
    clerk.post(page("customers_customer_coupon_remove", customer.pk, mine.pk))
    mine.refresh_from_db()
    assert mine.removed_by == "billing-clerk"


COUPON = {
    "name": "Ten off", "code": "", "kind": "percent", "value": "10", "currency": "", "duration": "once",
    "invoices": "", "valid_from": "", "valid_until": "", "max_redemptions": "",
}  # fmt: skip


def test_a_billing_admin_makes_a_coupon_and_errors_stand_at_their_fields() -> None:
    staff = sign_in("Billing admin")
    add = page("billing_coupon_add")
    assert "above 0, up to 100" in text(staff.post(add, COUPON | {"value": "101"}))
    assert "needs a currency" in text(staff.post(add, COUPON | {"kind": "fixed"}))
    assert not Coupon.objects.exists()
    staff.post(add, COUPON)
    coupon = Coupon.objects.get()
    assert (coupon.code, coupon.value, coupon.limit) == ("ten_off", 10, 1)
    change = page("billing_coupon_change", coupon.pk)
    staff.post(change, COUPON | {"value": "15", "max_redemptions": "3"})
    coupon.refresh_from_db()
    assert (coupon.value, coupon.max_redemptions) == (15, 3)
    give_to = make_customer()
    staff.post(page("customers_customer_coupon", give_to.pk), {"coupon": coupon.pk, "start_on": "2026-10-01"})
    assert "1 customer holds it" in text(staff.get(change))
    staff.post(change, {"valid_from": "", "valid_until": "", "max_redemptions": "4", "value": "50"})
    coupon.refresh_from_db()
    assert (coupon.value, coupon.max_redemptions) == (15, 4)
    staff.post(page("billing_coupon_archive", coupon.pk))
    staff.get(page("billing_coupon_changelist"))  # says that it was archived
    assert "Ten off" not in text(staff.get(page("billing_coupon_changelist")))


def test_tax_is_set_up_from_common_rates_and_rates_can_be_added() -> None:
    staff = sign_in("Billing admin")
    setup = page("billing_taxrate_setup")
    assert "VAT 19 %, VAT 7 % reduced" in text(staff.get(setup))
    sent = {
        "seller_country": "DE",
        "reverse_charge_sentence": "Steuerschuldnerschaft",
        "countries": ["DE", "CA"],
    }
    staff.post(setup, sent)
    staff.post(setup, sent)
    assert TaxSetup.objects.get().seller_country == "DE"
    assert TaxRate.objects.filter(country="DE").count() == 2
    assert TaxRate.objects.filter(country="CA", on_top=True).count() == 4
    add = page("billing_taxrate_add")
    rate = {
        "country": "DE", "region": "", "category": "standard", "name": "VAT", "percent": "20",
        "valid_from": "2027-01-01", "valid_until": "", "source": "",
    }  # fmt: skip
    assert "End that one first" in text(staff.post(add, rate))
    staff.post(add, rate | {"country": "LI", "percent": "8.1"})
    assert TaxRate.objects.get(country="LI").percent == Decimal("8.1")


def test_a_customer_gets_a_country_and_a_tax_id_that_is_checked(clerk: Client) -> None:
    customer = make_customer()
    sent = {
        "name": "Acme", "email": "", "timezone": "UTC", "currency": "USD", "address": "", "country": "DE", "region": "",
        "tax_id": "DE1", "tax_treatment": "standard", "tax_exempt_reason": "", "payment_days": "",
        "locale": customer.locale,
    }  # fmt: skip
    change = page("customers_customer_change", customer.pk)
    assert "Write it like DE123456789" in text(clerk.post(change, sent))
    clerk.post(change, sent | {"tax_id": "DE136695976"})
    assert Customer.objects.get().tax_id == "DE136695976"


def test_preview_and_invoice_show_how_discount_tax_and_credit_make_what_is_to_pay(clerk: Client) -> None:
    subscription = make_subscription(make_customer(country="DE"))
    customer = subscription.customer
    tax("DE", "19")
    give(customer, "10%", name="Ten off")
    credit(customer, "1.42", name="Welcome")
    send_tickets(10)
    wanted = (
        "Ten off",
        "-$2.00",
        "VAT 19 %",
        "on $18.00",
        "$3.42",
        "$21.42",
        "Credit: Welcome",
        "-$1.42",
        "$20.00",
    )
    with time_machine.travel(NOW, tick=False):
        preview = clerk.get(page("customers_customer_preview", customer.pk), {"period": "2026-10-01"})
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    invoice = clerk.get(page("billing_invoice_change", Invoice.objects.get().pk))
    for each in wanted:
        assert each in text(invoice), each
        assert each in text(preview), each


def test_a_customer_is_told_once_that_its_credits_run_low(
    clerk: Client, mailoutbox: list[object], django_assert_num_queries: object
) -> None:
    customer = make_customer(email="billing@acme.example")
    clerk.post(page("customers_customer_credit_alert", customer.pk), {"threshold": "20.00"})
    again = clerk.get(page("customers_customer_credit_alert", customer.pk))
    assert again.context["form"]["threshold"].value() == "20.00"
    grant = credit(customer, "50")
    assert send_alerts(now=NOW) == 0
    clerk.post(page("customers_customer_grant_void", customer.pk, grant.pk), {"reason": "Mistake"})
    assert (send_alerts(now=NOW), send_alerts(now=NOW)) == (1, 0)
    assert send_notices(now=NOW) == 1
    mail = mailoutbox[0]
    assert mail.to == ["billing@acme.example"]
    assert "$0.00" in mail.body
    assert "$20.00" in mail.body
    assert "below $20.00" in text(clerk.get(page("customers_customer_change", customer.pk)))
    credit(customer, "20")
    assert send_alerts(now=NOW) == 0
    void = CreditGrant.objects.order_by("-id")[0]
    clerk.post(page("customers_customer_grant_void", customer.pk, void.pk), {"reason": "Mistake"})
    assert send_alerts(now=NOW) == 1
    set_alert(customer, currency="USD", threshold=None)
    assert send_alerts(now=NOW) == 0


@time_machine.travel(NOW, tick=False)
def test_a_credit_is_granted_regularly_shown_and_stopped() -> None:
    clerk = sign_in("Billing clerk")
    customer = make_customer()
    sent = {
        "amount": "50.00", "currency": "USD", "interval": "month", "start_on": "2026-11-01", "name": "Monthly credit",
        "kind": "promotional", "expires": "on", "rollover_limit": "20.00", "priority": "50",
    }  # fmt: skip
    wrong = clerk.post(page("customers_customer_recurring", customer.pk), sent | {"start_on": "2026-10-01"})
    assert list(wrong.context["form"].errors) == ["start_on"]
    clerk.post(page("customers_customer_recurring", customer.pk), sent)
    row = RecurringGrant.objects.get()
    assert (row.amount, row.rollover_limit, row.next_on) == (50, 20, date(2026, 12, 1))
    shown = clerk.get(page("customers_customer_money", customer.pk)).content.decode()
    assert "up to $20.00 roll over" in shown
    assert "1 Dec 2026" in shown
    stop = page("customers_customer_recurring_stop", customer.pk, row.pk)
    assert "$50.00 every month" in clerk.get(stop).content.decode()
    clerk.post(stop)
    row.refresh_from_db()
    assert (row.stopped_by, CreditGrant.objects.count()) == ("billing-clerk", 1)
    assert clerk.get(stop).status_code == 404
