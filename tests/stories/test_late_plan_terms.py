"""Late usage of a period with a minimum, included spend or a service fee changes what those come to, to the cent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.auditing import audit
from billing.closing import close_period
from billing.deciding import bill_late_usage, find_late_usage, waive_late_usage
from billing.errors import DecidedTogether
from billing.line_events import events_of_line
from billing.models import AdjustmentWaiver, ChangedLine, Invoice, InvoiceLine
from billing.months import Month
from billing.verifying import verify_invoice
from metering.correcting import void_event
from metering.models import Event
from tests.factories import (
    NOW,
    TICKETS,
    event,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)
from tests.staff import make_staff

pytestmark = pytest.mark.django_db
OCTOBER, NOVEMBER, DECEMBER = Month(2026, 10), Month(2026, 11), Month(2026, 12)
CALLS = {"kind": "usage", "meter": "calls", "model": "per_unit", "unit_amount": "1.00"}


def close(month: Month) -> None:
    following = datetime(month.following.year, month.following.month, 5, tzinfo=UTC)
    close_period(month, now=following, grace_days=0)


def void(key: str) -> None:
    void_event(Event.objects.get(key=key), reason="reopened", by="clerk", now=NOW)


def sell(*rates: dict[str, Any], **terms: Any) -> None:
    make_meter()
    if len(rates) > 1:
        make_meter("calls", unit="call")
    make_subscription(plan=make_plan(*(rates or (TICKETS,)), **terms))


def printed(month: Month) -> list[tuple[str, str]]:
    lines = InvoiceLine.objects.filter(invoice__period_start=month.first).order_by("invoice_id", "n")
    return [(line.description, f"{line.amount:.2f}") for line in lines]


def assert_proven() -> None:
    for invoice in Invoice.objects.exclude(status__in=["draft", "void"]):
        assert verify_invoice(invoice).differences == []
    assert [answer.named for answer in audit() if answer.differences] == []


def test_late_usage_below_the_minimum_costs_only_what_exceeds_it() -> None:
    """40 tickets are 80.00, topped up by 20.00; 15 late ones, 30.00, make 110.00: 10.00 more than was billed."""
    sell(minimum_amount=Decimal(100))
    send_tickets(40)
    close(OCTOBER)
    assert printed(OCTOBER) == [("Tickets Resolved", "80.00"), ("Plan minimum", "20.00")]
    send_tickets(15, first=40)
    close(NOVEMBER)
    late = Invoice.objects.get(period_start="2026-11-01")
    assert printed(NOVEMBER) == [
        ("Tickets Resolved", "0.00"),
        ("Plan minimum", "100.00"),
        ("Adjustment of Tickets Resolved, invoice INV-2026-000001", "30.00"),
        ("Adjustment of Plan minimum, invoice INV-2026-000001", "-20.00"),
    ]
    assert late.total == 110  # November's own minimum and the 10.00
    steps = [(step["label"], step["amount"]) for step in late.lines.get(adjusts_plan=True).working]
    assert steps == [("Nothing owed now", "0"), ("Billed before", "-20.0000")]
    assert {each.key for each in events_of_line(late.lines.get(adjusts_plan=True))} == {
        f"evt-{n}" for n in range(40, 55)
    }
    assert_proven()


def test_usage_taken_back_below_the_minimum_costs_nothing_and_is_proven() -> None:
    """60 tickets are 120.00; 20 void ones leave 80.00, so the minimum now takes 20.00: only 20.00 go back."""
    sell(minimum_amount=Decimal(100))
    send_tickets(60)
    close(OCTOBER)
    for n in range(20):
        void(f"evt-{n}")
    close(NOVEMBER)
    assert printed(NOVEMBER)[2:] == [
        ("Adjustment of Tickets Resolved, invoice INV-2026-000001", "-40.00"),
        ("Adjustment of Plan minimum, invoice INV-2026-000001", "20.00"),
    ]
    assert_proven()


def test_what_is_late_twice_is_settled_twice_and_not_more() -> None:
    """80.00 + 20.00; 5 late: still 100.00 in all; 10 more: 110.00."""
    sell(minimum_amount=Decimal(100))
    send_tickets(40)
    close(OCTOBER)
    send_tickets(5, first=40)
    close(NOVEMBER)
    send_tickets(10, first=45)
    close(DECEMBER)
    assert printed(NOVEMBER)[2:] == [
        ("Adjustment of Tickets Resolved, invoice INV-2026-000001", "10.00"),
        ("Adjustment of Plan minimum, invoice INV-2026-000001", "-10.00"),
    ]
    assert printed(DECEMBER)[2:] == [
        ("Adjustment of Tickets Resolved, invoice INV-2026-000001", "20.00"),
        ("Adjustment of Plan minimum, invoice INV-2026-000001", "-10.00"),
    ]
    assert_proven()


def test_a_service_fee_is_due_on_late_usage_and_included_spend_takes_it_off_first() -> None:
    """20 tickets, 40.00, are within the 50.00 included. 10 late: 60.00, so 10.00 are charged, and 5 % of it: 0.50."""
    sell(included_spend=Decimal(50), service_fee_percent=Decimal(5))
    send_tickets(20)
    close(OCTOBER)
    assert printed(OCTOBER) == [("Tickets Resolved", "40.00"), ("Included spend", "-40.00")]
    send_tickets(10, first=20)
    close(NOVEMBER)
    # Included spend -40.00 -> -50.00, service fee 0.00 -> 0.50: -9.50 together; the whole difference is 10.50.
    assert printed(NOVEMBER) == [
        ("Tickets Resolved", "0.00"),
        ("Adjustment of Tickets Resolved, invoice INV-2026-000001", "20.00"),
        ("Adjustment of Included spend, Service fee 5 %, invoice INV-2026-000001", "-9.50"),
    ]
    assert_proven()


def test_two_changed_lines_of_one_invoice_share_one_minimum() -> None:
    """30 tickets and 20 calls are 80.00 + 20.00. 5 late tickets and 25 late calls are 35.00 more: 115.00, so 15.00."""
    sell(TICKETS, CALLS, minimum_amount=Decimal(100))
    send_tickets(30)
    send(*(event(f"call-{n}", meter="calls") for n in range(20)))
    close(OCTOBER)
    send_tickets(5, first=30)
    send(*(event(f"call-{n}", meter="calls") for n in range(20, 45)))
    close(NOVEMBER)
    assert [amount for _, amount in printed(NOVEMBER)[3:]] == ["10.00", "-20.00", "25.00"]
    assert_proven()


def test_the_minimum_counts_also_the_usage_that_did_not_change() -> None:
    """30 tickets and 20 calls are 80.00 + 20.00. 5 late tickets make it 70.00 + 20.00 of calls: 10.00 are missing."""
    sell(TICKETS, CALLS, minimum_amount=Decimal(100))
    send_tickets(30)
    send(*(event(f"call-{n}", meter="calls") for n in range(20)))
    close(OCTOBER)
    send_tickets(5, first=30)
    close(NOVEMBER)
    assert printed(NOVEMBER)[2:] == [
        ("Plan minimum", "100.00"),
        ("Adjustment of Tickets Resolved, invoice INV-2026-000001", "10.00"),
        ("Adjustment of Plan minimum, invoice INV-2026-000001", "-10.00"),
    ]
    assert_proven()


def test_a_void_invoice_takes_its_adjusted_minimum_back() -> None:
    sell(minimum_amount=Decimal(100))
    send_tickets(40)
    close(OCTOBER)
    send_tickets(15, first=40)
    close(NOVEMBER)
    Invoice.objects.filter(period_start="2026-10-01").update(status="void")
    close(DECEMBER)
    # November carried 30.00 - 20.00 for October, which is to be billed again as a whole.
    assert [amount for _, amount in printed(DECEMBER)[2:]] == ["-30.00", "20.00"]


def test_the_workbench_shows_and_waives_the_whole_effect_of_an_invoice() -> None:
    """The effects are 10.00 - 20.00 and 25.00; one without the other cannot be waived."""
    sell(TICKETS, CALLS, minimum_amount=Decimal(100))
    send_tickets(30)
    send(*(event(f"call-{n}", meter="calls") for n in range(20)))
    close(OCTOBER)
    send_tickets(5, first=30)
    send(*(event(f"call-{n}", meter="calls") for n in range(20, 45)))
    find_late_usage(now=NOW)
    shown = dict(ChangedLine.objects.order_by("line_id").values_list("pk", "effect_amount"))
    assert list(shown.values()) == [Decimal(-10), Decimal(25)]
    one = dict([next(iter(shown.items()))])
    with pytest.raises(DecidedTogether, match="INV-2026-000001"):
        waive_late_usage(one, reason="Agreed.", by=make_staff(), now=NOW)
    assert not AdjustmentWaiver.objects.exists()
    waive_late_usage(shown, reason="Agreed.", by=make_staff("Billing admin"), now=NOW)
    assert [str(each.amount) for each in AdjustmentWaiver.objects.order_by("id")] == [
        "10.0000",
        "-20.0000",
        "25.0000",
    ]
    close(NOVEMBER)
    assert len(printed(NOVEMBER)) == 3  # tickets, calls, November's own minimum
    assert_proven()


def test_lines_of_an_invoice_with_a_minimum_wait_for_a_decision_together(settings: Any) -> None:
    settings.ADJUSTMENT_REVIEW_FROM = Decimal(20)
    sell(TICKETS, CALLS, minimum_amount=Decimal(100))
    send_tickets(30)
    send(*(event(f"call-{n}", meter="calls") for n in range(20)))
    close(OCTOBER)
    send_tickets(5, first=30)
    send(*(event(f"call-{n}", meter="calls") for n in range(20, 45)))
    close(NOVEMBER)
    assert len(printed(NOVEMBER)) == 3
    find_late_usage(now=NOW)
    changed = ChangedLine.objects.values_list("pk", flat=True)
    assert bill_late_usage(list(changed), by=make_staff(), now=NOW) == 2
    close(DECEMBER)
    assert [amount for _, amount in printed(DECEMBER)[3:]] == ["10.00", "-20.00", "25.00"]
