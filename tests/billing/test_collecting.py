"""Payments, refunds, write-offs: to the cent, each answered only by its opposite, refused without a trace."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from billing.collecting import record_payment, record_refund, reinstate, reverse_payment, write_off
from billing.correcting import issue_credit_note
from billing.errors import BillingError, InvalidAmount, InvalidDates, KeyTaken, NotInThisState, ReasonMissing
from billing.lifecycle import Action, State, days_overdue, in_state, open_actions, state_of
from billing.models import CreditNote, Invoice, InvoiceChange, InvoiceSeries, InvoiceStatus, Payment
from billing.moving import move_to_credits
from billing.one_off import Item, create_one_off
from billing.voiding import void_invoice
from tests.factories import NOW, make_customer

TODAY = NOW.date()
WHO: dict[str, Any] = {"by": "clerk", "now": NOW}


def bill(*amounts: str, currency: str = "USD", code: str = "acme", **fields: Any) -> Invoice:
    """An issued one-off invoice with a line for each amount."""
    customer = make_customer(code, currency=currency)
    items = [Item(f"Item {n}", Decimal(1), Decimal(amount)) for n, amount in enumerate(amounts, start=1)]
    return create_one_off(customer, items, now=NOW, **fields)


def pay(invoice: Invoice, amount: str, **fields: Any) -> Payment:
    return record_payment(invoice, amount=Decimal(amount), received_on=TODAY, **(WHO | fields))


def now_of(invoice: Invoice) -> tuple[str, Decimal]:
    invoice.refresh_from_db()
    return invoice.status, invoice.amount_due


def everything() -> list[Any]:
    """All rows that a refused operation could have left behind."""
    tables = (Invoice, Payment, CreditNote, InvoiceChange, InvoiceSeries)
    return [list(table._default_manager.order_by("pk").values()) for table in tables]


@pytest.mark.django_db
def test_partial_payments_to_the_last_cent_make_it_paid() -> None:
    invoice = bill("100.00")
    pay(invoice, "33.33")
    pay(invoice, "66.66")
    assert now_of(invoice) == ("issued", Decimal("0.01"))
    assert state_of(invoice, now=NOW) is State.PARTLY_PAID
    pay(invoice, "0.01")
    assert now_of(invoice) == ("paid", Decimal(0))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("currency", "total", "first", "rest"),
    [("JPY", "1000", "334", "666"), ("KWD", "10.005", "3.335", "6.670"), ("USD", "10.00", "3.34", "6.66")],
)
def test_amounts_have_the_digits_of_their_currency(currency: str, total: str, first: str, rest: str) -> None:
    invoice = bill(total, currency=currency)
    pay(invoice, first)
    assert now_of(invoice) == ("issued", Decimal(rest))
    before = everything()
    with pytest.raises(InvalidAmount, match="decimals"):
        pay(invoice, f"{rest}{'5' if '.' in rest else '.5'}")
    assert everything() == before
    pay(invoice, rest)
    assert now_of(invoice) == ("paid", Decimal(0))


@pytest.mark.django_db
def test_an_overpayment_is_said_and_leaves_a_credit_balance_that_can_be_paid_back() -> None:
    invoice = bill("100.00")
    before = everything()
    with pytest.raises(InvalidAmount, match=r"paid \$20.00 too much"):
        pay(invoice, "120.00")
    assert everything() == before
    pay(invoice, "120.00", overpaid=True)
    assert now_of(invoice) == ("paid", Decimal(-20))
    assert state_of(invoice, now=NOW) is State.OVERPAID
    with pytest.raises(InvalidAmount, match=r"\$20.00"):
        record_refund(invoice, amount=Decimal("20.01"), paid_on=TODAY, **WHO)
    refund = record_refund(invoice, amount=Decimal("20.00"), paid_on=TODAY, **WHO)
    assert (refund.amount, now_of(invoice)) == (Decimal(-20), ("paid", Decimal(0)))


@pytest.mark.django_db
def test_a_payment_is_taken_back_by_its_opposite_once_with_a_reason() -> None:
    invoice = bill("50.00")
    payment = pay(invoice, "50.00", reference="CHQ 7")
    with pytest.raises(ReasonMissing):
        reverse_payment(payment, reason="  ", **WHO)
    reversal = reverse_payment(payment, reason="The cheque bounced", **WHO)
    assert (reversal.amount, now_of(invoice)) == (Decimal(-50), ("issued", Decimal(50)))
    for wrong in (payment, reversal):
        with pytest.raises(NotInThisState):
            reverse_payment(wrong, reason="again", **WHO)
    assert [str(row.amount) for row in Payment.objects.order_by("pk")] == ["50.0000", "-50.0000"]


@pytest.mark.django_db
def test_a_write_off_takes_what_is_due_and_can_be_taken_back() -> None:
    invoice = bill("100.00")
    pay(invoice, "40.00")
    write_off(invoice, reason="Insolvent", **WHO)
    assert now_of(invoice) == ("written_off", Decimal(0))
    assert invoice.amount_written_off == 60
    assert open_actions(invoice) == [Action.REINSTATE]
    with pytest.raises(NotInThisState, match="written off"):
        pay(invoice, "10.00")
    reinstate(invoice, reason="The administrator pays after all", **WHO)
    assert now_of(invoice) == ("issued", Decimal(60))


@pytest.mark.django_db
def test_a_key_sent_again_records_nothing_more() -> None:
    invoice = bill("100.00")
    first = pay(invoice, "40.00", key="bank-1")
    assert pay(invoice, "40.00", key="bank-1") == first
    pay(invoice, "60.00", key="bank-2")
    assert pay(invoice, "60.00", key="bank-2").amount == 60  # also when nothing is due any more
    before = everything()
    for other in ({"amount": "41.00"}, {"reference": "x"}):
        with pytest.raises(KeyTaken):
            pay(invoice, other.pop("amount", "40.00"), key="bank-1", **other)
    assert everything() == before


@pytest.mark.django_db
def test_money_cannot_come_in_tomorrow() -> None:
    invoice = bill("1.00")
    with pytest.raises(InvalidDates, match="future"):
        record_payment(invoice, amount=Decimal(1), received_on=date(2026, 11, 21), **WHO)
    assert not Payment.objects.exists()


STATES: dict[str, Callable[[Invoice], object]] = {
    "draft": lambda invoice: None,
    "open": lambda invoice: None,
    "partly_paid": lambda invoice: pay(invoice, "1.00"),
    "paid": lambda invoice: pay(invoice, "10.00"),
    "overpaid": lambda invoice: pay(invoice, "11.00", overpaid=True),
    "credited": lambda invoice: issue_credit_note(invoice, reason="Wrong", **WHO),
    "written_off": lambda invoice: write_off(invoice, reason="Gone", **WHO),
    "void": lambda invoice: void_invoice(invoice, reason="Wrong", **WHO),
}
OFFERED = {
    "draft": "issue discard",
    "open": "pay credit reverse write_off void",
    "partly_paid": "pay credit reverse write_off",
    "paid": "pay credit reverse",
    "overpaid": "pay credit refund move reverse",
    "credited": "pay reverse",
    "written_off": "reinstate",
    "void": "",
}
FORCED: dict[Action, Callable[[Invoice], object]] = {
    Action.PAY: lambda invoice: pay(invoice, "1.00", overpaid=True),
    Action.CREDIT: lambda invoice: issue_credit_note(invoice, reason="Wrong", **WHO),
    Action.REFUND: lambda invoice: record_refund(invoice, amount=Decimal(1), paid_on=TODAY, **WHO),
    Action.MOVE: lambda invoice: move_to_credits(invoice, **WHO),
    Action.WRITE_OFF: lambda invoice: write_off(invoice, reason="Gone", **WHO),
    Action.REINSTATE: lambda invoice: reinstate(invoice, reason="Back", **WHO),
    Action.VOID: lambda invoice: void_invoice(invoice, reason="Wrong", **WHO),
}


@pytest.mark.django_db
@pytest.mark.parametrize("state", list(STATES))
def test_what_a_state_does_not_offer_is_refused_and_leaves_nothing_behind(state: str) -> None:
    invoice = bill("10.00", at_once=state != "draft")
    STATES[state](invoice)
    invoice.refresh_from_db()
    assert state_of(invoice, now=NOW).value == state
    assert {action.value for action in open_actions(invoice)} == set(OFFERED[state].split())
    before = everything()
    for action, force in FORCED.items():
        if action.value not in OFFERED[state].split():
            with pytest.raises(NotInThisState):
                force(invoice)
    assert everything() == before


@pytest.mark.django_db
@pytest.mark.parametrize("state", list(STATES))
def test_the_filter_finds_exactly_what_the_state_says(state: str) -> None:
    for n, (name, reach) in enumerate(STATES.items()):
        reach(bill("10.00", code=f"c{n}", at_once=name != "draft"))
    found = in_state(Invoice.objects.all(), State(state), today=TODAY)
    assert [state_of(invoice, now=NOW).value for invoice in found] == [state]


@pytest.mark.django_db
def test_an_invoice_is_overdue_from_the_day_after_its_due_day() -> None:
    invoice = bill("10.00")
    assert invoice.due_on == date(2026, 12, 4)
    assert state_of(invoice, now=NOW.replace(month=12, day=4)) is State.OPEN
    late = NOW.replace(month=12, day=5)
    assert (state_of(invoice, now=late), days_overdue(invoice, now=late)) == (State.OVERDUE, 1)
    assert list(in_state(Invoice.objects.all(), State.OVERDUE, today=late.date())) == [invoice]
    assert list(in_state(Invoice.objects.all(), State.OPEN, today=TODAY)) == [invoice]


@pytest.mark.django_db
def test_days_to_pay_are_the_customers_or_the_usual_ones() -> None:
    customer = make_customer(payment_days=30)
    invoice = create_one_off(customer, [Item("x", Decimal(1), Decimal(1))], now=NOW)
    assert invoice.due_on == date(2026, 12, 20)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"status": "paid"}, "invoice_status_fits_balance"),
        ({"amount_paid": Decimal(10)}, "invoice_status_fits_balance"),
        ({"status": "written_off"}, "invoice_status_fits_balance"),
        ({"status": "void", "amount_paid": Decimal(1)}, "invoice_status_fits_balance"),
        ({"status": "paid", "amount_credited": Decimal(11)}, "invoice_credited_up_to_total"),
    ],
)
def test_the_database_refuses_a_status_that_does_not_fit(fields: dict[str, Any], constraint: str) -> None:
    bill("10.00")
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Invoice.objects.update(**fields)


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_sums_without_their_rows_and_rows_without_their_sums() -> None:
    invoice = bill("10.00")
    payment = pay(invoice, "4.00")
    with pytest.raises(DatabaseError, match="are not those of its payments"):
        Invoice.objects.update(amount_paid=Decimal(5))
    with pytest.raises(DatabaseError, match="are not those of its payments"):
        Payment.objects.create(
            invoice=invoice, amount=1, currency="USD", received_on=TODAY, method="cash", recorded_by="x",
            recorded_at=NOW,
        )  # fmt: skip
    with pytest.raises(DatabaseError, match="record the opposite"):
        Payment.objects.filter(pk=payment.pk).update(amount=1)
    with pytest.raises(DatabaseError, match="record the opposite"):
        payment.delete()
    assert now_of(invoice) == ("issued", Decimal(6))


@pytest.mark.django_db(transaction=True)
def test_payments_at_the_same_moment_are_all_counted_and_none_goes_beyond_what_is_due() -> None:
    invoice = bill("10.00")

    def try_to_pay(_: int) -> bool:
        try:
            pay(invoice, "1.00")
        except BillingError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(try_to_pay, range(16)))
    assert (sum(done), now_of(invoice)) == (10, ("paid", Decimal(0)))
    assert Payment.objects.count() == 10


@pytest.mark.django_db
def test_an_invoice_over_nothing_is_paid_when_it_is_issued() -> None:
    assert now_of(bill("0.00")) == ("paid", Decimal(0))
    assert now_of(bill("-5.00", code="other")) == ("paid", Decimal(0))  # it became a credit
    assert Invoice.objects.filter(status=InvoiceStatus.ISSUED).count() == 0
