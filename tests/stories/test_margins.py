"""What 120 resolved tickets cost and what is left of them, over real HTTP. Worked by hand:

    9,600,000 input tokens at $0.50 a million   4.80     revenue  120 x $2.00   240.00
    1,200,000 output tokens at $2.50 a million  3.00     cost                    47.40
    4,800 API calls at $0.002                   9.60     margin                 192.60  (80.25 %)
    the index, a month                         30.00

Ticket 1 used 2,900,000 and 200,000 tokens and 101 calls: 1.45 + 0.50 + 0.202, and 0.25 of the index (30.00 / 120):
2.402, so it lost 0.402. Each of 118 others cost 0.028 + 0.021 + 0.078 + 0.25 = 0.377.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.stories.http import Client
from tests.stories.test_guide import api, close, set_up, ticket

__all__ = ["api"]
pytestmark = pytest.mark.django_db(transaction=True)

OCTOBER = "from=2026-10-01&to=2026-11-01"
WHOLE = {"revenue": "240.00", "cost": "47.40", "margin": "192.60", "margin_percent": "80.25"}
COST_RATES: list[dict[str, Any]] = [
    {
        "kind": "usage", "meter": "llm_tokens", "model": "per_unit", "per": "1000000", "dimensions": ["type"],
        "rows": [
            {"match": {"type": "input"}, "unit_amount": "0.50"}, {"match": {"type": "output"}, "unit_amount": "2.50"},
        ],
        "unmatched": "listed", "currency": "USD", "effective_from": "2026-01-01", "label": "provider prices Jan 2026",
    },
    {"kind": "usage", "meter": "api_calls", "model": "per_unit", "unit_amount": "0.002", "currency": "USD"},
    {"kind": "fixed", "workload": "index", "amount": "30.00"},
]  # fmt: skip


def activity(n: int) -> list[dict[str, Any]]:
    """One ticket: the result, and the calls and tokens behind it."""
    read, written, calls = (2_900_000, 200_000, 101) if n == 1 else (56_000, 8_400, 39)
    if n == 120:  # the rest of the sums
        read, written, calls = 92_000, 8_800, 97
    common = {
        "customer": "acme",
        "subject": f"ticket-{n}",
        "occurred_at": "2026-10-03T10:00:00Z",
        "workload": "support_bot",
    }
    tokens = common | {"meter": "llm_tokens"}
    return [
        ticket("acme", n) | {"workload": "support_bot"},
        tokens | {"key": f"in-{n}", "value": str(read), "dimensions": {"type": "input"}},
        tokens | {"key": f"out-{n}", "value": str(written), "dimensions": {"type": "output"}},
        common | {"key": f"calls-{n}", "meter": "api_calls", "value": str(calls), "workload": "index"},
    ]


def margins(api: Client, group_by: str) -> Any:
    answer = api.get(f"margins/?{OCTOBER}&group_by={group_by}")
    assert answer.status == 200, answer.json
    return answer.json


def only(answer: Any) -> tuple[dict[str, Any], dict[str, str]]:
    (found,) = answer["groups"]
    return found.pop("group"), found


def test_a_result_has_a_cost_and_a_margin_and_the_ticket_that_lost_money_is_found(api: Client) -> None:
    set_up(api, "acme")
    tokens = {"code": "llm_tokens", "label": "LLM Tokens", "type": "sum", "dimensions": ["type"]}
    calls = {"code": "api_calls", "label": "API Calls", "type": "count"}
    workloads = [{"code": "support_bot", "name": "Support bot"}]
    workloads.append({"code": "index", "name": "Index", "parent": "support_bot"})
    for route, bodies in (
        ("meters/", [tokens, calls]), ("workloads/", workloads), ("cost-rates/", COST_RATES)
    ):  # fmt: skip
        for body in bodies:
            answer = api.post(route, body)
            assert answer.status == 201, answer.json
    events = [each for n in range(1, 121) for each in activity(n)]
    assert api.post("events/", events).json["accepted"] == 480

    costs = api.get(f"costs/?{OCTOBER}&group_by=workload").json
    assert (costs["currency"], costs["total"], costs["unassigned"]) == ("USD", "47.40", "0.00")
    assert [(each["group"], each["cost"]) for each in costs["groups"]] == [
        ({"workload": "index"}, "39.60"),
        ({"workload": "support_bot"}, "7.80"),
    ]
    assert costs["unknown"] == [
        {"meter": "tickets_resolved", "quantity": "120", "reason": "There is no cost rate for this meter."}
    ]
    by_type = api.get(f"costs/?{OCTOBER}&group_by=meter&group_by=type").json
    assert [(each["group"], each["cost"], each["quantity"]) for each in by_type["groups"]] == [
        ({"meter": "api_calls", "type": ""}, "9.60", "4800"),
        ({"meter": "llm_tokens", "type": "input"}, "4.80", "9600000"),
        ({"meter": "llm_tokens", "type": "output"}, "3.00", "1200000"),
    ]
    assert by_type["unassigned"] == "30.00"  # the index is no meter's and has no type of its own

    previewed = only(margins(api, "invoice"))
    assert previewed == (
        {"invoice": None, "customer": "acme", "plan": "support_outcome", "period_start": "2026-10-01"},
        WHOLE,
    )
    close()
    assert only(margins(api, "customer")) == ({"customer": "acme"}, WHOLE)
    assert only(margins(api, "plan")) == ({"plan": "support_outcome"}, WHOLE)
    assert only(margins(api, "month")) == ({"month": "2026-10"}, WHOLE)
    name, margin = only(margins(api, "invoice"))
    assert (name["invoice"], margin) == ("INV-2026-000001", WHOLE)
    name, margin = only(margins(api, "line"))
    assert (name["line"], name["description"], margin) == ("1", "Tickets Resolved", WHOLE)

    tickets = margins(api, "subject")
    assert (len(tickets["groups"]), tickets["total"]) == (120, WHOLE)
    first, second = tickets["groups"][0], tickets["groups"][2]
    assert first == {
        "group": {"customer": "acme", "subject": "ticket-1"},
        "revenue": "2.00", "cost": "2.402", "margin": "-0.402", "margin_percent": "-20.1",
    }  # fmt: skip
    assert (second["cost"], second["margin"]) == ("0.377", "1.623")
    by_workload = {each["group"]["workload"]: each["margin"] for each in margins(api, "workload")["groups"]}
    assert by_workload == {"index": "-39.60", "support_bot": "232.20"}


def test_costs_appear_nowhere_a_customer_looks(api: Client) -> None:
    """The page of an invoice, its PDF and the invoice over HTTP have no cost, margin or workload in them."""
    set_up(api, "acme")
    assert api.post("workloads/", {"code": "secret_gpu", "name": "Secret GPU pool"}).status == 201
    fixed = {"kind": "fixed", "workload": "secret_gpu", "amount": "987.65", "label": "Secret contract"}
    assert api.post("cost-rates/", fixed).status == 201
    assert api.post("events/", [ticket("acme", 1) | {"workload": "secret_gpu"}]).json["accepted"] == 1
    close()
    assert api.get(f"costs/?{OCTOBER}").json["total"] == "987.65"
    invoice = api.get("invoices/INV-2026-000001/").content.decode()
    events = api.get("invoices/INV-2026-000001/lines/1/events/").content.decode()
    plan = api.get("plans/support_outcome/").content.decode()
    for text in (invoice, plan):
        assert not [word for word in ("987", "ecret", "cost", "margin", "workload") if word in text]
    assert "987" not in events
