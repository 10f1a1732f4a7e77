"""Assigning plans over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from billing.models import Subscription
from billing.pricing import create_plan
from tests.factories import TICKETS, make_customer, make_meter, make_plan
from tests.integrator import Integrator

SUBSCRIPTION = {"customer": "acme", "plan": "support", "start_on": "2026-10-01"}


@pytest.fixture(autouse=True)
def story(db: None) -> None:
    make_meter()
    make_plan()
    make_customer(timezone="Europe/Berlin")


def test_a_plan_is_assigned_from_a_date(integrator: Integrator) -> None:
    status, made = integrator.post("subscriptions/", SUBSCRIPTION)
    assert status == 201
    assert made == {
        "id": Subscription.objects.get().pk,
        "customer": "acme",
        "plan": "support",
        "plan_version": 1,
        "start_on": "2026-10-01",
        "end_on": None,
        "anchor": "calendar",
        "quantity": 1,
        "trial_usage_free": False,
        "trial_end_on": None,
        "continues": None,
        "overrides": [],
        "differences": [],
        "timezone": "Europe/Berlin",
        "created_at": made["created_at"],
    }
    assert integrator.get(f"subscriptions/{made['id']}/") == (200, made)
    assert integrator.get("subscriptions/", customer="acme", plan="support")[1]["results"] == [made]
    assert integrator.get("subscriptions/", customer="other")[1]["results"] == []


def test_all_fields_of_the_contract_are_taken(integrator: Integrator) -> None:
    sent = SUBSCRIPTION | {"anchor": "anniversary", "end_on": "2027-01-15", "overrides": {}}
    status, made = integrator.post("subscriptions/", sent)
    assert (status, made["anchor"], made["end_on"]) == (201, "anniversary", "2027-01-15")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"customer": "nobody"}, "customer"),
        ({"customer": {}}, "customer"),
        ({"plan": "none"}, "plan"),
        ({"plan": []}, "plan"),
        ({"start_on": "2026-02-30"}, "start_on"),
        ({"start_on": "9999-12-31"}, "start_on"),
        ({"start_on": "0001-01-01"}, "start_on"),
        ({"start_on": None}, "start_on"),
        ({"end_on": "2026-10-01"}, "end_on"),
        ({"anchor": "moon"}, "anchor"),
        ({"overrides": {"unit_amount": "1"}}, "overrides"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_refused_by_name(integrator: Integrator, change: dict[str, Any], named: str) -> None:
    status, answer = integrator.post("subscriptions/", SUBSCRIPTION | change)
    assert status == 400
    assert list(answer["error"]["fields"]) == [named]
    assert Subscription.objects.count() == 0


def test_a_plan_that_is_not_active_is_a_conflict(integrator: Integrator) -> None:
    create_plan(code="draft", name="Draft", currency="USD", billing_period="monthly", rates=[TICKETS])
    status, answer = integrator.post("subscriptions/", SUBSCRIPTION | {"plan": "draft"})
    assert (status, answer["error"]["code"], list(answer["error"]["fields"])) == (
        409,
        "plan_not_active",
        ["plan"],
    )


def test_two_plans_for_the_same_days_are_a_conflict(integrator: Integrator) -> None:
    integrator.post("subscriptions/", SUBSCRIPTION)
    status, answer = integrator.post("subscriptions/", SUBSCRIPTION | {"start_on": "2026-11-01"})
    assert (status, answer["error"]["code"]) == (409, "subscription_overlap")
    assert Subscription.objects.count() == 1


def test_a_subscription_is_ended_but_not_rewritten(integrator: Integrator) -> None:
    route = f"subscriptions/{integrator.post('subscriptions/', SUBSCRIPTION)[1]['id']}/"
    assert integrator.patch(route, {"end_on": "2026-12-01"})[1]["end_on"] == "2026-12-01"
    status, answer = integrator.patch(route, {"end_on": "2026-09-01"})
    assert (status, list(answer["error"]["fields"])) == (400, ["end_on"])
    status, answer = integrator.patch(route, {"start_on": "2026-09-01", "plan": "other"})
    assert (status, set(answer["error"]["fields"])) == (400, {"start_on", "plan"})
    assert integrator.patch(route, {"end_on": None})[0] == 400


def test_an_end_is_not_moved_into_the_next_subscription(integrator: Integrator) -> None:
    _, first = integrator.post("subscriptions/", SUBSCRIPTION | {"end_on": "2026-11-01"})
    integrator.post("subscriptions/", SUBSCRIPTION | {"start_on": "2026-11-01"})
    status, answer = integrator.patch(f"subscriptions/{first['id']}/", {"end_on": "2026-12-01"})
    assert (status, answer["error"]["code"]) == (409, "subscription_overlap")


def test_a_customer_with_a_plan_keeps_its_zone(integrator: Integrator) -> None:
    integrator.post("subscriptions/", SUBSCRIPTION)
    status, answer = integrator.patch("customers/acme/", {"timezone": "UTC"})
    assert (status, answer["error"]["code"], list(answer["error"]["fields"])) == (
        409,
        "customer_fixed",
        ["timezone"],
    )
    assert integrator.get("customers/acme/")[1]["timezone"] == "Europe/Berlin"
    assert integrator.patch("customers/acme/", {"name": "Acme Ltd."})[0] == 200


def test_the_list_takes_the_same_queries_whatever_its_length(
    integrator: Integrator, django_assert_num_queries: Any
) -> None:
    for n in range(10):
        make_customer(f"c{n}")
        integrator.post("subscriptions/", SUBSCRIPTION | {"customer": f"c{n}"})
    with django_assert_num_queries(5):
        integrator.get("subscriptions/")
