"""Late usage that is paid back now: exactly the difference, once, by a credit note, and proven."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.auditing import audit
from billing.closing import close_period
from billing.correcting import issue_credit_note
from billing.couponing import CouponTerms, give_coupon, save_coupon
from billing.deciding import find_late_usage
from billing.errors import EffectChanged, NotCreditable, ReasonMissing
from billing.late_credits import credit_late_usage
from billing.models import AdjustmentWaiver, ChangedLine, CreditNote, Invoice, InvoiceLine, Subscription
from billing.months import Month
from billing.reconciling import reconcile
from billing.verifying import verify_invoice
from customers.models import Customer
from metering.correcting import void_event
from metering.models import Event
from tests.billing.money import tax
from tests.factories import NOW, make_customer, make_meter, make_plan, make_subscription, send_tickets
from tests.staff import make_staff

pytestmark = pytest.mark.django_db
OCTOBER, NOVEMBER, DECEMBER = Month(2026, 10), Month(2026, 11), Month(2026, 12)
FIRST = datetime(2026, 10, 1, tzinfo=UTC)


def close(month: Month) -> None:
    following = datetime(month.following.year, month.following.month, 5, tzinfo=UTC)
    close_period(month, now=following, grace_days=0)


def void(*numbers: int) -> None:
    for n in numbers:
        void_event(Event.objects.get(key=f"evt-{n}"), reason="reopened", by="clerk", now=NOW)


def bill(**plan: Any) -> Subscription:
    """110 tickets at $2.00 in October: $220.00."""
    make_meter()
    subscription = make_subscription(make_customer(country="FR"), make_plan(**plan))
    send_tickets(110)
    return subscription


def shown() -> dict[int, Decimal]:
    find_late_usage(now=NOW)
    rows = ChangedLine.objects.values_list("pk", "effect_amount")
    return {pk: amount for pk, amount in rows if amount is not None}


def credit(amounts: dict[int, Decimal], by: Any = "API key tests") -> list[CreditNote]:
    return credit_late_usage(amounts, reason="Reopened.", by=by, now=NOW)


def adjustments(month: Month) -> list[tuple[Decimal, Decimal]]:
    lines = InvoiceLine.objects.filter(kind="adjustment", invoice__period_start=month.first)
    return list(lines.values_list("quantity", "amount"))


def assert_proven() -> None:
    for invoice in Invoice.objects.exclude(status="draft"):
        assert verify_invoice(invoice).differences == []
    assert [answer.named for answer in audit() if answer.differences] == []


def test_two_void_tickets_are_paid_back_once_and_on_no_later_invoice() -> None:
    """2 tickets at $2.00, with 20 % tax: $4.80 of $264.00."""
    tax("FR", "20")
    bill()
    close(OCTOBER)
    void(0, 1)
    amounts = shown()
    assert list(amounts.values()) == [Decimal(-4)]
    [note] = credit(amounts, by=make_staff())
    assert (note.invoice.total, note.subtotal, note.tax, note.total) == (
        264,
        4,
        Decimal("0.80"),
        Decimal("4.80"),
    )
    assert not ChangedLine.objects.exists()
    with pytest.raises(EffectChanged):
        credit(amounts)
    assert CreditNote.objects.count() == 1
    close(NOVEMBER)
    assert adjustments(NOVEMBER) == []
    # One ticket more is void: only that is still to settle, beside the two that the credit note settled.
    void(2)
    close(DECEMBER)
    assert adjustments(DECEMBER) == [(Decimal(-1), Decimal(-2))]
    assert_proven()


def test_the_discount_goes_back_with_the_line_to_the_cent() -> None:
    """$220.00 less 15 % is $187.00; 3 tickets are $6.00 less $0.90."""
    subscription = bill()
    terms = CouponTerms(code="c", name="C", kind="percent", value=Decimal(15), duration="forever")
    give_coupon(subscription.customer, save_coupon(terms), by="tests", now=FIRST)
    close(OCTOBER)
    void(0, 1, 2)
    [note] = credit(shown())
    assert (note.subtotal, note.discount, note.total) == (6, Decimal("0.90"), Decimal("5.10"))
    close(NOVEMBER)
    assert adjustments(NOVEMBER) == []
    assert_proven()


def test_two_customers_get_a_credit_note_each() -> None:
    bill()
    make_subscription(make_customer("globex"))
    send_tickets(10, first=500, customer="globex")
    close(OCTOBER)
    void(0, 500)
    notes = credit(shown())
    assert [(note.invoice.customer.code, note.total) for note in notes] == [("acme", 2), ("globex", 2)]
    assert_proven()


def test_what_cannot_be_paid_back_by_a_credit_note_is_refused_and_nothing_is_written() -> None:
    bill(minimum_amount=Decimal(500))
    close(OCTOBER)
    void(0)
    with pytest.raises(NotCreditable, match=r"is not to be paid back|minimum"):
        credit(shown())
    assert not CreditNote.objects.exists()
    assert not AdjustmentWaiver.objects.exists()
    assert ChangedLine.objects.exists()


def test_late_usage_to_bill_and_decisions_without_a_reason_are_refused() -> None:
    bill()
    close(OCTOBER)
    send_tickets(1, first=200)
    with pytest.raises(NotCreditable, match=r"\$2.00 is not to be paid back"):
        credit(shown())
    with pytest.raises(ReasonMissing):
        credit_late_usage(shown(), reason=" ", by="x", now=NOW)
    assert not CreditNote.objects.exists()


def test_no_more_than_what_is_left_of_the_line_is_credited() -> None:
    """All 110 are void after $219.00 were credited by hand: $1.00 is left."""
    bill()
    close(OCTOBER)
    issue_credit_note(Invoice.objects.get(), reason="Goodwill", lines={1: Decimal(219)}, by="clerk", now=NOW)
    void(0)
    with pytest.raises(NotCreditable, match=r"\$1.00 of it is left to credit"):
        credit(shown())
    assert CreditNote.objects.count() == 1


def test_what_was_credited_is_accounted_for_as_billed_not_as_waived() -> None:
    bill()
    close(OCTOBER)
    void(0, 1)
    send_tickets(1, first=200)
    credit(shown())
    found = reconcile(FIRST, datetime(2026, 11, 1, tzinfo=UTC), customer=Customer.objects.get())
    assert found.difference == 0
    assert (found.standing("billed"), found.standing("waived"), found.standing("voided")) == (109, 0, 2)
