"""Outcomes in the reconciliation: each where it stands, to the event. Figures worked by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise

import pytest

from billing.closing import close_period
from billing.deciding import find_late_usage, waive_late_usage
from billing.models import ChangedLine
from billing.months import Month
from billing.reconciling import events_of, reconcile
from metering.correcting import void_event
from metering.models import Event, Meter
from metering.standings import Standing
from tests.factories import NOW, event, make_customer, make_meter, make_plan, make_subscription, send
from tests.staff import make_staff

pytestmark = pytest.mark.django_db

EDGES = [datetime(2026, month, 1, tzinfo=UTC) for month in (9, 10, 11, 12)]
SEPTEMBER, OCTOBER, NOVEMBER = pairwise(EDGES)
LATER = datetime(2026, 12, 2, tzinfo=UTC)


def close(month: int) -> None:
    close_period(Month(2026, month), now=datetime(2026, month + 1, 1, 12, tzinfo=UTC), grace_days=0)


def stand(period: tuple[datetime, datetime], **asked: object) -> dict[str, int]:
    """The counts of a month that are not 0; nothing is ever unaccounted for, and accepted is the sum of its parts."""
    found = reconcile(*period, **asked)  # type: ignore[arg-type]
    assert found.difference == 0
    assert found.standing("accepted") == sum(found.standing(each) for each in Standing)
    names = (
        "accepted", "billed", "not_yet_billed", "free", "voided", "waived", "signals", "reversed", "repeated",
        "unproven", "voided_after_billing", "reversed_after_billing",
    )  # fmt: skip
    return {name: count for name in names if (count := found.standing(name))}


def keys(standing: Standing, period: tuple[datetime, datetime]) -> list[str]:
    found = events_of(
        standing, meter=Meter.objects.get(code="tickets_resolved"), start=period[0], end=period[1]
    )
    return sorted(each.key for each in found)


def test_reversed_repeated_and_signals_are_free_and_what_was_billed_before_is_taken_back_once() -> None:
    make_meter(once_per_subject="ever", verification_hours=Decimal(72))
    make_subscription()
    send(
        *(event(f"evt-{n}", subject=f"ticket-{n}", occurred_at="2026-10-05T09:00:00Z") for n in range(12)),
        event("again", subject="ticket-7", occurred_at="2026-10-12T09:00:00Z"),
        *(
            event(f"back-{n}", occurred_at="2026-10-06T09:00:00Z", reverses={"subject": f"ticket-{n}"})
            for n in (1, 2, 3)
        ),
    )
    # 12 tickets, one of them twice: 13 outcomes and 3 reversals. 12 - 3 = 9 count.
    counted = {"accepted": 16, "free": 7, "signals": 3, "reversed": 3, "repeated": 1}
    assert stand(OCTOBER) == counted | {"not_yet_billed": 9}
    close(10)
    assert stand(OCTOBER) == counted | {"billed": 9}
    assert keys(Standing.FREE, OCTOBER) == ["again", "back-1", "back-2", "back-3", "evt-1", "evt-2", "evt-3"]

    send(
        event("back-5", occurred_at="2026-11-10T09:00:00Z", reverses={"key": "evt-5"}),
        event("new", subject="ticket-99", occurred_at="2026-11-12T09:00:00Z"),
    )
    after = {"accepted": 16, "billed": 8, "free": 8, "signals": 3, "reversed": 4, "repeated": 1}
    assert stand(OCTOBER) == after | {"reversed_after_billing": 1}
    assert reconcile(*OCTOBER).taken_back == 1
    assert stand(NOVEMBER) == {"accepted": 2, "not_yet_billed": 1, "free": 1, "signals": 1}
    close(11)
    assert stand(OCTOBER) == after
    assert stand(NOVEMBER) == {"accepted": 2, "billed": 1, "free": 1, "signals": 1}


def test_an_outcome_that_settles_next_month_is_not_yet_billed_until_then() -> None:
    make_meter(verification_hours=Decimal(72))
    make_subscription()
    send(
        event("in", occurred_at="2026-10-28T23:59:59Z"),
        event("out", occurred_at="2026-10-29T00:00:00Z"),
        event("early", occurred_at="2026-10-31T20:00:00Z"),
        event("yes", occurred_at="2026-10-31T22:00:00Z", confirms={"key": "early"}),
    )
    close(10)
    assert stand(OCTOBER) == {"accepted": 4, "billed": 2, "not_yet_billed": 1, "free": 1, "signals": 1}
    assert keys(Standing.BILLED, OCTOBER) == ["early", "in"]
    assert keys(Standing.NOT_YET_BILLED, OCTOBER) == ["out"]
    close(11)
    assert stand(OCTOBER) == {"accepted": 4, "billed": 3, "free": 1, "signals": 1}


def test_a_signal_that_comes_after_the_invoice_moves_what_it_is_about() -> None:
    make_meter(verification_hours=Decimal(72))
    make_subscription()
    send(event("a", occurred_at="2026-10-30T00:00:00Z"), event("b", occurred_at="2026-10-05T00:00:00Z"))
    send(event("r", occurred_at="2026-10-06T00:00:00Z", reverses={"key": "b"}))
    close(10)
    assert stand(OCTOBER) == {
        "accepted": 3, "not_yet_billed": 1, "free": 2, "signals": 1, "reversed": 1,
    }  # fmt: skip
    # The confirmation puts a into October, whose invoice did not count it; without the reversal b counts again.
    send(event("yes", occurred_at="2026-10-31T00:00:00Z", confirms={"key": "a"}))
    void_event(Event.objects.get(key="r"), reason="wrong", by="staff", now=LATER)
    assert stand(OCTOBER) == {"accepted": 4, "not_yet_billed": 2, "free": 1, "signals": 1, "voided": 1}
    close(11)
    assert stand(OCTOBER) == {"accepted": 4, "billed": 2, "free": 1, "signals": 1, "voided": 1}


def test_a_subject_counts_once_in_each_billing_period_and_not_without_activity() -> None:
    work = make_meter("work")
    make_meter(once_per_subject="period", evidence_meter=work)
    make_subscription(make_customer(timezone="America/New_York"), start_on=date(2026, 9, 1))
    send(
        event("w", meter="work", subject="ticket-1", occurred_at="2026-09-02T00:00:00Z"),
        event("a", subject="ticket-1", occurred_at="2026-09-10T00:00:00Z"),
        event("b", subject="ticket-1", occurred_at="2026-10-01T03:59:59Z"),  # still September in New York
        event("c", subject="ticket-1", occurred_at="2026-10-01T04:00:00Z"),
        event("d", subject="ticket-2", occurred_at="2026-10-02T00:00:00Z"),
    )
    close(9)
    assert stand(SEPTEMBER) == {"accepted": 2, "billed": 1, "free": 1}  # the work itself is free of charge
    assert stand(OCTOBER) == {
        "accepted": 3, "not_yet_billed": 1, "free": 2, "repeated": 1, "unproven": 1,
    }  # fmt: skip
    close(10)
    assert stand(OCTOBER) == {"accepted": 3, "billed": 1, "free": 2, "repeated": 1, "unproven": 1}


def test_a_voided_outcome_that_was_billed_is_taken_back_and_the_one_it_hid_counts() -> None:
    make_meter(once_per_subject="ever")
    make_subscription()
    send(
        event("first", subject="ticket-1", occurred_at="2026-10-05T00:00:00Z"),
        event("second", subject="ticket-1", occurred_at="2026-10-06T00:00:00Z"),
    )
    close(10)
    assert stand(OCTOBER) == {"accepted": 2, "billed": 1, "free": 1, "repeated": 1}
    void_event(Event.objects.get(key="first"), reason="wrong", by="staff", now=LATER)
    assert stand(OCTOBER) == {"accepted": 2, "not_yet_billed": 1, "voided": 1, "voided_after_billing": 1}
    close(11)
    assert stand(OCTOBER) == {"accepted": 2, "billed": 1, "voided": 1}


def test_a_difference_that_staff_waived_is_neither_billed_nor_taken_back() -> None:
    make_meter(once_per_subject="ever")
    make_subscription()
    send(*(event(f"evt-{n}", subject=f"t{n}") for n in range(3)))
    close(10)
    send(
        event("late-1", subject="t8"),
        event("late-2", subject="t9"),
        event("back", occurred_at="2026-10-20T00:00:00Z", reverses={"subject": "t0"}),
    )
    before = {"accepted": 6, "billed": 2, "free": 2, "signals": 1, "reversed": 1}
    assert stand(OCTOBER) == before | {"not_yet_billed": 2, "reversed_after_billing": 1}
    find_late_usage(now=NOW)
    (change,) = ChangedLine.objects.all()
    assert change.effect_quantity == 1  # two more, one less
    assert change.effect_amount is not None
    waive_late_usage({change.pk: change.effect_amount}, reason="Agreed.", by=make_staff(), now=NOW)
    waived = {"accepted": 6, "billed": 2, "free": 4, "waived": 2, "signals": 1, "reversed": 1}
    assert stand(OCTOBER) == waived
    # What comes after the waiver is billed; what was waived stays free.
    send(event("later", subject="t10"))
    assert stand(OCTOBER) == waived | {"accepted": 7, "not_yet_billed": 1}
    close(11)
    assert stand(OCTOBER) == waived | {"accepted": 7, "billed": 3}


def test_outcomes_without_a_price_are_free_and_customers_are_apart() -> None:
    make_meter(once_per_subject="ever", verification_hours=Decimal(24))
    acme, globex = make_customer(), make_customer("globex")
    make_subscription(acme, end_on=date(2026, 10, 10))
    send(
        event("a", subject="t1", occurred_at="2026-10-08T00:00:00Z"),
        event("late", subject="t2", occurred_at="2026-10-09T12:00:00Z"),  # settles after the plan's last day
        event("g", subject="t1", customer="globex", occurred_at="2026-10-08T00:00:00Z"),
        event("r", customer="globex", occurred_at="2026-10-08T01:00:00Z", reverses={"key": "g"}),
    )
    assert stand(OCTOBER) == {"accepted": 4, "not_yet_billed": 1, "free": 3, "signals": 1}
    assert stand(OCTOBER, customer=acme) == {"accepted": 2, "not_yet_billed": 1, "free": 1}
    assert stand(OCTOBER, customer=globex) == {"accepted": 2, "free": 2, "signals": 1}


def test_meters_of_other_types_stand_as_before_beside_outcomes() -> None:
    make_meter(once_per_subject="ever")
    make_meter("calls")
    rates = [
        {"kind": "usage", "meter": code, "model": "per_unit", "unit_amount": "1"}
        for code in ("tickets_resolved", "calls")
    ]
    make_subscription(plan=make_plan(*rates, code="both"))
    send(
        event("t", subject="t1"),
        event("t2", subject="t1"),
        event("c", meter="calls"),
        event("d", meter="calls"),
    )
    close(10)
    by_meter = {each.meter_id: each for each in reconcile(*OCTOBER).standings}
    tickets, calls = (by_meter[Meter.objects.get(code=code).pk] for code in ("tickets_resolved", "calls"))
    assert (tickets.billed, tickets.free, tickets.repeated) == (1, 1, 1)
    assert (calls.billed, calls.free, calls.repeated) == (2, 0, 0)
