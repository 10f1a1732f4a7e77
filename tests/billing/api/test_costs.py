"""`cost-rates/`, `costs/` and `margins/` over HTTP: rights, refusals, answers."""

from __future__ import annotations

from typing import Any

import pytest

from billing.models import CostRate
from metering.models import Workload
from tests.factories import event, make_meter, make_subscription, send
from tests.integrator import Integrator

CALLS = {"kind": "usage", "meter": "api_calls", "model": "per_unit", "unit_amount": "0.002"}
OCTOBER = {"from": "2026-10-01", "to": "2026-11-01"}


@pytest.fixture(autouse=True)
def story(db: None, fresh: None) -> None:
    make_subscription()
    make_meter("api_calls", dimensions=["region"])
    Workload.objects.create(code="bot", name="Bot")


def test_a_cost_rate_is_answered_as_it_was_sent_and_replaced_from_a_later_day(integrator: Integrator) -> None:
    status, first = integrator.post("cost-rates/", CALLS | {"label": "prices 2025"})
    assert status == 201
    assert {name: first[name] for name in CALLS} == CALLS
    later = CALLS | {"unit_amount": "0.003", "effective_from": "2026-10-15", "currency": "USD"}
    assert integrator.post("cost-rates/", later)[0] == 201
    listed = integrator.get("cost-rates/", meter="api_calls")[1]["results"]
    assert [(each["label"], each["unit_amount"], each["effective_until"]) for each in listed] == [
        ("prices 2025", "0.002", "2026-10-15"),
        ("", "0.003", None),
    ]
    status, again = integrator.post("cost-rates/", later)
    assert (status, again["error"]["code"]) == (409, "cost_rate_overlap")
    status, withdrawn = integrator.post(f"cost-rates/{listed[1]['id']}/withdraw/", {})
    assert (status, withdrawn["withdrawn_at"]) == (200, "2026-11-20T12:00:00Z")
    assert integrator.post("cost-rates/", later)[0] == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "_"),
        ({**CALLS, "unit_amount": "x"}, "unit_amount"),
        ({**CALLS, "nothing": 1}, "nothing"),
        ({**CALLS, "currency": "usd"}, "currency"),
        ({**CALLS, "effective_from": "soon"}, "effective_from"),
        ({**CALLS, "effective_from": "0001-01-01"}, "effective_from"),
        ({**CALLS, "label": 7 * ["x"]}, "label"),
        ({"kind": "fixed", "workload": "bot"}, "amount"),
        ({"kind": "fixed", "workload": "none", "amount": "1"}, "workload"),
        ({"kind": "fixed", "workload": "bot", "amount": "NaN"}, "amount"),
        ({"kind": "subscription", "label": "x", "amount": "1"}, "kind"),
        ({"kind": ["usage"]}, "kind"),
    ],
)
def test_a_wrong_cost_rate_is_refused_by_field_and_nothing_is_written(
    integrator: Integrator, body: Any, field: str
) -> None:
    status, answer = integrator.post("cost-rates/", body)
    assert (status, list(answer["error"]["fields"])) == (400, [field])
    assert not CostRate.objects.exists()


def test_only_keys_with_the_right_scope_see_costs_or_write_them() -> None:
    sender, reader = Integrator("ingest"), Integrator("read", source="b")
    for route in ("costs/", "margins/", "cost-rates/"):
        assert sender.get(route)[0] == 403
        assert reader.get(route)[0] == 200
        assert reader.answer(reader.client.get(f"/api/v1/{route}", headers={"Authorization": ""}))[0] == 401
    for key in (sender, reader):
        assert key.post("cost-rates/", CALLS)[0] == 403
    assert not CostRate.objects.exists()


@pytest.mark.parametrize(
    ("route", "parameters", "field"),
    [
        ("costs/", {"group_by": "nothing"}, "group_by"),
        ("costs/", {"from": "2026-11-01", "to": "2026-10-01"}, "from"),
        ("costs/", {"from": "1971-01-01", "to": "2026-10-01"}, "from"),
        ("costs/", {"workload": "bot"}, "workload"),
        ("costs/", {"currency": "\x00"}, "currency"),
        ("costs/", {"currency": "ZZZ"}, "currency"),
        ("margins/", {"group_by": "region"}, "group_by"),
        ("margins/", {"from": "2026-10-01T05:00:00Z", "to": "2026-11-01"}, "from"),
        ("margins/", {"group_by": ["plan", "meter"]}, "group_by"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(
    integrator: Integrator, route: str, parameters: dict[str, Any], field: str
) -> None:
    status, answer = integrator.get(route, **parameters)
    assert status == 400
    assert field in answer["error"]["fields"]


def test_margins_without_revenue_have_no_percent_and_fees_belong_to_no_meter(integrator: Integrator) -> None:
    integrator.post("cost-rates/", CALLS)
    send(event("t"), event("c", meter="api_calls", value="1000", dimensions={"region": "eu"}))
    answer = integrator.get("margins/", group_by="meter", **OCTOBER)[1]
    assert answer["groups"] == [
        {
            "group": {"meter": "api_calls"},
            "revenue": "0.00",
            "cost": "2.00",
            "margin": "-2.00",
            "margin_percent": None,
        },
        {
            "group": {"meter": "tickets_resolved"},
            "revenue": "2.00",
            "cost": "0.00",
            "margin": "2.00",
            "margin_percent": "100",
        },
    ]
    assert answer["total"] == {"revenue": "2.00", "cost": "2.00", "margin": "0.00", "margin_percent": "0"}
    region = integrator.get("costs/", group_by="region", **OCTOBER)[1]
    assert (region["groups"][0]["group"], region["groups"][0]["cost"]) == ({"region": "eu"}, "2.00")


def test_the_owner_and_tags_of_a_workload(integrator: Integrator) -> None:
    body = {"name": "GPU pool", "owner": "Platform team", "tags": ["gpu", "production"], "parent": "bot"}
    status, answer = integrator.post("workloads/", body)
    assert (status, answer["owner"], answer["tags"]) == (201, "Platform team", ["gpu", "production"])
    for tags in ("gpu", [""], ["x" * 51], [{}]):
        assert integrator.post("workloads/", {"name": "Other", "tags": tags})[0] == 400
