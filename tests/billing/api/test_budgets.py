"""Budgets over HTTP: made, read with where they stand, changed, deleted, refused at the field."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.budgeting import check_budgets
from billing.models import Budget
from metering.models import Workload
from tests.billing.test_budgets import bot, calls
from tests.factories import NOW
from tests.integrator import Integrator

__all__ = ["bot"]
pytestmark = pytest.mark.django_db
BODY: dict[str, Any] = {
    "name": "Bot", "measure": "cost", "workload": "bot", "currency": "USD", "amount": "50.00",
}  # fmt: skip


def test_a_budget_tells_where_it_stands_and_what_it_raised(integrator: Integrator, bot: Workload) -> None:
    status, made = integrator.post("budgets/", BODY)
    assert (status, made["thresholds"], made["standing"], made["alarms"]) == (201, [50, 80, 100], None, [])
    calls(23_700)
    check_budgets(now=NOW)
    _, read = integrator.get(f"budgets/{made['id']}/")
    assert read["standing"] == {
        "on": "2026-11-20", "spent": "47.40", "forecast": "71.10", "revenue": None, "cost": None, "percent": "94.80",
        "unknown": [], "checked_at": "2026-11-20T12:00:00Z",
    }  # fmt: skip
    assert [(each["kind"], each["threshold"], each["month"]) for each in read["alarms"]] == [
        ("threshold", 80, "2026-11"), ("threshold", 50, "2026-11"), ("forecast", None, "2026-11"),
    ]  # fmt: skip


def test_a_margin_is_watched_in_percent(integrator: Integrator, bot: Workload) -> None:
    body = {"name": "Acme", "measure": "margin", "customer": "acme", "currency": "USD", "least_percent": "70"}
    status, made = integrator.post("budgets/", body)
    assert (status, made["amount"], made["least_percent"], made["thresholds"]) == (201, None, "70", [])


def test_a_budget_is_changed_and_deleted(integrator: Integrator, bot: Workload) -> None:
    _, made = integrator.post("budgets/", BODY)
    route = f"budgets/{made['id']}/"
    _, changed = integrator.patch(route, {"amount": "60.00", "emails": ["anna@acme.example"]})
    assert (changed["amount"], changed["emails"], changed["name"]) == ("60.00", ["anna@acme.example"], "Bot")
    assert integrator.delete(route) == 204
    assert integrator.get(route)[0] == 404


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": 50.5e30}, "amount"),
        ({"thresholds": [0]}, "thresholds.0"),
        ({"thresholds": []}, "thresholds"),
        ({"workload": "other"}, "workload"),
        ({"workload": None}, "workload"),
        ({"currency": "EUR"}, "currency"),
        ({"emails": ["anna"]}, "emails.0"),
        ({"measure": "profit"}, "measure"),
        ({"limit": "50"}, "limit"),
        ({"customer": "acme"}, "workload"),
        ({"workload": None, "plan": "support"}, "plan"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(
    integrator: Integrator, bot: Workload, fields: dict[str, Any], wrong: str
) -> None:
    status, answer = integrator.post("budgets/", BODY | fields)
    assert status == 400, answer
    assert wrong in answer["error"]["fields"]
    assert not Budget.objects.exists()


def test_a_list_costs_the_same_however_long_it_is(integrator: Integrator, bot: Workload) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as made:
            integrator.get("budgets/", measure="cost")
        return len(made)

    integrator.post("budgets/", BODY)
    check_budgets(now=NOW)
    few = queries()
    for _ in range(5):
        integrator.post("budgets/", BODY)
    check_budgets(now=NOW)
    assert queries() == few
    assert Integrator("ingest").get("budgets/")[0] == 403
