"""Resolution and reversal rates and times to settle, worked by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from metering.models import Meter
from metering.quality import outcome_quality
from tests.factories import event, make_customer, make_meter, send

pytestmark = pytest.mark.django_db
SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)
NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)


def ticket(key: str, at: str, kind: str = "question", **fields: Any) -> dict[str, Any]:
    return event(key, subject=f"t-{key}", occurred_at=at, dimensions={"kind": kind}, workload="bot", **fields)


def sent(**fields: Any) -> Meter:
    """September: 4 tickets, 1 reversed, 1 confirmed after 6 hours. October: 1 settled, 1 repeated, 1 pending."""
    meter = make_meter(once_per_subject="ever", verification_hours=Decimal(24), dimensions=["kind"], **fields)
    make_customer()
    send(
        ticket("1", "2026-09-05T10:00:00Z"),
        ticket("2", "2026-09-06T10:00:00Z"),
        ticket("3", "2026-09-07T10:00:00Z", "refund"),
        ticket("4", "2026-09-08T10:00:00Z", "refund"),
        event("b", occurred_at="2026-09-07T12:00:00Z", reverses={"subject": "t-3"}),
        event("c", occurred_at="2026-09-08T16:00:00Z", confirms={"key": "4"}),
        ticket("5", "2026-10-02T10:00:00Z"),
        ticket("6", "2026-10-03T10:00:00Z") | {"subject": "t-1"},
        ticket("7", "2026-10-20T10:00:00Z"),
    )
    return meter


def test_rates_and_times_by_month_and_dimension() -> None:
    report = outcome_quality(sent(), since=SEPTEMBER, end=NOW, now=NOW, group_by="dimension:kind")
    september, october = report.months.values()
    assert list(report.months) == [SEPTEMBER, OCTOBER]
    assert (september.outcomes, september.settled, september.reversed) == (4, 3, 1)
    assert (september.resolution_rate, september.reversal_rate) == (Fraction(3, 4), Fraction(1, 4))
    # 24, 24 and 6 hours
    assert (september.median, september.most) == (timedelta(hours=24), timedelta(hours=24))
    assert (october.settled, october.repeated, october.pending) == (1, 1, 1)
    assert october.resolution_rate == Fraction(1, 2)
    assert {name: (each.settled, each.reversed) for name, each in report.groups.items()} == {
        "question": (3, 0),
        "refund": (1, 1),
    }
    assert report.groups["refund"].median == timedelta(hours=6)
    whole = report.whole
    assert (whole.outcomes, whole.settled, whole.reversed, whole.pending) == (7, 4, 1, 1)
    assert whole.resolution_rate == Fraction(4, 6)


def test_attempts_of_another_meter_are_what_is_settled_of() -> None:
    meter, attempts = sent(), make_meter("conversations")
    send(*(event(f"a{n}", meter="conversations", occurred_at="2026-09-05T09:00:00Z") for n in range(10)))
    report = outcome_quality(meter, since=SEPTEMBER, end=NOW, now=NOW, attempts=attempts)
    assert report.months[SEPTEMBER].resolution_rate == Fraction(3, 10)
    assert report.months[OCTOBER].attempted == 0
    assert report.months[OCTOBER].resolution_rate is None


def test_a_month_is_that_of_the_customers_clock_as_on_its_invoice() -> None:
    """Settled 1 October 02:00 UTC: still September in New York, October in Paris; as are the attempts."""
    meter, attempts = make_meter(verification_hours=Decimal(24)), make_meter("conversations")
    for code, zone in (("ny", "America/New_York"), ("paris", "Europe/Paris")):
        make_customer(code, timezone=zone)
        at = "2026-10-01T02:00:00Z"
        send(
            event(code, customer=code, occurred_at=at),
            event(f"{code}-a", meter="conversations", customer=code, occurred_at=at),
            event(f"{code}-b", customer=code, occurred_at="2026-09-01T03:59:59Z"),  # August in New York
        )
    report = outcome_quality(meter, since=SEPTEMBER, end=NOW, now=NOW, group_by="customer", attempts=attempts)
    assert {month: (each.settled, each.attempted) for month, each in report.months.items()} == {
        SEPTEMBER: (2, 1), OCTOBER: (1, 1),
    }  # fmt: skip
    assert {name: each.settled for name, each in report.groups.items()} == {"ny": 1, "paris": 2}


def test_a_subject_counts_once_in_a_month_of_its_customers_clock() -> None:
    meter = make_meter(once_per_subject="period")
    make_customer(timezone="America/New_York")
    for key, at in (
        ("a", "2026-09-10T10:00:00Z"),
        ("b", "2026-10-01T03:00:00Z"),
        ("c", "2026-10-01T05:00:00Z"),
    ):
        send(event(key, subject="t", occurred_at=at))
    whole = outcome_quality(meter, since=SEPTEMBER, end=NOW, now=NOW).whole
    assert (whole.settled, whole.repeated) == (2, 1)


def test_without_activity_an_outcome_is_unproven_and_others_customers_are_left_out() -> None:
    meter = sent(evidence_meter=make_meter("calls"))
    send(event("w", meter="calls", subject="t-1", occurred_at="2026-09-05T09:00:00Z"))
    whole = outcome_quality(meter, since=SEPTEMBER, end=NOW, now=NOW).whole
    assert (whole.settled, whole.repeated, whole.unproven, whole.reversed, whole.pending) == (1, 1, 3, 1, 1)
    other = make_customer("other")
    assert outcome_quality(meter, since=SEPTEMBER, end=NOW, now=NOW, customer_id=other.pk).whole.outcomes == 0
