"""A meter's life, and what stays as it is once something was counted or agreed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from metering.defining import change_meter, create_meter, frozen_reason
from metering.errors import MeterFrozen
from metering.event_results import ResultStatus
from metering.models import Event, Meter, MeterStatus
from tests.factories import NOW, TICKETS, event, make_customer, make_meter, make_plan, send

pytestmark = pytest.mark.django_db


def test_a_meter_gets_its_code_from_its_label() -> None:
    assert create_meter(label="Tickets Resolved", now=NOW).code == "tickets_resolved"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"type": "percentile"}, "percentile"),
        ({"type": "percentile", "percentile": Decimal(101)}, "percentile"),
        ({"type": "percentile", "percentile": Decimal(0)}, "percentile"),
        ({"type": "sum", "percentile": Decimal(95)}, "percentile"),
        ({"type": "sum", "window": "day"}, "window"),
        ({"type": "max", "window": "week"}, "window"),
        ({"type": "count", "value_dimension": "user"}, "value_dimension"),
        ({"type": "max", "timeout_hours": Decimal(1)}, "timeout_hours"),
        ({"type": "weighted_sum", "timeout_hours": Decimal(0)}, "timeout_hours"),
        ({"type": "sum", "factor": Decimal(0)}, "factor"),
        ({"type": "sum", "divisor": Decimal(-1)}, "divisor"),
        ({"type": "sum", "filters": ["email"]}, "filters"),
        ({"type": "sum", "filters": {"channel": "email"}}, "filters"),
        ({"type": "sum", "filters": {"channel": []}}, "filters"),
        ({"type": "sum", "filters": {"no name": ["x"]}}, "filters"),
        ({"type": "sum", "rounding_function": "banker"}, "rounding_function"),
        ({"type": "sum", "rounding_function": "up", "rounding_digits": 19}, "rounding_digits"),
        ({"type": "median"}, "type"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused_by_field(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError) as refused:
        create_meter(label="Odd", now=NOW, **fields)
    assert named in refused.value.message_dict
    assert not Meter.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "percentile"},
        {"type": "sum", "percentile": 95},
        {"type": "sum", "window": "day"},
        {"type": "count", "value_dimension": "user"},
        {"type": "max", "timeout_hours": 1},
        {"type": "sum", "factor": 0},
        {"type": "sum", "divisor": Decimal(10) ** 20},
        {"type": "sum", "filters": ["email"]},
        {"type": "sum", "rounding_function": "banker"},
        {"type": "sum", "rounding_digits": 19},
    ],
)
def test_the_database_refuses_it_too(fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_meter(**fields)


def test_the_events_of_a_draft_wait_and_count_once_it_is_active() -> None:
    make_customer()
    meter = create_meter(label="Tickets Resolved", status=MeterStatus.DRAFT, now=NOW)
    assert send(event("evt-1")).results[0].status is ResultStatus.UNMATCHED
    assert change_meter(meter, now=NOW, status=MeterStatus.ACTIVE).status == MeterStatus.ACTIVE
    assert Event.objects.get().meter_id == meter.pk
    with pytest.raises(MeterFrozen):
        change_meter(meter, now=NOW, status=MeterStatus.DRAFT)


def test_a_deprecated_meter_goes_on_counting_and_may_come_back() -> None:
    make_customer()
    meter = change_meter(make_meter(), now=NOW, status=MeterStatus.DEPRECATED)
    assert send(event("evt-1")).results[0].status is ResultStatus.ACCEPTED
    assert change_meter(meter, now=NOW, status=MeterStatus.ACTIVE).status == MeterStatus.ACTIVE


CHANGES: tuple[dict[str, Any], ...] = (
    {"type": "sum"},
    {"filters": {"channel": ["email"]}},
    {"factor": Decimal("0.5")},
    {"divisor": Decimal(60)},
    {"rounding_function": "up"},
    {"dimensions": []},
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: next(iter(each)))
def test_a_definition_may_change_until_there_are_events(change: dict[str, Any]) -> None:
    make_customer()
    meter = make_meter(dimensions=["channel"])
    ((name, value),) = change.items()
    assert getattr(change_meter(meter, now=NOW, **change), name) == value


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: next(iter(each)))
def test_a_definition_stays_once_there_is_an_event(change: dict[str, Any]) -> None:
    make_customer()
    meter = make_meter(dimensions=["channel"])
    send(event("evt-1"))
    ((name, _),) = change.items()
    with pytest.raises(MeterFrozen) as refused:
        change_meter(meter, now=NOW, **change)
    assert refused.value.field == name
    with pytest.raises(IntegrityError, match="has events"), transaction.atomic():
        Meter.objects.update(**change)
    for field, value in change.items():
        setattr(meter, field, value)
    with pytest.raises(ValidationError):  # what a form says
        meter.full_clean()
    assert getattr(Meter.objects.get(), name) != change[name]


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: next(iter(each)))
def test_a_definition_stays_once_a_plan_in_use_prices_it(change: dict[str, Any]) -> None:
    meter = make_meter(dimensions=["channel"])
    make_plan()
    with pytest.raises(MeterFrozen, match="Support Outcome Plan"):
        change_meter(meter, now=NOW, **change)
    with pytest.raises(IntegrityError, match="priced by a plan"), transaction.atomic():
        Meter.objects.update(**change)


def test_a_draft_plan_freezes_nothing() -> None:
    from billing.pricing import create_plan

    meter = make_meter()
    create_plan(code="p", name="P", currency="USD", billing_period="monthly", rates=[TICKETS])
    assert frozen_reason(meter) is None
    change_meter(meter, now=NOW, type="sum")


def test_an_event_of_an_unknown_customer_freezes_its_meter_as_well() -> None:
    meter = make_meter()
    send(event("evt-1"))
    with pytest.raises(MeterFrozen, match="it has events"):
        change_meter(meter, now=NOW, type="sum")


def test_words_dimensions_and_the_rule_for_negative_values_may_change_for_ever() -> None:
    make_customer()
    meter = make_meter(dimensions=["channel"])
    send(event("evt-1"))
    change_meter(
        meter,
        now=NOW,
        label="Solved",
        unit="case",
        description="New words.",
        dimensions=["channel", "region"],
        allow_negative=True,
    )
    assert Meter.objects.get().dimensions == ["channel", "region"]


def test_a_code_never_changes() -> None:
    with pytest.raises(MeterFrozen, match="tickets_resolved"):
        change_meter(make_meter(), now=NOW, code="other")
    with pytest.raises(IntegrityError), transaction.atomic():
        Meter.objects.update(code="other")


def test_a_meter_is_made_again_from_its_definition() -> None:
    meter = make_meter(
        type="max", window="day", factor=Decimal("0.5"), rounding_function="up", rounding_digits=2
    )
    again = Meter.from_definition(meter.pk, meter.definition())
    assert again == meter
    assert again.definition() == Meter.objects.get().definition()
    assert {name: getattr(again, name) for name in Meter.DEFINITION_FIELDS} == {
        name: getattr(meter, name) for name in Meter.DEFINITION_FIELDS
    }


@pytest.mark.parametrize(
    ("fields", "sent", "code"),
    [
        ({"type": "sum"}, {}, "value_required"),
        ({"type": "max"}, {}, "value_required"),
        ({"type": "latest"}, {}, "value_required"),
        ({"type": "weighted_sum"}, {}, "value_required"),
        ({"type": "percentile", "percentile": 95}, {}, "value_required"),
        ({"type": "unique"}, {}, "subject_required"),
        ({"type": "unique", "value_dimension": "user"}, {"subject": "x"}, "dimension_required"),
        ({"type": "unique", "value_dimension": "user"}, {"dimensions": {"user": ""}}, "dimension_required"),
        ({"type": "count"}, {"value": "-1"}, "negative_value"),
        ({"type": "sum", "allow_negative": False}, {"value": "-0.01"}, "negative_value"),
    ],
)
def test_an_event_its_meter_cannot_count_is_refused_or_stays_unmatched(
    fields: dict[str, Any], sent: dict[str, Any], code: str
) -> None:
    make_customer()
    send(event("early", **sent))
    meter = create_meter(label="Tickets Resolved", now=NOW, **fields)
    assert Event.objects.filter(meter=None).count() == 1
    result = send(event("late", **sent)).results[0]
    assert (result.status, result.code) == (ResultStatus.REJECTED, code)
    assert Event.objects.filter(meter=meter).count() == 0


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"type": "sum"}, {"value": "-1"}),
        ({"type": "count", "allow_negative": True}, {"value": "-1"}),
        ({"type": "count"}, {}),
        ({"type": "unique"}, {"subject": "x"}),
        ({"type": "unique", "value_dimension": "user"}, {"dimensions": {"user": "u"}}),
    ],
)
def test_an_event_its_meter_can_count_is_taken_before_and_after_the_meter(
    fields: dict[str, Any], sent: dict[str, Any]
) -> None:
    make_customer()
    send(event("early", **sent))
    meter = create_meter(label="Tickets Resolved", now=NOW, **fields)
    assert send(event("late", **sent)).results[0].status is ResultStatus.ACCEPTED
    assert Event.objects.filter(meter=meter).count() == 2


def test_negative_values_can_be_allowed_later_and_count_then() -> None:
    make_customer()
    send(event("early", value="-1"))
    meter = create_meter(label="Tickets Resolved", now=NOW)
    assert Event.objects.filter(meter=None).count() == 1
    change_meter(meter, now=NOW, allow_negative=True)
    assert Event.objects.get().meter_id == meter.pk
