"""Late, voided and released events reach the next invoice by one mechanism; an issued invoice never changes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from billing.checking import ask_for_check, run_audit
from billing.close_reports import CloseReport
from billing.closing import close_period
from billing.ending import end_subscription
from billing.models import ChangedLine, CheckKind, Invoice, InvoiceLine
from billing.months import Month
from billing.previewing import preview_invoice
from metering.correcting import void_event
from metering.models import Event
from metering.releasing import release_unmatched
from tests.factories import (
    NOW,
    TICKETS,
    event,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)

pytestmark = pytest.mark.django_db
OCTOBER, NOVEMBER, DECEMBER = Month(2026, 10), Month(2026, 11), Month(2026, 12)


def void(key: str) -> None:
    void_event(Event.objects.get(key=key), reason="reopened", by="clerk", now=NOW)


def close(month: Month, **options: bool) -> CloseReport:
    following = datetime(month.following.year, month.following.month, 5, tzinfo=UTC)
    return close_period(month, now=following, grace_days=0, **options)


def lines_of(month: Month) -> list[tuple[str, Decimal, Decimal]]:
    lines = InvoiceLine.objects.filter(invoice__period_start=month.first).order_by("invoice_id", "n")
    return list(lines.values_list("kind", "quantity", "amount"))


def test_five_late_and_one_voided_are_exactly_the_difference_on_the_next_invoice() -> None:
    subscription = make_subscription()
    send_tickets(110)
    close(OCTOBER)
    october = list(Invoice.objects.values()), list(InvoiceLine.objects.values())
    send_tickets(5, first=110)
    void("evt-0")
    send(event("november", occurred_at="2026-11-02T00:00:00Z"))
    # 110 - 1 + 5 = 114 tickets: 4 more than billed, 8.00, beside November's one ticket.
    preview = preview_invoice(subscription, now=NOW)
    assert [(line.kind, line.quantity, line.amount) for line in preview.lines] == [
        ("usage", 1, Decimal(2)),
        ("adjustment", 4, Decimal(8)),
    ]
    close(NOVEMBER)
    assert lines_of(NOVEMBER) == [("usage", 1, Decimal(2)), ("adjustment", 4, Decimal(8))]
    adjustment = InvoiceLine.objects.get(kind="adjustment")
    assert adjustment.description == "Adjustment of Tickets Resolved, invoice INV-2026-000001"
    assert (adjustment.period_start, adjustment.period_end) == (date(2026, 10, 1), date(2026, 11, 1))
    kept = Invoice.objects.filter(period_start=OCTOBER.first)
    assert (list(kept.values()), list(InvoiceLine.objects.filter(invoice__in=kept).values())) == october
    close(DECEMBER)
    assert lines_of(DECEMBER) == [("usage", 0, Decimal(0))]
    assert not ChangedLine.objects.exists()
    audit = run_audit(ask_for_check(CheckKind.AUDIT, by="test", now=NOW))
    assert [each for each in audit.findings if each["differences"]] == []


def test_closing_again_bills_a_late_event_once() -> None:
    make_subscription()
    close(OCTOBER)
    send_tickets(3)
    close(NOVEMBER)
    close(NOVEMBER)
    close(OCTOBER)
    assert lines_of(NOVEMBER) == [("usage", 0, Decimal(0)), ("adjustment", 3, Decimal(6))]
    assert Invoice.objects.count() == 2


def test_events_released_from_unmatched_after_the_close_are_billed_next() -> None:
    make_subscription()
    send(event("early", customer="globex"))
    close(OCTOBER)
    make_subscription(make_customer("globex"))
    close(OCTOBER)
    send(event("later", customer="hooli"))
    hooli = make_subscription(make_customer("hooli"))
    close(OCTOBER)
    release_unmatched(now=NOW)
    close(NOVEMBER)
    assert Event.objects.exclude(meter=None).count() == 2
    assert sum(Invoice.objects.filter(customer__code="globex").values_list("total", flat=True)) == 2
    assert sum(Invoice.objects.filter(customer=hooli.customer).values_list("total", flat=True)) == 2


def test_graduated_usage_is_rated_again_as_a_whole() -> None:
    make_meter()
    tiers = [{"up_to": "10", "unit_amount": "3"}, {"up_to": None, "unit_amount": "1"}]
    terms = {"kind": "usage", "meter": "tickets_resolved", "model": "graduated", "tiers": tiers}
    make_subscription(make_customer(), make_plan(terms))
    send_tickets(8)
    close(OCTOBER)
    send_tickets(4, first=8)
    close(NOVEMBER)
    # 8 x 3 = 24.00 was billed; 12 tickets are 10 x 3 + 2 x 1 = 32.00.
    assert lines_of(NOVEMBER)[1] == ("adjustment", 4, Decimal(8))


def test_events_that_arrive_together_late_for_two_months_change_both() -> None:
    make_subscription(start_on=date(2026, 9, 1))
    for month in (Month(2026, 9), OCTOBER):
        close(month)
    send(event("a", occurred_at="2026-09-10T10:00:00Z"), event("b"), event("c"))
    close(NOVEMBER)
    assert lines_of(NOVEMBER)[1:] == [("adjustment", 1, Decimal(2)), ("adjustment", 2, Decimal(4))]


def test_what_is_rated_again_is_rounded_as_its_line_was() -> None:
    """1 x 0.335 was billed as 0.34; 3 x 0.335 = 1.005 is 1.01: 0.67 more."""
    make_meter()
    make_subscription(make_customer(), make_plan({**TICKETS, "unit_amount": "0.335"}))
    send_tickets(1)
    close(OCTOBER)
    send_tickets(2, first=1)
    close(NOVEMBER)
    assert lines_of(NOVEMBER) == [("usage", 0, Decimal(0)), ("adjustment", 2, Decimal("0.67"))]


def test_a_draft_in_its_grace_days_keeps_the_adjustment_when_it_is_drawn_up_again() -> None:
    make_subscription()
    close(OCTOBER)
    send_tickets(2)
    for day, hour in ((1, 1), (1, 2), (4, 0)):
        close_period(NOVEMBER, now=datetime(2026, 12, day, hour, tzinfo=UTC), grace_days=2)
        assert lines_of(NOVEMBER)[1:] == [("adjustment", 2, Decimal(4))]
    assert Invoice.objects.get(period_start=NOVEMBER.first).status == "issued"


def test_a_dry_run_shows_the_adjustment_and_writes_nothing() -> None:
    make_subscription()
    close(OCTOBER)
    send_tickets(2)
    dry = close(NOVEMBER, dry_run=True)
    assert dry.totals == {"USD": Decimal(4)}
    assert (Invoice.objects.count(), ChangedLine.objects.count()) == (1, 0)


def test_the_plan_that_follows_carries_what_was_late_for_the_one_that_ended() -> None:
    first = make_subscription()
    close(OCTOBER)
    end_subscription(first, end_on=date(2026, 11, 1))
    other = make_plan(TICKETS | {"unit_amount": "5.00"}, code="other")
    make_subscription(first.customer, other, start_on=date(2026, 11, 1))
    send_tickets(3)
    close(NOVEMBER)
    # Late October tickets cost what was agreed for October: 3 x 2.00.
    assert lines_of(NOVEMBER) == [("usage", 0, Decimal(0)), ("adjustment", 3, Decimal(6))]


def test_a_customer_who_left_gets_an_invoice_of_the_difference_alone() -> None:
    subscription = make_subscription()
    close(OCTOBER)
    end_subscription(subscription, end_on=date(2026, 11, 1))
    send_tickets(3)
    close(NOVEMBER)
    close(NOVEMBER)
    invoice = Invoice.objects.get(kind="adjustment")
    assert (invoice.total, invoice.lines.count(), Invoice.objects.count()) == (Decimal(6), 1, 2)


def test_what_a_draft_carries_is_not_settled_by_a_later_month_that_is_issued_before_it() -> None:
    """November's draft carries October's late ticket; December is issued first; the ticket is billed once."""
    make_subscription()
    close_period(Month(2026, 10), now=datetime(2026, 11, 2, tzinfo=UTC), grace_days=0)
    send_tickets(1)
    close_period(Month(2026, 11), now=datetime(2026, 12, 2, tzinfo=UTC), grace_days=60)
    close_period(Month(2026, 12), now=datetime(2027, 1, 2, tzinfo=UTC), grace_days=0)
    close_period(Month(2026, 11), now=datetime(2027, 1, 3, tzinfo=UTC), grace_days=0)
    assert [invoice.total for invoice in Invoice.objects.order_by("period_start")] == [0, 2, 0]
