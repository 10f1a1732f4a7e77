"""A credit balance becomes a credit: once, whole, to the cent, and back while unused."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from billing.accounts import balances as account_of
from billing.accounts import statement_of
from billing.collecting import record_refund, reverse_payment
from billing.correcting import issue_credit_note
from billing.crediting import CARRIED_OVER_PRIORITY, balances, void_grant
from billing.errors import (
    BillingError,
    CreditNotVoidable,
    CreditsSpent,
    InvalidAmount,
    KeyTaken,
    NotInThisState,
)
from billing.lifecycle import Action, open_actions
from billing.models import CreditEntry, CreditGrant, CreditKind, Invoice, Payment, PaymentKind
from billing.moving import move_to_credits, preview_move, void_credit
from billing.one_off import Item, create_one_off
from tests.billing.test_collecting import TODAY, WHO, bill, everything, now_of, pay
from tests.factories import NOW


def moved(invoice: Invoice, **fields: Any) -> CreditGrant:
    return move_to_credits(invoice, **(WHO | fields))


def all_rows() -> list[Any]:
    tables = (CreditGrant, CreditEntry)
    return [everything(), [list(table._default_manager.order_by("pk").values()) for table in tables]]


def overpaid(amount: str = "50.00", **fields: Any) -> Invoice:
    """An invoice over 100.00 on which the customer has paid `amount` too much."""
    invoice = bill("100.00", **fields)
    pay(invoice, str(100 + Decimal(amount)), overpaid=True)
    invoice.refresh_from_db()
    return invoice


@pytest.mark.django_db
def test_a_credit_note_on_a_paid_invoice_becomes_a_credit_that_pays_the_next_one() -> None:
    invoice = bill("100.00")
    pay(invoice, "100.00")
    issue_credit_note(invoice, reason="Goodwill", amount=Decimal("30.00"), **WHO)
    invoice.refresh_from_db()
    assert Action.MOVE in open_actions(invoice)
    effect = preview_move(invoice, now=NOW)
    assert (effect.amount, effect.credits_before, effect.credits_after) == (Decimal(30), 0, Decimal(30))
    grant = moved(invoice)
    assert (grant.amount, grant.balance, grant.kind) == (Decimal(30), Decimal(30), CreditKind.MOVED)
    assert (grant.priority, grant.expires_at) == (CARRIED_OVER_PRIORITY, None)
    assert now_of(invoice) == ("paid", Decimal(0))
    assert Action.MOVE not in open_actions(invoice)
    later = create_one_off(invoice.customer, [Item("Later", Decimal(1), Decimal("45.00"))], now=NOW)
    assert (later.credits_applied, later.amount_due) == (Decimal(30), Decimal(15))


@pytest.mark.django_db
def test_a_part_is_paid_back_and_the_rest_is_moved() -> None:
    invoice = overpaid("50.00")
    record_refund(invoice, amount=Decimal("20.00"), paid_on=TODAY, reference="B 17", **WHO)
    assert moved(invoice).amount == Decimal(30)
    assert now_of(invoice) == ("paid", Decimal(0))


@pytest.mark.django_db
def test_more_than_the_balance_and_a_balance_moved_before_are_refused_without_a_trace() -> None:
    invoice = overpaid("50.00")
    before = all_rows()
    for amount in ("50.01", "0", "-1", "0.005"):
        with pytest.raises(InvalidAmount):
            moved(invoice, amount=Decimal(amount))
    assert all_rows() == before
    moved(invoice, amount=Decimal("20.00"))
    moved(invoice)
    before = all_rows()
    with pytest.raises(NotInThisState, match="no credit balance"):
        moved(invoice)
    assert all_rows() == before
    assert balances(invoice.customer, now=NOW) == {"USD": Decimal(50)}


@pytest.mark.django_db
@pytest.mark.parametrize("amount", [None, Decimal("50.00")])
def test_a_key_sent_again_the_next_day_moves_once(amount: Decimal | None) -> None:
    invoice = overpaid("50.00")
    first = moved(invoice, amount=amount, key="m-1")
    again = moved(invoice, amount=amount, key="m-1", now=NOW + timedelta(days=1))
    assert again == first
    assert CreditGrant.objects.count() == 1
    other = overpaid("10.00", code="globex")
    before = all_rows()
    with pytest.raises(KeyTaken):
        moved(other, key="m-1")
    assert all_rows() == before


@pytest.mark.django_db
def test_voiding_the_unused_credit_gives_the_balance_back_to_the_invoice() -> None:
    invoice = overpaid("50.00")
    grant = moved(invoice)
    with pytest.raises(CreditNotVoidable, match="Take the move back"):
        void_grant(grant, reason="Mistake", **WHO)
    undone = void_credit(grant, reason="Mistake", **WHO)
    assert (undone.balance, undone.void_reason) == (0, "Mistake")
    assert now_of(invoice) == ("paid", Decimal(-50))
    assert Payment.objects.get(kind=PaymentKind.REVERSAL).reverses == grant.source_payment
    assert moved(invoice).amount == Decimal(50)


@pytest.mark.django_db
def test_a_used_credit_stays_until_the_invoice_it_paid_for_is_void() -> None:
    invoice = overpaid("50.00")
    grant = moved(invoice)
    create_one_off(invoice.customer, [Item("Later", Decimal(1), Decimal("5.00"))], now=NOW)
    before = all_rows()
    with pytest.raises(CreditsSpent, match=r"\$5.00 of this credit is used"):
        void_credit(grant, reason="Mistake", **WHO)
    assert grant.source_payment is not None
    with pytest.raises(CreditsSpent):
        reverse_payment(grant.source_payment, reason="Mistake", **WHO)
    assert all_rows() == before


@pytest.mark.django_db
def test_the_statement_ends_at_nothing_due_after_a_move() -> None:
    invoice = overpaid("50.00")
    moved(invoice)
    shown = statement_of(invoice.customer, "USD", first=TODAY, last=TODAY)
    assert [(row.entry.title, row.entry.amount) for row in shown.rows] == [
        ("Invoice", Decimal(100)),
        ("Payment", Decimal(-150)),
        ("Moved to credits", Decimal(50)),
    ]
    assert shown.closing == 0
    assert [(each.due, each.credit) for each in account_of(invoice.customer, now=NOW)] == [(0, 0)]


@pytest.mark.django_db(transaction=True)
def test_sixteen_movers_of_one_balance_move_it_once() -> None:
    invoice = overpaid("50.00")

    def move(_: int) -> str:
        try:
            return str(moved(invoice).amount)
        except BillingError as refused:
            return refused.code
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as pool:
        answers = sorted(pool.map(move, range(16)))
    assert answers == ["50.0000", *["not_in_this_state"] * 15]
    assert balances(invoice.customer, now=NOW) == {"USD": Decimal(50)}


def _move_twice(invoice: Invoice, grant: CreditGrant) -> None:
    assert grant.source_payment is not None
    pay(invoice, "50.00", overpaid=True)
    row = grant.source_payment
    row.pk, row.key = None, None
    row.save(force_insert=True)
    Invoice.objects.filter(pk=invoice.pk).update(amount_paid=Decimal(100))


def _other_amount(invoice: Invoice, grant: CreditGrant) -> None:
    pay(invoice, "20.00", overpaid=True)
    payment = Payment.objects.create(
        invoice=invoice, kind="moved", amount=Decimal(-20), currency="USD", received_on=TODAY, method="",
        recorded_by="x", recorded_at=NOW,
    )  # fmt: skip
    Invoice.objects.filter(pk=invoice.pk).update(amount_paid=Decimal(100))
    CreditGrant.objects.create(
        customer=invoice.customer, currency="USD", kind="moved", name="x", amount=Decimal(30), effective_at=NOW,
        granted_at=NOW, source_payment=payment,
    )  # fmt: skip


def _void_alone(invoice: Invoice, grant: CreditGrant) -> None:
    CreditEntry.objects.create(grant=grant, kind="voided", amount=-grant.amount, at=NOW)
    CreditGrant.objects.filter(pk=grant.pk).update(voided_at=NOW, void_reason="x")


def _reverse_alone(invoice: Invoice, grant: CreditGrant) -> None:
    Payment.objects.create(
        invoice=invoice, kind="reversal", amount=grant.amount, currency="USD", received_on=TODAY, method="",
        reverses=grant.source_payment, reason="x", recorded_by="x", recorded_at=NOW,
    )  # fmt: skip
    Invoice.objects.filter(pk=invoice.pk).update(amount_paid=Decimal(150))


def _refund_too_much(invoice: Invoice, grant: CreditGrant) -> None:
    Payment.objects.create(
        invoice=invoice, kind="refund", amount=Decimal(-1), currency="USD", received_on=TODAY, method="other",
        recorded_by="x", recorded_at=NOW,
    )  # fmt: skip
    Invoice.objects.filter(pk=invoice.pk).update(amount_paid=Decimal(99), status="issued")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("forge", "told"),
    [
        (_move_twice, "not the same"),
        (_other_amount, "not the same"),
        (_void_alone, "not the same"),
        (_reverse_alone, "not the same"),
        (_refund_too_much, "More is paid back"),
    ],
)
def test_the_database_refuses_a_move_without_its_credit_and_more_than_the_balance(
    forge: Callable[[Invoice, CreditGrant], None], told: str
) -> None:
    invoice = overpaid("50.00")
    grant = moved(invoice)
    invoice.refresh_from_db()
    before = all_rows()
    with pytest.raises(IntegrityError, match=told), transaction.atomic():
        forge(invoice, grant)
    assert all_rows() == before
