"""`POST rates/preview/`: amounts worked by hand, and the row named for a bad rate."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import TICKETS
from tests.integrator import Integrator

GRADUATED = {
    "kind": "usage",
    "meter": "m",
    "model": "graduated",
    "tiers": [{"up_to": "100", "unit_amount": "2", "flat_amount": "0"}, {"up_to": None, "unit_amount": "1"}],
}
BY_MODEL = {
    "kind": "usage",
    "meter": "llm_tokens",
    "model": "per_unit",
    "dimensions": ["model", "type"],
    "rows": [
        {"match": {"model": "a", "type": "input"}, "unit_amount": "0.00001"},
        {"match": {}, "unit_amount": "0.00002"},
    ],
}


def amount_of(integrator: Integrator, rate: dict[str, Any], **sent: Any) -> tuple[str, str]:
    status, answer = integrator.post("rates/preview/", {"rate": rate, **sent})
    assert status == 200, answer
    return answer["amount"], answer["rounded"]


def test_120_tickets_are_240_dollars_with_the_working(integrator: Integrator) -> None:
    status, answer = integrator.post("rates/preview/", {"rate": TICKETS, "quantity": "120"})
    assert (status, answer["amount"], answer["rounded"], answer["currency"]) == (
        200,
        "240.00",
        "240.00",
        "USD",
    )
    assert [(step["quantity"], step["unit_amount"], step["amount"]) for step in answer["working"]] == [
        ("120", "2.00", "240.00")
    ]


def test_amounts_are_exact_before_and_rounded_after(integrator: Integrator) -> None:
    assert amount_of(integrator, TICKETS | {"unit_amount": "0.0125"}, quantity="1") == ("0.0125", "0.01")
    assert amount_of(integrator, TICKETS | {"unit_amount": "0.005"}, quantity="1") == ("0.005", "0.01")
    assert amount_of(integrator, TICKETS | {"unit_amount": "0.5"}, quantity=1, currency="JPY") == ("0.5", "1")
    assert amount_of(integrator, TICKETS, quantity="0.5", currency="KWD") == ("1.000", "1.000")


def test_tiers_are_inclusive(integrator: Integrator) -> None:
    assert amount_of(integrator, GRADUATED, quantity="100")[1] == "200.00"
    assert amount_of(integrator, GRADUATED, quantity="150")[1] == "250.00"  # 100 x 2 + 50 x 1


def test_quantities_by_dimensions_find_their_rows(integrator: Integrator) -> None:
    quantities = [
        {"dimensions": {"model": "a", "type": "input"}, "quantity": "1000000"},  # x 0.00001 = 10
        {"dimensions": {"model": "b", "type": "input"}, "quantity": "500000"},  # x 0.00002 = 10
        {"dimensions": {"model": "b", "type": "input", "team": "x"}, "quantity": "500000"},  # the same group
    ]
    assert amount_of(integrator, BY_MODEL, quantities=quantities)[1] == "30.00"
    assert amount_of(integrator, BY_MODEL, quantity="100000")[1] == "2.00"


def test_each_entry_is_one_event_to_a_percentage_with_a_fixed_fee(integrator: Integrator) -> None:
    rate = {"kind": "usage", "meter": "m", "model": "percentage", "percent": "2.9", "fixed_amount": "0.30"}
    assert amount_of(integrator, rate, quantity="100")[1] == "3.20"  # 2.90 + 0.30
    twice = [{"quantity": "50"}, {"quantity": "50"}]
    assert amount_of(integrator, rate, quantities=twice)[1] == "3.50"  # 2.90 + 2 x 0.30


def test_a_fee_is_its_amount(integrator: Integrator) -> None:
    fee = {"kind": "subscription", "label": "Platform", "amount": "199.00"}
    assert amount_of(integrator, fee) == ("199.00", "199.00")
    assert integrator.post("rates/preview/", {"rate": fee, "quantity": "2"})[0] == 400


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (
            {"rate": GRADUATED | {"tiers": [{"up_to": None, "unit_amount": "1"}] * 2}, "quantity": "1"},
            "rate.tiers.1.up_to",
        ),
        (
            {
                "rate": GRADUATED
                | {
                    "tiers": [
                        {"up_to": "5", "unit_amount": "1"},
                        {"up_to": "5", "unit_amount": "1"},
                        {"unit_amount": "1"},
                    ]
                },
                "quantity": "1",
            },
            "rate.tiers.1.up_to",
        ),
        ({"rate": BY_MODEL | {"rows": BY_MODEL["rows"][:1]}, "quantity": "1"}, "rate.rows"),  # type: ignore[index]
        ({"rate": TICKETS | {"model": "magic"}, "quantity": "1"}, "rate.model"),
        ({"rate": TICKETS | {"colour": "red"}, "quantity": "1"}, "rate.colour"),
        ({"rate": [], "quantity": "1"}, "rate"),
        ({"rate": {}, "quantity": "1"}, "rate.kind"),
        ({"quantity": "1"}, "rate"),
        ({"rate": TICKETS}, "quantity"),
        ({"rate": TICKETS, "quantity": "many"}, "quantity"),
        ({"rate": TICKETS, "quantity": "NaN"}, "quantity"),
        ({"rate": TICKETS, "quantity": "-1"}, "quantity"),
        ({"rate": TICKETS, "quantity": "1e400"}, "quantity"),
        ({"rate": TICKETS, "quantity": "1", "quantities": [{"quantity": "1"}]}, "quantities"),
        ({"rate": TICKETS, "quantities": [{"quantity": "1"}, {"quantity": None}]}, "quantities.1.quantity"),
        ({"rate": TICKETS, "quantities": [{"quantity": "1", "dimension": {}}]}, "quantities.0.dimension"),
        ({"rate": TICKETS, "quantities": []}, "quantities"),
        ({"rate": TICKETS, "quantity": "1", "currency": "XXX"}, "currency"),
        ({"rate": TICKETS, "quantity": "1", "curency": "USD"}, "curency"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(integrator: Integrator, body: dict[str, Any], named: str) -> None:
    status, answer = integrator.post("rates/preview/", body)
    assert status == 400
    assert named in answer["error"]["fields"], answer
    assert answer["error"]["message"]


def test_previewing_needs_read_or_manage(integrator: Integrator) -> None:
    assert Integrator("read").post("rates/preview/", {"rate": TICKETS, "quantity": "1"})[0] == 200
    assert Integrator("manage").post("rates/preview", {"rate": TICKETS, "quantity": "1"})[0] == 200
    assert Integrator("ingest").post("rates/preview/", {"rate": TICKETS, "quantity": "1"})[0] == 403
