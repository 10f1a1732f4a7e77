"""Results that hold are billed; those that do not are not, or are taken back. Figures worked by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.closing import close_period
from billing.models import Invoice
from billing.months import Month
from billing.verifying import verify_invoice
from metering.incoming import TimeBounds, decode_event
from metering.ingesting import record_events
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, make_subscription

pytestmark = pytest.mark.django_db
BOUNDS = TimeBounds(max_age=timedelta(days=400), max_ahead=timedelta(hours=1))


def send_at(now: datetime, *events: dict[str, Any]) -> None:
    import msgspec

    decoded = [decode_event(msgspec.json.encode(each)) for each in events]
    result = record_events(decoded, source="api", now=now, bounds=BOUNDS)
    assert result.counts["accepted"] == len(events)


def close(month: Month, now: datetime) -> Invoice:
    close_period(month, now=now, grace_days=0)
    return Invoice.objects.get(period_end=month.following)


def lines(invoice: Invoice) -> list[tuple[str, Decimal, Decimal]]:
    return [(line.kind, line.quantity, line.amount) for line in invoice.lines.all()]


def test_120_resolved_3_reopened_in_time_2_next_month_1_resolved_twice_50_included() -> None:
    make_meter(once_per_subject="ever", verification_hours=Decimal(72))
    make_subscription(make_customer(), make_plan({**TICKETS, "included_units": "50"}))
    day = datetime(2026, 10, 5, 9, tzinfo=UTC)
    send_at(
        day + timedelta(days=10),
        *(
            event(f"evt-{n}", subject=f"ticket-{n}", occurred_at=(day + timedelta(minutes=n)).isoformat())
            for n in range(120)
        ),
        event("evt-again", subject="ticket-7", occurred_at="2026-10-12T09:00:00Z"),
        # Three come back within 72 hours.
        *(
            event(f"back-{n}", occurred_at="2026-10-06T09:00:00Z", reverses={"subject": f"ticket-{n}"})
            for n in (1, 2, 3)
        ),
    )
    october = close(Month(2026, 10), datetime(2026, 11, 1, 12, tzinfo=UTC))
    # 120 - 3 = 117 tickets, 50 of them included: 67 x $2.00 = $134.00
    assert lines(october) == [("usage", 117, Decimal("134.00"))]

    # Two more come back in November, after the invoice: one named by its key, one by its subject.
    send_at(
        datetime(2026, 11, 20, tzinfo=UTC),
        event("back-50", occurred_at="2026-11-10T09:00:00Z", reverses={"key": "evt-50"}),
        event("back-51", occurred_at="2026-11-11T09:00:00Z", reverses={"subject": "ticket-51"}),
        event("evt-120", subject="ticket-120", occurred_at="2026-11-12T09:00:00Z"),
    )
    november = close(Month(2026, 11), datetime(2026, 12, 1, 12, tzinfo=UTC))
    # One ticket of November is included. October comes to 115 tickets now: 65 x $2.00 = $130.00, $4.00 less.
    assert lines(november) == [("usage", 1, Decimal("0.00")), ("adjustment", -2, Decimal("-4.00"))]
    october.refresh_from_db()
    assert october.total == Decimal("134.00")
    assert verify_invoice(october).differences == verify_invoice(november).differences == []


def test_a_window_that_crosses_the_end_of_the_month_and_the_clock_change_bills_in_the_month_it_settles() -> (
    None
):
    """In New York October ends at 04:00 UTC, and the clock goes back on 1 November: the day has 25 hours."""
    make_meter(verification_hours=Decimal(24))
    make_subscription(make_customer(timezone="America/New_York"))
    send_at(
        datetime(2026, 11, 3, tzinfo=UTC),
        event("in", occurred_at="2026-10-31T03:59:59Z"),  # settles one second before midnight of 31 October
        event("out", occurred_at="2026-10-31T04:00:00Z"),  # settles with the first instant of 1 November
        event("last", occurred_at="2026-11-01T23:00:00-05:00"),  # settles on 2 November at 23:00
    )
    assert lines(close(Month(2026, 10), datetime(2026, 11, 5, tzinfo=UTC))) == [("usage", 1, Decimal(2))]
    assert lines(close(Month(2026, 11), datetime(2026, 12, 5, tzinfo=UTC))) == [("usage", 2, Decimal(4))]


def test_an_outcome_reversed_after_billing_and_resolved_again_counts_once() -> None:
    make_meter(once_per_subject="ever")
    make_subscription(start_on=date(2026, 9, 1))
    send_at(
        datetime(2026, 9, 20, tzinfo=UTC),
        event("a", subject="ticket-1", occurred_at="2026-09-10T10:00:00Z"),
    )
    assert close(Month(2026, 9), datetime(2026, 10, 2, tzinfo=UTC)).total == 2
    send_at(
        datetime(2026, 10, 20, tzinfo=UTC),
        event("r", occurred_at="2026-10-10T10:00:00Z", reverses={"subject": "ticket-1"}),
        event("b", subject="ticket-1", occurred_at="2026-10-12T10:00:00Z"),
    )
    october = close(Month(2026, 10), datetime(2026, 11, 2, tzinfo=UTC))
    assert lines(october) == [("usage", 1, Decimal(2)), ("adjustment", -1, Decimal(-2))]
    # The reversal itself turns out wrong: taken back, the first outcome counts again and the second repeats it.
    from metering.correcting import void_event
    from metering.models import Event

    void_event(
        Event.objects.get(key="r"), reason="wrong ticket", by="staff", now=datetime(2026, 11, 9, tzinfo=UTC)
    )
    november = close(Month(2026, 11), datetime(2026, 12, 2, tzinfo=UTC))
    assert [(kind, amount) for kind, _, amount in lines(november)] == [
        ("usage", 0),
        ("adjustment", 2),
        ("adjustment", -2),
    ]


def test_a_reversal_of_an_outcome_that_was_moved_to_an_earlier_month_takes_it_off_there() -> None:
    """Sent as of 3 October, amended to 20 September and billed for September; the caller knows its first key."""
    from metering.correcting import amend_event
    from metering.models import Event

    make_meter(once_per_subject="ever")
    make_subscription(start_on=date(2026, 9, 1))
    sent_at = datetime(2026, 10, 4, tzinfo=UTC)
    send_at(sent_at, event("a", subject="ticket-1"))
    amend_event(
        Event.objects.get(key="a"),
        {"occurred_at": "2026-09-20T10:00:00Z"},
        reason="resolved in September",
        by="staff",
        now=sent_at,
        bounds=BOUNDS,
    )
    assert lines(close(Month(2026, 9), datetime(2026, 10, 5, tzinfo=UTC))) == [("usage", 1, Decimal(2))]
    send_at(
        datetime(2026, 10, 20, tzinfo=UTC),
        event("r", occurred_at="2026-10-10T10:00:00Z", reverses={"key": "a"}),
    )
    october = close(Month(2026, 10), datetime(2026, 11, 2, tzinfo=UTC))
    assert lines(october) == [("usage", 0, Decimal(0)), ("adjustment", -1, Decimal(-2))]
