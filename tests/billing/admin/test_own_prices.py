"""What one customer pays in place of the plan: agreed from a day, shown beside the plan, billed."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.closing import close_period
from billing.models import Invoice, Subscription
from billing.months import Month
from tests.factories import NOW, make_subscription, send_tickets
from tests.forms import form_of
from tests.staff import messages_of, sign_in, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(time_machine: Any) -> Client:
    time_machine.move_to(NOW, tick=False)
    return sign_in()


@pytest.fixture
def subscription(staff: Client) -> Subscription:
    return make_subscription()


def page_of(subscription: Subscription) -> str:
    rate = subscription.plan.rates.get()
    return reverse(
        "admin:customers_customer_price", args=[subscription.customer_id, subscription.pk, rate.pk]
    )


def agree(staff: Client, subscription: Subscription, **fields: Any) -> Any:
    page = page_of(subscription)
    return staff.post(page, form_of(staff.get(page), "rate_form") | fields, follow=True)


def test_a_price_agreed_before_the_first_invoice_holds_from_the_first_day(
    staff: Client, subscription: Subscription
) -> None:
    send_tickets(10)
    answer = agree(staff, subscription, unit_amount="1.50")
    assert "Tickets Resolved: $1.50 per ticket, from 1 October 2026." in messages_of(answer)
    assert "$2.00 per ticket" in text_of(answer)  # the plan's, beside it
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    assert (Invoice.objects.get().total, Subscription.objects.count()) == (15, 1)
    customer = staff.get(reverse("admin:customers_customer_change", args=[subscription.customer_id]))
    assert "$1.50 per ticket <s" in text_of(customer)


def test_a_price_agreed_later_leaves_what_is_invoiced(staff: Client, subscription: Subscription) -> None:
    send_tickets(10)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    assert "invoiced already" in messages_of(agree(staff, subscription, unit_amount="1.50", on="2026-10-01"))
    assert "invoiced already" in messages_of(agree(staff, subscription, unit_amount="1.50", on="2026-10-20"))
    assert Subscription.objects.get().overrides == {}
    agree(staff, subscription, unit_amount="1.50")  # offered: the day the running period ends
    first, second = Subscription.objects.order_by("start_on")
    assert (str(first.end_on), str(second.start_on), second.moved_from) == ("2026-12-01", "2026-12-01", first)
    assert next(iter(second.overrides.values()))["unit_amount"] == "1.50"
    assert Invoice.objects.get().total == 20


def test_a_customer_goes_back_to_the_price_of_the_plan(staff: Client, subscription: Subscription) -> None:
    agree(staff, subscription, unit_amount="1.50")
    assert "as in the plan" in messages_of(agree(staff, subscription, _remove="1"))
    assert Subscription.objects.get().overrides == {}


@pytest.mark.parametrize(
    "fields",
    [{"unit_amount": "-1"}, {"unit_amount": "1", "on": "soon"}, {"on": "2026-09-30", "unit_amount": "1"}],
)
def test_a_bad_own_price_is_refused(
    staff: Client, subscription: Subscription, fields: dict[str, str]
) -> None:
    assert agree(staff, subscription, **fields).status_code == 200
    assert Subscription.objects.get().overrides == {}


def test_the_preview_of_an_own_price_writes_nothing(staff: Client, subscription: Subscription) -> None:
    page = page_of(subscription)
    sent = form_of(staff.get(page), "rate_form") | {"unit_amount": "1.50", "preview_quantity": "10"}
    assert staff.post(f"{page}preview/", sent).context["preview"]["amount"] == "$15.00"
    assert Subscription.objects.get().overrides == {}
    assert sign_in("Read only").post(f"{page}preview/", sent).status_code == 403
