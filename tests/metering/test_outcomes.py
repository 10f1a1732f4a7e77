"""Outcomes: each subject once, only what holds, taken back when it does not. Figures worked by hand."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from metering.behind import events_behind
from metering.correcting import amend_event
from metering.measuring import measure, measure_series
from metering.models import Event, Meter
from metering.periods import Interval
from metering.spans import Span
from tests.factories import BOUNDS, NOW, event, make_customer, make_meter, send

pytestmark = pytest.mark.django_db

OCTOBER = (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
NOVEMBER = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


def resolved(key: str, at: str, subject: str | None = None, **fields: Any) -> dict[str, Any]:
    return event(key, occurred_at=at, subject=subject or f"ticket-{key}", **fields)


def reversal(name: str, at: str, /, **target: str) -> dict[str, Any]:
    return event(name, occurred_at=at, reverses=target)


def confirmation(name: str, at: str, /, **target: str) -> dict[str, Any]:
    return event(name, occurred_at=at, confirms=target)


def counted(meter: Meter, month: tuple[datetime, datetime], customer: Any) -> int:
    measured = measure(meter, [Span(0, customer.pk, *month)])[0]
    behind = events_behind(meter_id=meter.pk, customer_id=customer.pk, start=month[0], end=month[1])
    assert len(behind) == measured.events
    return int(measured.quantity)


@pytest.fixture
def customer() -> Any:
    return make_customer()


def test_a_subject_resolved_twice_in_a_period_counts_once_in_it(customer: Any) -> None:
    meter = make_meter(once_per_subject="period")
    send(
        resolved("a", "2026-10-03T10:00:00Z", "ticket-1"),
        resolved("b", "2026-10-20T10:00:00Z", "ticket-1"),
        resolved("c", "2026-11-02T10:00:00Z", "ticket-1"),
    )
    assert (counted(meter, OCTOBER, customer), counted(meter, NOVEMBER, customer)) == (1, 1)


@pytest.mark.parametrize("once", ["never", "period", "ever"])
def test_what_settles_at_the_first_instant_of_a_period_belongs_to_it(customer: Any, once: str) -> None:
    meter = make_meter(once_per_subject=once, verification_hours=Decimal(24))
    send(resolved("a", "2026-10-31T00:00:00Z", "ticket-1"))
    assert (counted(meter, OCTOBER, customer), counted(meter, NOVEMBER, customer)) == (0, 1)


def test_a_subject_counts_once_for_ever_and_in_the_period_of_its_first_outcome(customer: Any) -> None:
    meter = make_meter(once_per_subject="ever")
    send(resolved("b", "2026-11-02T10:00:00Z", "ticket-1"), resolved("a", "2026-10-03T10:00:00Z", "ticket-1"))
    assert (counted(meter, OCTOBER, customer), counted(meter, NOVEMBER, customer)) == (1, 0)


def test_one_customers_ticket_is_not_anothers(customer: Any) -> None:
    meter = make_meter(once_per_subject="ever")
    other = make_customer("globex")
    send(
        resolved("a", "2026-10-03T10:00:00Z", "ticket-1"),
        resolved("b", "2026-10-04T10:00:00Z", "ticket-1", customer="globex"),
    )
    assert (counted(meter, OCTOBER, customer), counted(meter, OCTOBER, other)) == (1, 1)


def test_an_outcome_counts_when_its_window_is_over_and_in_that_period(customer: Any) -> None:
    meter = make_meter(verification_hours=Decimal(72))
    send(
        resolved("a", "2026-10-28T23:59:59Z"),  # settles on 31 October, one second before the end
        resolved("b", "2026-10-29T00:00:00Z"),  # settles with the first instant of November
    )
    assert (counted(meter, OCTOBER, customer), counted(meter, NOVEMBER, customer)) == (1, 1)


@pytest.mark.parametrize(
    ("hours", "october"),
    [(71, 0), (72, 0), (100, 0)],
    ids=["within the window", "at its end", "after it settled"],
)
def test_a_reversed_outcome_does_not_count_whenever_it_was_reversed(
    customer: Any, hours: int, october: int
) -> None:
    meter = make_meter(verification_hours=Decimal(72))
    at = datetime(2026, 10, 3, 10, tzinfo=UTC)
    send(resolved("a", at.isoformat()), reversal("r", (at + timedelta(hours=hours)).isoformat(), key="a"))
    assert counted(meter, OCTOBER, customer) == october


def test_a_reversal_by_subject_takes_back_what_was_before_it_and_the_next_outcome_counts(
    customer: Any,
) -> None:
    meter = make_meter(once_per_subject="ever")
    send(
        reversal("r", "2026-10-05T10:00:00Z", subject="ticket-1"),
        resolved("a", "2026-10-03T10:00:00Z", "ticket-1"),
    )
    assert counted(meter, OCTOBER, customer) == 0
    send(resolved("b", "2026-11-02T10:00:00Z", "ticket-1"))
    assert (counted(meter, OCTOBER, customer), counted(meter, NOVEMBER, customer)) == (0, 1)


def test_a_confirmed_outcome_settles_at_once(customer: Any) -> None:
    meter = make_meter(verification_hours=Decimal(72))
    send(
        resolved("a", "2026-10-31T10:00:00Z", "ticket-1"),
        resolved("b", "2026-10-31T10:00:00Z", "ticket-2"),
        resolved("c", "2026-10-31T10:00:00Z", "ticket-3"),
        confirmation("k", "2026-10-31T12:00:00Z", key="a"),
        confirmation("s", "2026-10-31T12:00:00Z", subject="ticket-2"),
    )
    assert (counted(meter, OCTOBER, customer), counted(meter, NOVEMBER, customer)) == (2, 1)


def test_a_confirmation_by_subject_is_not_about_outcomes_that_come_after_it(customer: Any) -> None:
    """The outcome waits for its own window and settles in November, not when the subject was confirmed before."""
    meter = make_meter(verification_hours=Decimal(72))
    send(
        confirmation("s", "2026-10-10T12:00:00Z", subject="ticket-1"),
        resolved("a", "2026-10-31T10:00:00Z", "ticket-1"),
    )
    assert (counted(meter, OCTOBER, customer), counted(meter, NOVEMBER, customer)) == (0, 1)


def test_a_signal_says_nothing_about_another_outcome_that_was_amended(customer: Any) -> None:
    meter = make_meter(verification_hours=Decimal(24))
    send(resolved("a", "2026-10-03T10:00:00Z"), resolved("b", "2026-10-03T10:00:00Z"))
    amend_event(
        Event.objects.get(key="b"), {"subject": "other"}, reason="typo", by="staff", now=NOW, bounds=BOUNDS
    )
    send(reversal("r", "2026-10-03T12:00:00Z", key="a"))
    assert counted(meter, OCTOBER, customer) == 1


def test_an_outcome_without_evidence_by_the_time_it_settles_does_not_count(customer: Any) -> None:
    calls = make_meter("calls")
    meter = make_meter(verification_hours=Decimal(24), evidence_meter=calls)
    send(
        resolved("a", "2026-10-03T10:00:00Z", "ticket-1"),
        resolved("b", "2026-10-03T10:00:00Z", "ticket-2"),
        resolved("c", "2026-10-03T10:00:00Z", "ticket-3"),
        event("call-1", meter="calls", subject="ticket-1", occurred_at="2026-10-04T10:00:00Z"),
        event("call-2", meter="calls", subject="ticket-2", occurred_at="2026-10-04T10:00:01Z"),
    )
    assert counted(meter, OCTOBER, customer) == 1


def test_a_signal_about_an_amended_outcome_is_about_its_replacement(customer: Any) -> None:
    meter = make_meter(verification_hours=Decimal(24))
    send(resolved("a", "2026-10-03T10:00:00Z"), reversal("r", "2026-10-05T10:00:00Z", key="a"))
    amend_event(Event.objects.get(key="a"), {"value": "2"}, reason="two", by="staff", now=NOW, bounds=BOUNDS)
    assert counted(meter, OCTOBER, customer) == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"reverses": {"key": "a"}, "value": "1"}, "invalid_value"),
        ({"reverses": {}}, "invalid_reverses"),
        ({"confirms": {"key": "a", "subject": "b"}}, "invalid_confirms"),
        ({"reverses": {"key": "a"}, "confirms": {"key": "a"}}, "invalid_confirms"),
        ({"reverses": {"subject": "x"}, "subject": "y"}, "invalid_subject"),
        ({"reverses": {"ticket": "x"}}, "unknown_field"),
        ({"reverses": "evt-1"}, "invalid_reverses"),
        ({}, "subject_required"),
    ],
)
def test_a_signal_that_is_none_is_refused_by_name(customer: Any, fields: dict[str, Any], code: str) -> None:
    make_meter(once_per_subject="ever")
    result = send(event("r", **fields)).results[0]
    assert (result.status.value, result.code) == ("rejected", code)
    assert not Event.objects.exists()


def test_a_meter_that_counts_no_outcomes_takes_no_signals(customer: Any) -> None:
    make_meter()
    result = send(event("r", reverses={"key": "a"})).results[0]
    assert (result.status.value, result.code) == ("rejected", "no_outcome_meter")


def test_a_signal_sent_again_is_a_duplicate_and_with_another_target_a_conflict(customer: Any) -> None:
    make_meter(once_per_subject="ever")
    first = reversal("r", "2026-10-05T10:00:00Z", subject="ticket-1")
    statuses = [send(each).results[0].status.value for each in (first, first)]
    statuses.append(send(reversal("r", "2026-10-05T10:00:00Z", subject="ticket-2")).results[0].status.value)
    statuses.append(
        send(confirmation("r", "2026-10-05T10:00:00Z", subject="ticket-1")).results[0].status.value
    )
    assert statuses == ["accepted", "duplicate", "conflict", "conflict"]


def test_a_reversal_by_subject_at_the_very_instant_of_the_outcome_takes_it_back(customer: Any) -> None:
    meter = make_meter(once_per_subject="ever")
    at = "2026-10-03T10:00:00Z"
    send(resolved("a", at, "ticket-1"), reversal("r", at, subject="ticket-1"))
    assert counted(meter, OCTOBER, customer) == 0


def test_a_chart_looks_at_each_outcome_once_however_many_bars_it_has(customer: Any) -> None:
    meter = make_meter(once_per_subject="ever")
    send(*(resolved(str(n), f"2026-10-{n % 30 + 1:02}T10:00:00Z") for n in range(60)))
    with CaptureQueriesContext(connection) as queries:
        (bars,) = measure_series(
            meter,
            start=OCTOBER[0],
            end=OCTOBER[1],
            interval=Interval.DAY,
            zone="UTC",
            customer_id=customer.pk,
        )
    assert [point.value for point in bars.points] == [2] * 30 + [0]
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + queries.captured_queries[-1]["sql"])
        plan = json.dumps(cursor.fetchone()[0])
    (ranked,) = re.findall(r'"Node Type": "WindowAgg".*?"Actual Rows": ([0-9.]+)', plan)
    assert float(ranked) == 60
