"""What comes back when an invoice is void: its period, its usage, the adjustments it carried."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError

from billing.approving import discard_draft, issue_draft, refreshed
from billing.closing import close_period
from billing.collecting import record_payment
from billing.errors import FiguresChanged, KeyTaken, NotInThisState, ReasonMissing
from billing.models import ChangedLine, Invoice, InvoiceChange, InvoiceStatus
from billing.months import Month
from billing.one_off import Item, create_one_off
from billing.voiding import void_invoice
from tests.billing.money import credit
from tests.billing.test_collecting import WHO, bill, everything
from tests.factories import NOW, event, make_subscription, send, send_tickets

pytestmark = pytest.mark.django_db
OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
DECEMBER_1 = datetime(2026, 12, 1, 12, tzinfo=UTC)


def close(month: Month = OCTOBER, *, now: datetime = NOW, grace_days: int = 0) -> Invoice:
    close_period(month, now=now, grace_days=grace_days)
    return Invoice.objects.exclude(status=InvoiceStatus.VOID).order_by("-period_start", "-pk")[0]


def void(invoice: Invoice, **fields: Any) -> Invoice:
    return void_invoice(invoice, **({"reason": "Wrong customer"} | WHO | fields))


def lines(invoice: Invoice) -> list[tuple[str, str, str]]:
    return [(line.kind, f"{line.quantity:.0f}", f"{line.amount:.2f}") for line in invoice.lines.all()]


def test_the_period_of_a_void_invoice_is_billed_again_with_a_new_number() -> None:
    make_subscription()
    send_tickets(3)
    first = void(close())
    send_tickets(1, first=10)
    second = close()
    assert (first.number, second.number) == ("INV-2026-000001", "INV-2026-000002")
    assert lines(second) == [("usage", "4", "8.00")]
    assert [(change.kind, change.reason) for change in first.changes.all()] == [("void", "Wrong customer")]


def test_adjustments_of_a_void_invoice_are_on_the_one_that_takes_its_place_once() -> None:
    """October bills 3 tickets; one more arrives late, so November carries +2.00. Void November: +2.00 comes back."""
    make_subscription()
    send_tickets(3)
    close()
    send(event("late", occurred_at="2026-10-09T10:00:00Z"))
    november = close(NOVEMBER, now=DECEMBER_1)
    assert lines(november) == [("usage", "0", "0.00"), ("adjustment", "1", "2.00")]
    void(november, now=DECEMBER_1)
    again = close(NOVEMBER, now=DECEMBER_1)
    assert lines(again) == [("usage", "0", "0.00"), ("adjustment", "1", "2.00")]
    assert again.pk != november.pk
    assert not ChangedLine.objects.exists()
    close_period(Month(2026, 12), now=datetime(2027, 1, 1, 12, tzinfo=UTC), grace_days=0)
    assert sum(invoice.total for invoice in Invoice.objects.exclude(status="void")) == Decimal(8)


def test_what_other_invoices_adjusted_of_a_void_invoice_is_taken_back() -> None:
    """October bills 6.00, November +2.00 for a late ticket. October billed anew says 8.00: -2.00 follows."""
    make_subscription()
    send_tickets(3)
    october = close()
    send(event("late", occurred_at="2026-10-09T10:00:00Z"))
    close(NOVEMBER, now=DECEMBER_1)
    void(october)
    close_period(OCTOBER, now=DECEMBER_1, grace_days=0)
    assert [
        f"{row.total:.2f}" for row in Invoice.objects.filter(period_start=date(2026, 10, 1), status="issued")
    ] == ["8.00"]
    december = close(Month(2026, 12), now=datetime(2027, 1, 1, 12, tzinfo=UTC))
    assert lines(december) == [("usage", "0", "0.00"), ("adjustment", "-1", "-2.00")]
    assert sum(invoice.total for invoice in Invoice.objects.exclude(status="void")) == Decimal(8)


def test_voiding_needs_a_reason_and_an_unpaid_invoice() -> None:
    invoice = bill("10.00")
    with pytest.raises(ReasonMissing):
        void(invoice, reason="")
    record_payment(invoice, amount=Decimal(1), received_on=NOW.date(), **WHO)
    before = everything()
    with pytest.raises(NotInThisState, match="has payments"):
        void(invoice)
    assert everything() == before


def test_credits_of_a_void_invoice_come_back() -> None:
    customer = make_subscription().customer
    grant = credit(customer, "5.00")
    send_tickets(3)
    invoice = close()
    assert (invoice.credits_applied, invoice.amount_due) == (5, 1)
    void(invoice)
    grant.refresh_from_db()
    assert grant.balance == 5


def test_an_invoice_that_credits_cover_is_paid_when_it_is_issued() -> None:
    credit(make_subscription().customer, "50.00")
    send_tickets(3)
    assert (close().status, Invoice.objects.get().amount_due) == ("paid", 0)


def test_a_draft_issued_by_hand_is_drawn_up_once_more() -> None:
    make_subscription()
    send_tickets(3)
    draft = close(grace_days=30)
    send_tickets(1, first=10)
    assert refreshed(draft, now=NOW).total == 8
    before = everything()
    with pytest.raises(FiguresChanged, match=r"\$8.00 now"):
        issue_draft(draft, expected=Decimal(6), **WHO)
    assert everything() == before
    issued = issue_draft(draft, expected=Decimal(8), **WHO)
    assert (issued.pk, issued.number, issued.status) == (draft.pk, "INV-2026-000001", "issued")
    assert lines(issued) == [("usage", "4", "8.00")]
    assert InvoiceChange.objects.get().recorded_by == "clerk"
    with pytest.raises(NotInThisState, match="issued already"):
        issue_draft(draft, **WHO)
    with pytest.raises(NotInThisState, match="issued already"):
        issue_draft(issued, **WHO)
    assert Invoice.objects.get().sequence == 1


def test_a_draft_issued_by_hand_settles_the_adjustments_it_carries() -> None:
    make_subscription()
    send_tickets(3)
    close()
    send(event("late", occurred_at="2026-10-09T10:00:00Z"))
    draft = close(NOVEMBER, now=DECEMBER_1, grace_days=30)
    issue_draft(draft, by="clerk", now=DECEMBER_1)
    assert not ChangedLine.objects.exists()
    assert Invoice.objects.get(pk=draft.pk).total == 2


def test_one_off_drafts_can_be_discarded_and_period_drafts_cannot() -> None:
    make_subscription()
    draft = close(grace_days=30)
    with pytest.raises(NotInThisState, match="drawn up again"):
        discard_draft(draft)
    one_off = create_one_off(draft.customer, [Item("x", Decimal(1), Decimal(1))], at_once=False, now=NOW)
    discard_draft(one_off)
    assert list(Invoice.objects.all()) == [draft]


def test_numbers_have_no_gaps_whatever_was_refused() -> None:
    numbers = []
    for n in range(3):
        invoice = bill("1.00", code=f"c{n}")
        numbers.append(invoice.number)
        with pytest.raises(NotInThisState):
            issue_draft(invoice, **WHO)
    with pytest.raises(DatabaseError):
        Invoice.objects.filter(number=numbers[0]).delete()
    assert numbers == ["INV-2026-000001", "INV-2026-000002", "INV-2026-000003"]


def test_a_one_off_invoice_bills_quantity_times_price_rounded_once() -> None:
    """2.5 hours at 133.333 = 333.3325 -> 333.33; three seats at 0.335 = 1.005 -> 1.01."""
    customer = make_subscription().customer
    invoice = create_one_off(
        customer,
        [
            Item("Consulting", Decimal("2.5"), Decimal("133.333"), "hour"),
            Item("Seats", Decimal(3), Decimal("0.335")),
        ],
        now=NOW,
    )
    assert [f"{line.amount:.2f}" for line in invoice.lines.all()] == ["333.33", "1.01"]
    assert (invoice.total, invoice.number, invoice.subscription) == (
        Decimal("334.34"),
        "INV-2026-000001",
        None,
    )
    assert (invoice.period_start, invoice.period_end) == (date(2026, 11, 20), date(2026, 11, 21))


def test_a_key_sent_again_makes_no_second_invoice() -> None:
    customer = make_subscription().customer
    items = [Item("x", Decimal(1), Decimal(1))]
    first = create_one_off(customer, items, key="order-1", now=NOW)
    assert create_one_off(customer, items, key="order-1", now=NOW) == first
    assert Invoice.objects.count() == 1
    for other in (
        [Item("y", Decimal(1), Decimal(1))],
        [Item("x", Decimal(2), Decimal("0.5"))],
        [Item("x", Decimal(1), Decimal(1), tax_category="reduced")],
    ):
        with pytest.raises(KeyTaken):
            create_one_off(customer, other, key="order-1", now=NOW)
    with pytest.raises(KeyTaken):
        create_one_off(customer, items, key="order-1", expected=Decimal(2), now=NOW)
    assert Invoice.objects.count() == 1


def test_a_draft_is_not_taken_for_the_invoice_that_is_to_be_issued_under_its_key() -> None:
    customer = make_subscription().customer
    items = [Item("x", Decimal(1), Decimal(1))]
    draft = create_one_off(customer, items, key="order-1", at_once=False, now=NOW)
    assert create_one_off(customer, items, key="order-1", at_once=False, now=NOW) == draft
    with pytest.raises(KeyTaken):
        create_one_off(customer, items, key="order-1", now=NOW)
    issued = issue_draft(draft, **WHO)
    assert create_one_off(customer, items, key="order-1", now=NOW) == issued
