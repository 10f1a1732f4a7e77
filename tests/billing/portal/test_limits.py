"""The customer sees its limits with the invoice's number, and sets its own, tighter ones."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.test import Client

from billing.models import LimitSetter, UsageLimit
from billing.restricting import set_limit
from customers.models import Customer
from metering.models import Meter
from tests.factories import make_meter, send_tickets
from tests.staff import text_of

PAGE = "/portal/limits/"
OWN = {"meter": "tickets_resolved", "unit": "money", "most": "10", "kind": "soft", "remind_at": ["80"]}


def test_what_is_used_is_shown_with_a_banner_on_the_overview(anna: Client, acme: Customer) -> None:
    set_limit(acme, Meter.objects.get(), set_by=LimitSetter.STAFF, quantity=None, amount=Decimal(10))
    send_tickets(2, occurred_at="2026-11-03T10:00:00Z")
    assert "of $10.00 used" not in text_of(anna.get("/portal/"))
    send_tickets(2, first=2, occurred_at="2026-11-03T10:00:00Z")
    assert "Tickets Resolved: $8.00 of $10.00 used (80 %)." in text_of(anna.get("/portal/"))
    assert "$8.00 of $10.00" in text_of(anna.get(PAGE))


def test_a_customer_sets_changes_and_takes_away_its_own_limit(anna: Client, acme: Customer) -> None:
    assert anna.post(PAGE, OWN).status_code == 302
    own = UsageLimit.objects.get()
    assert (own.customer, own.set_by, own.amount, own.kind, own.remind_at) == (
        acme,
        "customer",
        10,
        "soft",
        [80],
    )
    assert (
        anna.post(PAGE, OWN | {"unit": "units", "most": "7", "kind": "hard", "remind_at": []}).status_code
        == 302
    )
    own.refresh_from_db()
    assert (own.quantity, own.amount, own.kind, own.remind_at) == (7, None, "hard", [])
    assert "Your own limit" in text_of(anna.get(PAGE))
    assert anna.post(PAGE, {"meter": "tickets_resolved", "remove": "1"}).status_code == 302
    assert not UsageLimit.objects.exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"most": ""}, "Write a number"),
        ({"most": "x"}, "Write a number"),
        ({"most": "NaN"}, "Write a number"),
        ({"most": "-1"}, "greater than or equal to 0"),
        ({"most": "1.005"}, "Amounts in USD have at most 2 decimals."),
        ({"most": "12"}, "Your limit is $11.00 already: you can only set a lower one."),
        ({"kind": "none"}, "not one of the available choices"),
        ({"remind_at": ["7"]}, "not one of the available choices"),
    ],
)
def test_a_wrong_limit_is_said_at_its_field_and_nothing_is_set(
    anna: Client, acme: Customer, change: dict[str, str], sentence: str
) -> None:
    set_limit(acme, Meter.objects.get(), set_by=LimitSetter.STAFF, quantity=None, amount=Decimal(11))
    answer = anna.post(PAGE, OWN | change)
    assert answer.status_code == 400
    assert sentence in text_of(answer)
    assert UsageLimit.objects.get().set_by == "staff"


def test_only_meters_of_the_own_plan_can_be_limited(anna: Client, globex: Customer) -> None:
    make_meter("secret_calls")
    assert "secret_calls" not in text_of(anna.get(PAGE))
    assert anna.post(PAGE, OWN | {"meter": "secret_calls"}).status_code == 404
    assert anna.post(PAGE, OWN | {"meter": "\x00"}).status_code == 404
    assert not UsageLimit.objects.exists()


def test_a_limit_sent_twice_is_set_once_and_taken_away_once(anna: Client, acme: Customer) -> None:
    for _ in range(2):
        assert anna.post(PAGE, OWN).status_code == 302
    own = UsageLimit.objects.get()
    assert [each.history_type for each in UsageLimit.history.all()] == ["+"]
    for _ in range(2):
        assert anna.post(PAGE, {"meter": "tickets_resolved", "remove": "1"}).status_code == 302
    assert [each.history_type for each in UsageLimit.history.filter(id=own.pk)] == ["-", "+"]


def test_units_are_named_in_the_plural_and_a_refused_form_stays_open(anna: Client, acme: Customer) -> None:
    Meter.objects.update(unit="delivery")
    text = text_of(anna.get(PAGE))
    assert ">deliveries</option>" in text
    assert "<details>" in text
    refused = anna.post(PAGE, OWN | {"most": "much"})
    assert refused.status_code == 400
    assert "<details open>" in text_of(refused)
