"""Versions, moves, simulations, examples and overrides over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from billing.closing import close_period
from billing.models import Invoice, Plan, Subscription
from billing.months import Month
from tests.factories import (
    NOW,
    TICKETS,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send_tickets,
)
from tests.integrator import Integrator


@pytest.fixture(autouse=True)
def story(db: None) -> None:
    make_meter()
    make_subscription(make_customer(), make_plan())
    send_tickets(120)
    close_period(Month(2026, 10), now=NOW, grace_days=0)


def dearer(integrator: Integrator) -> None:
    integrator.post("plans/support/versions/", {"rates": [TICKETS | {"unit_amount": "2.50"}]})


def test_a_draft_is_simulated_over_the_issued_invoices(integrator: Integrator) -> None:
    dearer(integrator)
    status, answer = Integrator("read").post(
        "plans/support/simulate/", {"first_month": "2026-10", "last_month": "2026-10"}
    )
    assert status == 200
    assert (answer["version"], answer["then"], answer["now"], answer["percent"]) == (
        2,
        "240.00",
        "300.00",
        "25.0",
    )
    assert answer["customers"][0]["worst_month"]["month"] == "2026-10"
    assert Invoice.objects.count() == 1


def test_versions_are_compared(integrator: Integrator) -> None:
    dearer(integrator)
    _, answer = integrator.get("plans/support/compare/")
    assert (answer["before"], answer["after"]) == (1, 2)
    assert answer["differences"][-1] == {
        "name": "Tickets Resolved",
        "before": "$2.00 per ticket",
        "after": "$2.50 per ticket",
        "change": "changed",
    }
    assert integrator.get("plans/support/compare/", to="9")[0] == 400


def test_a_move_shows_its_effect_first_and_then_takes_place(integrator: Integrator) -> None:
    dearer(integrator)
    integrator.post("plans/support/activate/")
    _, shown = integrator.post("plans/support/move/", {"customers": ["acme"]})
    assert shown["customers"][0] | {"moved": shown["moved"]} == {
        "customer": "acme",
        "from_version": 1,
        "moves_on": "2026-12-01",
        "before": "240.00",
        "after": "300.00",
        "lost_overrides": [],
        "problem": "",
        "moved": 0,
    }
    assert Subscription.objects.count() == 1
    assert integrator.post("plans/support/move/", {"preview": False})[1]["moved"] == 1
    assert Subscription.objects.get(plan__version=2).start_on.isoformat() == "2026-12-01"


@pytest.mark.parametrize(
    ("route", "body", "named"),
    [
        ("simulate", {"version": 9}, "version"),
        ("simulate", {"first_month": "October"}, "first_month"),
        ("simulate", {"first_month": "2026-11", "last_month": "2026-10"}, "first_month"),
        ("simulate", {"colour": "red"}, "colour"),
        ("move", {"customers": ["nobody"]}, "customers"),
        ("move", {"on": "soon"}, "on"),
    ],
)
def test_a_wrong_field_is_named(integrator: Integrator, route: str, body: Any, named: str) -> None:
    status, answer = integrator.post(f"plans/support/{route}/", body)
    assert (status, list(answer["error"]["fields"])) == (400, [named])


def test_moving_needs_manage(integrator: Integrator) -> None:
    assert Integrator("read").post("plans/support/move/", {})[0] == 403
    assert integrator.post("plans/none/simulate/", {})[0] == 404


def test_examples_are_shown_with_their_working_and_block_activation(integrator: Integrator) -> None:
    body = {
        "code": "guarded",
        "name": "Guarded",
        "rates": [TICKETS],
        "examples": [
            {
                "name": "One day",
                "usage": [{"meter": "tickets_resolved", "quantity": "4"}],
                "expected_amount": "9",
            }
        ],
    }
    _, made = integrator.post("plans/", body)
    worked = made["worked_examples"][0]
    assert (worked["amount"], worked["passes"], worked["lines"][0]["amount"]) == ("8.00", False, "8.00")
    assert made["summary"] == ["Tickets Resolved: $2.00 per ticket"]
    status, answer = integrator.post("plans/guarded/activate/")
    assert (status, list(answer["error"]["fields"])) == (409, ["examples.0"])
    right = [made["examples"][0] | {"expected_amount": "8"}]
    assert integrator.patch("plans/guarded/", {"examples": right})[0] == 200
    assert integrator.post("plans/guarded/activate/")[1]["status"] == "active"


def test_a_customer_pays_its_own_rate_and_the_difference_is_shown(integrator: Integrator) -> None:
    make_customer("beta")
    sent = {
        "customer": "beta",
        "plan": "support",
        "start_on": "2026-10-01",
        "overrides": [{"rate": 0, "terms": TICKETS | {"unit_amount": "1.25"}}],
    }
    status, made = integrator.post("subscriptions/", sent)
    assert (status, made["differences"]) == (
        201,
        [{"rate": 0, "name": "Tickets Resolved", "plan": "$2.00 per ticket", "agreed": "$1.25 per ticket"}],
    )
    assert made["overrides"][0]["terms"]["unit_amount"] == "1.25"


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"rate": 7, "terms": TICKETS}, "overrides.0.rate"),
        ({"rate": 0}, "overrides.0.terms"),
        ({"rate": 0, "terms": TICKETS | {"unit_amount": "-1"}}, "overrides.0.terms.unit_amount"),
        ({"rate": 0, "terms": TICKETS | {"meter": "calls"}}, "overrides.0.terms.meter"),
        ({"rate": 0, "terms": {"kind": "one_time", "label": "x", "amount": "1"}}, "overrides.0.terms.kind"),
        ({"rate": 0, "terms": TICKETS, "why": "x"}, "overrides.0.why"),
    ],
)
def test_a_wrong_override_is_named_and_nothing_is_written(
    integrator: Integrator, override: Any, named: str
) -> None:
    make_customer("beta")
    sent = {"customer": "beta", "plan": "support", "start_on": "2026-10-01", "overrides": [override]}
    status, answer = integrator.post("subscriptions/", sent)
    assert (status, list(answer["error"]["fields"])) == (400, [named])
    assert Subscription.objects.count() == 1


def test_a_plan_minimum_that_is_no_amount_is_named(integrator: Integrator) -> None:
    for field, value in [
        ("minimum_amount", "-1"),
        ("service_fee_percent", "101"),
        ("included_spend", "0.001"),
    ]:
        status, answer = integrator.post("plans/", {"name": "X", "rates": [TICKETS], field: value})
        assert (status, list(answer["error"]["fields"])) == (400, [field])
    status, answer = integrator.post(
        "plans/", {"name": "X", "billing_period": "weekly", "usage_period": "monthly"}
    )
    assert (status, list(answer["error"]["fields"])) == (400, ["usage_period"])
    assert Plan.objects.count() == 1
