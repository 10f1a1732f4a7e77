import pytest

from billing.errors import InvalidRate, PlanFrozen, PlanNotReady
from billing.models import Plan, PlanStatus, Rate
from billing.pricing import activate_plan, create_plan, create_version
from tests.factories import NOW, TICKETS, make_meter, make_plan

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
