"""The account page says what the customer pays, in the words of the plan and with what was agreed."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.test import Client
from django.urls import reverse

from billing.models import Plan
from billing.subscribing import subscribe
from customers.models import Customer
from tests.factories import TICKETS
from tests.staff import text_of


def test_the_prices_are_said_in_the_words_of_the_plan(
    anna: Client, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(9):
        shown = text_of(anna.get(reverse("portal:account")))
    assert "Your prices: Support Outcome Plan" in shown
    assert "<dt>Tickets Resolved</dt><dd>$2.00 per ticket</dd>" in shown


def test_an_own_price_stands_in_place_of_the_plans(plan: Plan, sign_in: Any) -> None:
    customer = Customer.objects.create(code="zeta", name="Zeta")
    own = [{"rate": 0, "terms": TICKETS | {"unit_amount": "1.50"}}]
    subscribe(customer, plan=plan, start_on=date(2026, 12, 1), overrides=own)
    shown = text_of(sign_in(customer).get(reverse("portal:account")))
    assert "Your prices: Support Outcome Plan, from 1 December 2026" in shown
    assert "$1.50 per ticket" in shown
    assert "$2.00" not in shown
