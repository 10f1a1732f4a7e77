"""What is flagged as changed, and what an invoice, a waiver or a void invoice does to the flags, to the line."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from billing.closing import close_period
from billing.line_settling import drop_flags
from billing.models import AdjustmentScan, ChangedLine, Invoice, InvoiceLine, LineSettlement
from billing.months import Month
from billing.scanning import scan_changes
from billing.voiding import void_invoice
from metering.correcting import void_event
from metering.models import Event
from tests.factories import NOW, event, make_customer, make_subscription, send

pytestmark = pytest.mark.django_db
OCTOBER, NOVEMBER, DECEMBER = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)
JANUARY_2 = datetime(2027, 1, 2, tzinfo=UTC)


def start(*codes: str) -> None:
    """Each customer used one ticket in October, which is billed; one more comes late."""
    for code in codes:
        make_subscription(make_customer(code))
        send(event(f"{code}-1", customer=code))
    close(OCTOBER)
    send(*(event(f"{code}-late", customer=code) for code in codes))


def close(month: date) -> None:
    close_period(Month(month.year, month.month), now=JANUARY_2, grace_days=0)


def invoice(code: str, month: date) -> Invoice:
    return Invoice.objects.exclude(status="void").get(customer__code=code, period_start=month)


def void(code: str, month: date) -> None:
    void_invoice(invoice(code, month), reason="wrong", by="clerk", now=JANUARY_2)


def line(code: str, month: date = OCTOBER) -> InvoiceLine:
    return InvoiceLine.objects.get(invoice__customer__code=code, invoice__period_start=month, kind="usage")


def flagged() -> set[tuple[str, date]]:
    rows = ChangedLine.objects.values_list("line__invoice__customer__code", "line__invoice__period_start")
    return set(rows)


def test_a_void_invoice_opens_what_it_settled_and_what_others_settled_of_it_and_nothing_else() -> None:
    start("none", "november", "october", "both", "evened")
    close(NOVEMBER)
    void_event(Event.objects.get(key="evened-late"), reason="wrong", by="clerk", now=NOW)
    close(DECEMBER)  # takes off what November added: nothing stands of the adjustments of "evened"
    scan_changes(now=JANUARY_2)
    assert flagged() == set()
    void("november", NOVEMBER)
    void("october", OCTOBER)
    void("both", NOVEMBER)
    void("both", OCTOBER)
    void("evened", OCTOBER)
    scan_changes(now=JANUARY_2)
    assert flagged() == {("november", OCTOBER), ("october", OCTOBER)}


def test_settling_a_line_drops_its_own_flag_and_only_up_to_the_position_it_was_settled_at() -> None:
    start("acme", "globex")
    scan_changes(now=NOW)
    assert flagged() == {("acme", OCTOBER), ("globex", OCTOBER)}
    mine = line("acme")
    position = ChangedLine.objects.get(line=mine).position
    drop_flags([mine.pk], [position - 1])
    assert flagged() == {("acme", OCTOBER), ("globex", OCTOBER)}
    drop_flags([mine.pk], [position])
    assert flagged() == {("globex", OCTOBER)}


def test_settling_a_line_again_forgets_only_what_a_void_invoice_settled_of_it() -> None:
    start("acme", "globex")
    close(NOVEMBER)
    send(event("acme-later", customer="acme"))
    close(DECEMBER)
    void("acme", NOVEMBER)
    void("globex", NOVEMBER)
    drop_flags([line("acme").pk], [2**40])
    left = LineSettlement.objects.values_list("line__invoice__customer__code", "invoice__period_start")
    assert set(left) == {("acme", DECEMBER), ("globex", NOVEMBER)}


def test_what_came_after_an_invoice_is_found_also_beside_what_it_has_counted() -> None:
    """An event may arrive between the scan of a close and the watermark of its invoices: both are scanned next time."""
    start("acme")
    AdjustmentScan.objects.update(position=0)
    scan_changes(now=NOW)
    assert flagged() == {("acme", OCTOBER)}
    assert ChangedLine.objects.get().position == 2
