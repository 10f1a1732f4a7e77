"""Plans over HTTP: draft, activate, next version."""

from __future__ import annotations

from typing import Any

import pytest

from billing.cost_rates import Validity, add_cost_rate
from billing.models import Plan
from tests.factories import TICKETS, make_meter
from tests.integrator import Integrator

PLAN = {
    "code": "support",
    "name": "Support Outcome Plan",
    "currency": "USD",
    "billing_period": "monthly",
    "rates": [TICKETS],
}


@pytest.fixture(autouse=True)
def story(db: None) -> None:
    make_meter(dimensions=["channel"])


def test_a_plan_is_made_as_a_draft_with_its_rates(integrator: Integrator) -> None:
    status, made = integrator.post("plans/", PLAN)
    assert status == 201
    assert (made["code"], made["version"], made["status"]) == ("support", 1, "draft")
    assert TICKETS.items() <= made["rates"][0].items()
    assert integrator.get("plans/support/") == (200, made)
    assert integrator.get("plans/")[1]["results"] == [made]


def test_rates_are_given_back_in_a_form_that_can_be_sent_again(integrator: Integrator) -> None:
    rates = [
        TICKETS | {"label": "Resolved tickets"},
        {"kind": "subscription", "label": "Platform", "amount": "199.00", "timing": "in_arrears"},
        {"kind": "one_time", "label": "Set-up", "amount": "500.00"},
        {
            "kind": "usage",
            "meter": "tickets_resolved",
            "model": "per_unit",
            "dimensions": ["channel"],
            "rows": [{"match": {"channel": "email"}, "unit_amount": "1"}, {"match": {}, "unit_amount": "2"}],
        },
    ]
    _, made = integrator.post("plans/", PLAN | {"rates": rates})
    status, again = integrator.post("plans/", PLAN | {"code": "again", "rates": made["rates"]})
    assert status == 201
    assert again["rates"] == made["rates"]
    assert [rate["kind"] for rate in made["rates"]] == ["usage", "subscription", "one_time", "usage"]


def test_prices_may_be_numbers_and_stay_exact(integrator: Integrator) -> None:
    body = '{"code": "x", "name": "X", "rates": [{"kind": "usage", "meter": "tickets_resolved",'
    body += ' "model": "per_unit", "unit_amount": 0.100000000000000005}]}'
    _, made = integrator.send("plans/", body)
    assert made["rates"][0]["unit_amount"] == "0.100000000000000005"


def test_activating_freezes_and_a_new_version_is_a_draft(integrator: Integrator) -> None:
    integrator.post("plans/", PLAN)
    status, active = integrator.post("plans/support/activate/")
    assert (status, active["status"]) == (200, "active")
    status, answer = integrator.patch("plans/support/", {"name": "Other"})
    assert (status, answer["error"]["code"]) == (409, "plan_frozen")
    dearer = TICKETS | {"unit_amount": "2.50"}
    status, draft = integrator.post("plans/support/versions/", {"rates": [dearer]})
    assert (status, draft["version"], draft["status"]) == (201, 2, "draft")
    assert draft["rates"][0]["unit_amount"] == "2.50"
    assert integrator.get("plans/support/")[1]["version"] == 1
    assert integrator.get("plans/support/", version=2)[1] == draft
    assert integrator.patch("plans/support/", {"name": "Second"})[1]["name"] == "Second"
    assert integrator.post("plans/support/activate")[1]["version"] == 2
    assert integrator.get("plans/support/")[1]["version"] == 2
    versions = integrator.get("plans/support/versions/")[1]["results"]
    assert [(each["version"], each["status"]) for each in versions] == [(1, "deprecated"), (2, "active")]


def test_a_version_without_a_body_is_a_copy(integrator: Integrator) -> None:
    integrator.post("plans/", PLAN)
    integrator.post("plans/support/activate/")
    _, draft = integrator.send("plans/support/versions/", b"")
    assert (draft["version"], draft["name"]) == (2, "Support Outcome Plan")
    assert draft["rates"][0]["unit_amount"] == "2.00"
    status, answer = integrator.post("plans/support/versions/")
    assert (status, answer["error"]["code"]) == (409, "plan_frozen")


def test_activating_twice_is_a_conflict(integrator: Integrator) -> None:
    integrator.post("plans/", PLAN)
    integrator.post("plans/support/activate/")
    status, answer = integrator.post("plans/support/activate/")
    assert (status, answer["error"]["code"]) == (409, "plan_frozen")


def test_a_price_below_cost_is_accepted_by_the_word_that_its_refusal_names(integrator: Integrator) -> None:
    add_cost_rate({"meter": "tickets_resolved", "model": "per_unit", "unit_amount": "5.00"}, Validity())
    integrator.post("plans/", PLAN)
    status, refused = integrator.post("plans/support/activate/")
    assert (status, refused["error"]["code"]) == (409, "plan_not_ready")
    assert "“cost_above_price”" in refused["error"]["message"]
    assert integrator.post("plans/support/activate/", {"accept": ["cost_above_price"]})[0] == 200


def test_a_plan_without_rates_is_not_activated(integrator: Integrator) -> None:
    integrator.post("plans/", PLAN | {"rates": []})
    status, answer = integrator.post("plans/support/activate/")
    assert (status, answer["error"]["code"]) == (409, "plan_not_ready")
    assert "no rates" in answer["error"]["message"]
    assert Plan.objects.get().status == "draft"


@pytest.mark.parametrize("body", [{"at": "now"}, [1], "now"])
def test_activating_takes_no_body(integrator: Integrator, body: Any) -> None:
    integrator.post("plans/", PLAN)
    assert integrator.post("plans/support/activate/", body)[0] == 400
    assert Plan.objects.get().status == "draft"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rates": [TICKETS | {"unit_amount": "-1"}]}, "rates.0.unit_amount"),
        ({"rates": [TICKETS, TICKETS | {"meter": "calls"}]}, "rates.1.meter"),
        ({"rates": [TICKETS | {"colour": "red"}]}, "rates.0.colour"),
        ({"rates": [{"kind": "lottery"}]}, "rates.0.kind"),
        ({"rates": ["x"]}, "rates.0"),
        ({"rates": "x"}, "rates"),
        (
            {
                "rates": [
                    {
                        "kind": "usage",
                        "meter": "tickets_resolved",
                        "model": "graduated",
                        "tiers": [{"up_to": "5"}],
                    }
                ]
            },
            "rates.0.tiers.0.unit_amount",
        ),
        ({"currency": "XXX"}, "currency"),
        ({"currency": "usd"}, "currency"),
        ({"billing_period": "fortnightly"}, "billing_period"),
        ({"name": ""}, "name"),
        ({"code": "two words"}, "code"),
        ({"status": "active"}, "status"),
        ({"version": 3}, "version"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(
    integrator: Integrator, change: dict[str, Any], named: str
) -> None:
    status, answer = integrator.post("plans/", PLAN | change)
    assert status == 400
    assert named in answer["error"]["fields"]
    assert answer["error"]["message"]
    assert Plan.objects.count() == 0


def test_a_code_that_is_taken_is_a_conflict(integrator: Integrator) -> None:
    integrator.post("plans/", PLAN)
    status, answer = integrator.post("plans/", PLAN)
    assert (status, answer["error"]["code"], list(answer["error"]["fields"])) == (
        409,
        "already_exists",
        ["code"],
    )


def test_an_unknown_plan_is_not_found(integrator: Integrator) -> None:
    assert integrator.get("plans/none/")[0] == 404
    assert integrator.post("plans/none/activate/")[0] == 404
    assert integrator.post("plans/none/versions/")[0] == 404
    assert integrator.get("plans/none/versions/")[0] == 404
    integrator.post("plans/", PLAN)
    assert integrator.get("plans/support/", version=7)[0] == 400


def test_plans_need_manage_to_write(integrator: Integrator) -> None:
    assert Integrator("read").post("plans/", PLAN)[0] == 403
    assert Integrator("read").get("plans/")[0] == 200


def test_the_list_takes_the_same_queries_whatever_its_length(
    integrator: Integrator, django_assert_num_queries: Any
) -> None:
    for n in range(10):
        integrator.post("plans/", PLAN | {"code": f"p{n}"})
    integrator.get("plans/")  # remembers the key, which posting this many may have outlasted
    with django_assert_num_queries(6):
        integrator.get("plans/")
