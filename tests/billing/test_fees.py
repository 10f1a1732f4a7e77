"""Fees in advance: settled by difference, at the start of the period where the plan says so, never twice."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.closing import close_period
from billing.models import Invoice, InvoiceLine
from billing.months import Month
from billing.previewing import preview_invoice
from tests.factories import NOW, TICKETS, make_customer, make_meter, make_plan, make_subscription

pytestmark = pytest.mark.django_db
START = {"kind": "subscription", "label": "Base", "amount": "300.00", "timing": "at_start"}


def close(month: int, *, now: datetime = NOW, **options: Any) -> None:
    close_period(Month(2026, month), now=now, grace_days=0, **options)


def printed(**chosen: Any) -> list[list[tuple[str, str]]]:
    """Give description and amount of every line, invoice by invoice in the order of issue."""
    return [
        [(line.description, f"{line.amount:.2f}") for line in invoice.lines.all()]
        for invoice in Invoice.objects.filter(**chosen).order_by("sequence")
    ]


def test_a_fee_at_the_start_is_invoiced_as_soon_as_the_plan_begins_then_with_the_period_before() -> None:
    make_subscription(make_customer(), make_plan(START), start_on=date(2026, 11, 1))
    close(10, now=datetime(2026, 11, 1, 0, 0, tzinfo=UTC))
    start = Invoice.objects.get()
    assert (start.kind, start.status, start.total) == ("at_start", "issued", Decimal(300))
    close(10, now=datetime(2026, 11, 20, tzinfo=UTC))
    assert Invoice.objects.count() == 1
    close(11, now=datetime(2026, 12, 1, tzinfo=UTC))
    december = Invoice.objects.get(kind="periodic")
    fee = december.lines.get()
    assert (december.period_start, december.period_end) == (date(2026, 11, 1), date(2026, 12, 1))
    assert (fee.period_start, fee.period_end, fee.amount) == (date(2026, 12, 1), date(2027, 1, 1), 300)


def test_a_first_part_is_charged_by_days_at_the_start() -> None:
    make_subscription(make_customer(), make_plan(START), start_on=date(2026, 11, 16))
    close(10, now=datetime(2026, 11, 20, tzinfo=UTC))
    assert printed() == [[("Base (15 of 30 days)", "150.00")]]


def test_the_preview_of_a_running_period_knows_the_fee_at_its_start() -> None:
    subscription = make_subscription(make_customer(), make_plan(START), start_on=date(2026, 11, 1))
    before = preview_invoice(subscription, now=NOW)
    close(10)
    after = preview_invoice(subscription, now=NOW)
    assert [line.period.start_on for line in before.lines] == [date(2026, 12, 1)]
    assert (before.total, after.total, after.lines) == (300, 300, before.lines)
    close(11, now=datetime(2026, 12, 1, tzinfo=UTC))
    assert [(line.amount, line.description) for line in InvoiceLine.objects.order_by("id")][1:] == [
        (line.amount, line.description) for line in after.lines
    ]


def test_months_closed_late_and_in_any_order_carry_each_fee_once() -> None:
    make_subscription(make_customer(), make_plan(START), start_on=date(2026, 8, 1))
    later = datetime(2026, 11, 2, tzinfo=UTC)
    for month in (10, 8, 9, 10, 8):
        close(month, now=later)
    fees = InvoiceLine.objects.order_by("period_start").values_list("period_start", "amount", "fee_n")
    assert list(fees) == [(date(2026, month, 1), Decimal(300), 1) for month in (8, 9, 10, 11)]


def test_a_yearly_fee_after_a_trial_is_on_the_invoice_of_its_first_day_and_no_earlier_one() -> None:
    """The year ends on 31 December; 153 of its 365 days are left from 1 August: 365.00 x 153 / 365 = 153.00."""
    make_meter()
    yearly = START | {"amount": "365.00", "timing": "in_advance"}
    plan = make_plan(yearly, TICKETS, billing_period="yearly", usage_period="monthly")
    make_subscription(make_customer(), plan, start_on=date(2026, 6, 1), trial_days=61)
    later = datetime(2026, 10, 2, tzinfo=UTC)
    for month in (6, 7, 8, 9):
        close(month, now=later)
    usage = ("Tickets Resolved", "0.00")
    assert printed() == [[usage], [usage], [("Base (153 of 365 days)", "153.00"), usage], [usage]]


def test_a_yearly_fee_in_arrears_is_on_the_last_invoice_of_its_year_and_of_who_leaves_and_on_no_other() -> (
    None
):
    """365.00 for 92 of 365 days from October on are 92.00; for October and November alone 61.00."""
    make_meter()
    yearly = START | {"amount": "365.00", "timing": "in_arrears"}
    plan = make_plan(yearly, TICKETS, billing_period="yearly", usage_period="monthly")
    make_subscription(make_customer("stays"), plan)
    make_subscription(make_customer("leaves"), plan, end_on=date(2026, 12, 1))
    for month in (10, 11, 12):
        close(month, now=datetime(2027, 1, 2, tzinfo=UTC))
    usage = ("Tickets Resolved", "0.00")
    assert printed(customer__code="stays") == [[usage], [usage], [("Base (92 of 365 days)", "92.00"), usage]]
    assert printed(customer__code="leaves") == [[usage], [("Base (61 of 365 days)", "61.00"), usage]]
