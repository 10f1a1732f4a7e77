"""Examples and boundary checks that guard the activation of a plan."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from billing.errors import InvalidExample, PlanNotReady
from billing.examples import first_example, work_examples
from billing.models import Plan, PlanStatus
from billing.pricing import activate_plan, change_draft, create_plan, create_version
from billing.readiness import plan_findings
from tests.factories import NOW, TICKETS, make_meter

pytestmark = pytest.mark.django_db


def example(expected: str, *usage: tuple[str, str], name: str = "October", **fields: Any) -> dict[str, Any]:
    rows = [{"meter": meter, "quantity": quantity} for meter, quantity in usage]
    return {"name": name, "usage": rows, "expected_amount": expected} | fields


def draft(*rates: dict[str, Any], examples: Any = (), **fields: Any) -> Plan:
    defaults = {"code": "p", "name": "P", "currency": "USD", "billing_period": "monthly"}
    return create_plan(rates=rates or (TICKETS,), examples=examples, **(defaults | fields))


def test_a_plan_whose_examples_pass_is_activated() -> None:
    make_meter()
    plan = draft(examples=[example("240.00", ("tickets_resolved", "120")), example("0.00", name="Nothing")])
    assert activate_plan(plan, now=NOW).status == PlanStatus.ACTIVE


def test_a_failing_example_blocks_activation_and_is_named_with_both_amounts() -> None:
    make_meter()
    plan = draft(examples=[example("240.00", ("tickets_resolved", "121"))])
    with pytest.raises(PlanNotReady, match=r"“October” fails. It comes to 242.00, not to 240.00") as refused:
        activate_plan(plan, now=NOW)
    assert list(refused.value.fields) == ["examples.0"]
    plan.refresh_from_db()
    assert plan.status == PlanStatus.DRAFT


def test_an_example_of_a_meter_the_plan_does_not_price_fails() -> None:
    make_meter()
    make_meter("calls")
    plan = draft(examples=[example("0.00", ("calls", "5"))])
    assert work_examples(plan)[0].problem == "No rate of the plan prices calls."


def test_an_example_is_the_whole_invoice_with_seats_dimensions_and_plan_terms() -> None:
    make_meter("tokens", type="sum", unit="token", dimensions=["model"])
    rates = [
        {
            "kind": "usage", "meter": "tokens", "model": "per_unit", "per": "1000000", "dimensions": ["model"],
            "rows": [{"match": {"model": "a"}, "unit_amount": "10"}, {"match": {}, "unit_amount": "20"}],
        },
        {"kind": "subscription", "label": "Seat", "amount": "30.00", "per_seat": True},
        {"kind": "one_time", "label": "Set-up", "amount": "500.00"},
    ]  # fmt: skip
    usage = [
        {"meter": "tokens", "quantity": "2000000", "dimensions": {"model": "a"}},
        {"meter": "tokens", "quantity": "1000000", "dimensions": {"model": "b"}},
    ]
    # Tokens 2 x $10 + 1 x $20 = $40, $15 of it included; 4 seats x $30 = $120; fee 2 % of $145 = $2.90.
    sent = {"name": "Four seats", "usage": usage, "quantity": 4, "expected_amount": "147.90"}
    plan = draft(*rates, examples=[sent], included_spend=Decimal(15), service_fee_percent=Decimal(2))
    worked = work_examples(plan)[0]
    assert (worked.passes, [line.amount for line in worked.lines]) == (
        True,
        [Decimal(40), Decimal(120), Decimal(-15), Decimal("2.90")],
    )


def test_the_first_example_is_offered_ready_made() -> None:
    make_meter()
    plan = draft()
    offered = first_example(plan)
    assert offered is not None
    assert (offered.name, offered.expected_amount) == ("120 of Tickets Resolved", Decimal(240))
    assert plan.examples.count() == 0


def test_a_new_version_keeps_the_examples_and_fails_them_when_its_price_changes() -> None:
    make_meter()
    first = activate_plan(draft(examples=[example("240.00", ("tickets_resolved", "120"))]), now=NOW)
    second = change_draft(create_version(first), rates=[TICKETS | {"unit_amount": "2.50"}])
    with pytest.raises(PlanNotReady, match=r"It comes to 300.00"):
        activate_plan(second, now=NOW)
    change_draft(second, examples=[example("300.00", ("tickets_resolved", "120"))])
    assert activate_plan(second, now=NOW).version == 2


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": ""}, "examples.0.name"),
        ({"usage": "x"}, "examples.0.usage"),
        ({"usage": [{"meter": "none", "quantity": "1"}]}, "examples.0.usage.0.meter"),
        ({"usage": [{"meter": "tickets_resolved", "quantity": "NaN"}]}, "examples.0.usage.0.quantity"),
        ({"usage": [{"meter": "tickets_resolved", "quantity": "1", "dimensions": []}]},
         "examples.0.usage.0.dimensions"),
        ({"usage": [{"meter": "tickets_resolved", "quantity": "1", "day": 1}]}, "examples.0.usage.0.day"),
        ({"usage": ["x"]}, "examples.0.usage.0"),
        ({"quantity": 1.5}, "examples.0.quantity"),
        ({"expected_amount": None}, "examples.0.expected_amount"),
        ({"colour": "red"}, "examples.0.colour"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_an_example_is_named_and_nothing_is_written(
    change: dict[str, Any], path: str
) -> None:
    make_meter()
    with pytest.raises(InvalidExample) as refused:
        draft(examples=[example("1.00", ("tickets_resolved", "1")) | change])
    assert list(refused.value.fields) == [path]
    assert not Plan.objects.exists()


def test_two_examples_do_not_share_a_name() -> None:
    make_meter()
    with pytest.raises(InvalidExample) as refused:
        draft(examples=[example("0.00"), example("0.00")])
    assert list(refused.value.fields) == ["examples.1.name"]


VOLUME = {
    "kind": "usage",
    "meter": "tickets_resolved",
    "model": "volume",
    "tiers": [{"up_to": "100", "unit_amount": "2"}, {"up_to": None, "unit_amount": "1"}],
}


def test_a_total_that_falls_across_a_tier_blocks_activation_until_it_is_accepted() -> None:
    make_meter()
    plan = draft(VOLUME)
    with pytest.raises(
        PlanNotReady, match=r"100 cost \$200.00, but just above it the total falls to \$100.00"
    ) as refused:
        activate_plan(plan, now=NOW)
    assert list(refused.value.fields) == ["rates.0.tiers.1"]
    assert activate_plan(plan, now=NOW, accept=["price_drop"]).status == PlanStatus.ACTIVE


def test_findings_that_do_not_block_are_shown() -> None:
    make_meter(dimensions=["kind"])
    free = {"kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "0"}
    listed = {
        "kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "dimensions": ["kind"],
        "rows": [{"match": {"kind": "a"}, "unit_amount": "1"}], "unmatched": "listed",
    }  # fmt: skip
    plan = draft(free, listed)
    found = [(each.position, each.finding.code, each.finding.blocks) for each in plan_findings(plan, now=NOW)]
    assert found == [(0, "zero_price", False), (1, "catch_all_missing", False)]
    assert activate_plan(plan, now=NOW).status == PlanStatus.ACTIVE


@pytest.mark.django_db(transaction=True)
def test_the_examples_and_terms_of_a_plan_in_use_are_frozen_by_the_database() -> None:
    make_meter()
    plan = activate_plan(draft(examples=[example("0.00")], minimum_amount=None), now=NOW)
    for change in (
        lambda: plan.examples.update(expected_amount=1),
        lambda: plan.examples.all().delete(),
        lambda: Plan.objects.update(service_fee_percent=3),
        lambda: Plan.objects.update(minimum_amount=3),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
