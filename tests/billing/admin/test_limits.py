"""Staff set limits in units or in money, see what is used, and leave a customer's own alone."""

from __future__ import annotations

import csv
from decimal import Decimal

import pytest
import time_machine
from django.urls import reverse

from billing.models import LimitSetter, UsageLimit
from billing.restricting import set_limit
from metering.models import Meter
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.staff import sign_in, text_of

pytestmark = pytest.mark.django_db
ADD = "admin:billing_usagelimit_add"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Give the limit in units or in money, one of the two."),
        ({"quantity": "1", "amount": "1"}, "Give the limit in units or in money, one of the two."),
        ({"amount": "-1"}, "A limit is 0 or more."),
        ({"amount": "1.005"}, "Amounts in USD have at most 2 decimals."),
        ({"quantity": "1", "remind_at": "50, x"}, "“x” is no whole percentage"),
        ({"quantity": "1", "remind_at": "50, 50"}, "A percentage is named twice."),
    ],
)
def test_a_wrong_limit_is_said_and_not_written(fields: dict[str, str], sentence: str) -> None:
    customer = make_subscription().customer
    sent = {
        "customer": customer.pk,
        "meter": Meter.objects.get().pk,
        "kind": "hard",
        "remind_at": "50",
    } | fields
    assert sentence in text_of(sign_in("Billing clerk").post(reverse(ADD), sent))
    assert not UsageLimit.objects.exists()


@time_machine.travel(NOW, tick=False)
def test_the_list_shows_what_is_used_and_a_customers_own_limit_can_only_be_taken_away() -> None:
    customer, clerk = make_subscription().customer, sign_in("Billing clerk")
    sent = {
        "customer": customer.pk,
        "meter": Meter.objects.get().pk,
        "kind": "soft",
        "amount": "20",
        "remind_at": "50, 90 %",
    }
    assert clerk.post(reverse(ADD), sent).status_code == 302
    assert UsageLimit.objects.get().remind_at == [50, 90]
    own = set_limit(
        customer, Meter.objects.get(), set_by=LimitSetter.CUSTOMER, quantity=Decimal(8), amount=None
    )
    send_tickets(6, occurred_at="2026-11-03T10:00:00Z")
    page = text_of(clerk.get(reverse("admin:billing_usagelimit_changelist")))
    assert "$12.00 (60 %)" in page
    assert "6 tickets (75 %)" in page
    change = reverse("admin:billing_usagelimit_change", args=[own.pk])
    assert clerk.post(change, {"quantity": "99", "kind": "hard", "remind_at": ""}).status_code == 403
    own.refresh_from_db()
    assert own.quantity == 8
    assert (
        clerk.post(reverse("admin:billing_usagelimit_delete", args=[own.pk]), {"post": "yes"}).status_code
        == 302
    )
    assert UsageLimit.objects.get().set_by == "staff"


@time_machine.travel(NOW, tick=False)
def test_the_file_has_the_limits_of_the_list_with_exact_figures_and_runs_no_formula() -> None:
    customer = make_subscription(make_customer(name="=SUM(A1)")).customer
    meter = Meter.objects.get()
    set_limit(customer, meter, set_by=LimitSetter.STAFF, quantity=None, amount=Decimal(20), kind="soft")
    set_limit(
        customer, meter, set_by=LimitSetter.CUSTOMER, quantity=Decimal("7.5"), amount=None, remind_at=[90]
    )
    send_tickets(6, occurred_at="2026-11-03T10:00:00Z")
    reader = sign_in("Read only")
    answer = reader.get(reverse("admin:billing_usagelimit_export"))
    head, *rows = csv.reader(answer.getvalue().decode().splitlines())
    assert head[:5] == ["customer_code", "customer", "meter", "set_by", "at_the_limit"]
    both = [
        ["acme", "'=SUM(A1)", "tickets_resolved", "staff", "soft", "USD", "20.00", "12.00", "0.00", "8.00", "60",
         "2026-12-01T00:00:00Z", "50, 80, 100"],
        ["acme", "'=SUM(A1)", "tickets_resolved", "customer", "hard", "ticket", "7.5", "6", "0", "1.5", "80",
         "2026-12-01T00:00:00Z", "90"],
    ]  # fmt: skip
    assert rows == both
    answer = reader.get(reverse("admin:billing_usagelimit_export"), {"kind__exact": "hard"})
    assert list(csv.reader(answer.getvalue().decode().splitlines()))[1:] == both[1:]
    assert reader.get(reverse("admin:billing_usagelimit_export"), {"colour": "red"}).status_code == 302


def test_a_new_limit_offers_the_usual_reminders() -> None:
    assert 'value="50, 80, 100"' in text_of(sign_in("Billing clerk").get(reverse(ADD)))
