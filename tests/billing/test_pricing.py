import pytest

from billing.cost_rates import Validity, add_cost_rate, withdraw_cost_rate
from billing.errors import InvalidRate, PlanFrozen, PlanNotReady
from billing.models import Plan, PlanStatus, Rate
from billing.pricing import activate_plan, create_plan, create_version
from billing.readiness import plan_findings
from tests.factories import NOW, TICKETS, event, make_customer, make_meter, make_plan, send

pytestmark = pytest.mark.django_db


def draft(*rates: dict[str, object]) -> Plan:
    return create_plan(code="p", name="P", currency="USD", billing_period="monthly", rates=rates)


def test_a_plan_without_rates_is_not_activated() -> None:
    plan = draft()
    with pytest.raises(PlanNotReady, match="no rates"):
        activate_plan(plan, now=NOW)
    plan.refresh_from_db()
    assert plan.status == PlanStatus.DRAFT


def test_every_wrong_field_of_every_rate_is_named_and_nothing_is_written() -> None:
    make_meter()
    with pytest.raises(InvalidRate) as refused:
        draft(TICKETS | {"unit_amount": "x"}, TICKETS | {"meter": "none"}, TICKETS | {"colour": "red"})
    assert set(refused.value.fields) == {"rates.0.unit_amount", "rates.1.meter", "rates.2.colour"}
    assert not Plan.objects.exists()


def test_a_rate_by_a_dimension_its_meter_does_not_declare_is_refused() -> None:
    make_meter()
    rate = {
        "kind": "usage",
        "meter": "tickets_resolved",
        "model": "per_unit",
        "dimensions": ["region"],
        "rows": [{"match": {}, "unit_amount": "1"}],
    }
    with pytest.raises(InvalidRate, match="region"):
        draft(rate)


def test_a_label_names_the_line_of_a_usage_rate() -> None:
    make_meter()
    assert draft(TICKETS | {"label": "Resolutions"}).rates.get().label == "Resolutions"


def test_activating_a_version_deprecates_the_one_before_and_freezes_both() -> None:
    make_meter()
    first = make_plan()
    second = activate_plan(create_version(first), now=NOW)
    first.refresh_from_db()
    assert (first.status, second.status, second.version) == ("deprecated", "active", 2)
    assert [rate.terms for rate in second.rates.all()] == [rate.terms for rate in first.rates.all()]
    with pytest.raises(PlanFrozen):
        activate_plan(first, now=NOW)


def test_a_plan_has_one_draft_at_a_time() -> None:
    make_meter()
    plan = make_plan()
    create_version(plan)
    with pytest.raises(PlanFrozen, match="Version 2"):
        create_version(plan)
    assert Rate.objects.count() == 2


TIERS = {
    **{name: value for name, value in TICKETS.items() if name != "unit_amount"},
    "model": "graduated",
    "tiers": [{"up_to": "100", "unit_amount": "2.00"}, {"up_to": None, "unit_amount": "0.40"}],
}


def test_a_tier_below_the_cost_of_a_unit_is_activated_only_when_a_person_accepts_it() -> None:
    make_meter()
    add_cost_rate({"meter": "tickets_resolved", "model": "per_unit", "unit_amount": "0.41"}, Validity())
    plan = draft(TIERS)
    with pytest.raises(PlanNotReady) as refused:
        activate_plan(plan, now=NOW)
    assert refused.value.fields == {
        "rates.0.tiers.1": "Tickets Resolved: Tier 2: the unit price of $0.40 is below what one unit costs you, $0.41."
    }
    assert Plan.objects.get().status == PlanStatus.DRAFT
    assert activate_plan(plan, now=NOW, accept=["cost_above_price"]).status == PlanStatus.ACTIVE


@pytest.mark.parametrize(("calls", "found"), [(199, []), (201, ["cost_above_price"])])
def test_the_cost_of_the_work_behind_last_months_results_counts(calls: int, found: list[str]) -> None:
    """Two tickets in October with calls at $0.01: 200 calls are $1.00 for each ticket, its price."""
    make_meter()
    make_meter("api_calls")
    make_customer()
    add_cost_rate({"meter": "api_calls", "model": "per_unit", "unit_amount": "0.01"}, Validity())
    send(
        event("a", subject="one"),
        event("b", subject="two"),
        event("c", subject="one", meter="api_calls", value=str(calls)),
        event("d", subject="three", meter="api_calls", value="9999"),  # resolved nothing
    )
    plan = draft(TICKETS | {"unit_amount": "1.00"})
    findings = plan_findings(plan, now=NOW, measured=True)
    assert [each.finding.code for each in findings] == found


def test_costs_by_dimensions_are_compared_row_by_row_and_other_currencies_not_at_all() -> None:
    make_meter(dimensions=["channel"])
    rows = [{"match": {"channel": "phone"}, "unit_amount": "1"}, {"match": {}, "unit_amount": "0.5"}]
    by_channel = {"meter": "tickets_resolved", "model": "per_unit", "dimensions": ["channel"]}
    cost = add_cost_rate({**by_channel, "rows": rows}, Validity())
    rows = [{"match": {"channel": "phone"}, "unit_amount": "0.99"}, {"match": {}, "unit_amount": "0.40"}]
    plan = draft({**by_channel, "kind": "usage", "rows": rows})
    assert [each.finding.path for each in plan_findings(plan, now=NOW)] == ["rows.0.unit_amount"]
    withdraw_cost_rate(cost, now=NOW)
    add_cost_rate({**by_channel, "rows": rows}, Validity(currency="EUR"))
    assert plan_findings(plan, now=NOW) == []
