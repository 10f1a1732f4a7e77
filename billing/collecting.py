"""Payments, refunds and write-offs of issued invoices. Each function is one transaction; nothing is ever changed back,
only answered by its opposite.

An invoice's row is locked so that two people wait instead of failing; that its sums are those of its payments is held
by the database. A `key` is the caller's own name for a record: sent again, it gives what was recorded the first time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal

from django.db import IntegrityError, transaction
from psycopg.errors import UniqueViolation

from billing.crediting import void_moved
from billing.errors import InvalidAmount, InvalidDates, KeyTaken, NotInThisState, ReasonMissing
from billing.formatting import money
from billing.lifecycle import Action, is_settled, require_open
from billing.models import (
    ChangeKind,
    Invoice,
    InvoiceChange,
    InvoiceStatus,
    Payment,
    PaymentKind,
    PaymentMethod,
)
from billing.rating import currency_digits, round_amount
from billing.telling import tell_paid
from metering.periods import local_day


@transaction.atomic
def record_payment(
    invoice: Invoice,
    *,
    amount: Decimal,
    received_on: date,
    method: str = PaymentMethod.BANK_TRANSFER,
    reference: str = "",
    overpaid: bool = False,
    key: str | None = None,
    by: str,
    now: datetime,
) -> Payment:
    """Record money that came in. More than is due needs `overpaid`, and leaves a credit balance.

    Raises NotInThisState, InvalidAmount, InvalidDates, KeyTaken.
    """
    invoice = lock(invoice)
    amount = exact_amount(amount, invoice.currency)
    said = (PaymentKind.PAYMENT, amount, received_on, method, reference)
    if (known := _recorded(key, invoice, said)) is not None:
        return known
    require_open(invoice, Action.PAY)
    due = max(invoice.amount_due, Decimal(0))
    if amount > due and not overpaid:
        message = (
            f"{money(due, invoice.currency)} is due. Check the amount, or say that the customer has paid "
            f"{money(amount - due, invoice.currency)} too much."
        )
        raise InvalidAmount(message, fields={"amount": message})
    return pay(invoice, said, key=key, by=by, now=now)


@transaction.atomic
def record_refund(
    invoice: Invoice,
    *,
    amount: Decimal,
    paid_on: date,
    method: str = PaymentMethod.BANK_TRANSFER,
    reference: str = "",
    key: str | None = None,
    by: str,
    now: datetime,
) -> Payment:
    """Record that a credit balance was paid back, in whole or in part: a payment below zero.

    Raises NotInThisState, InvalidAmount for more than the balance, InvalidDates, KeyTaken.
    """
    invoice = lock(invoice)
    amount = exact_amount(amount, invoice.currency)
    said = (PaymentKind.REFUND, -amount, paid_on, method, reference)
    if (known := _recorded(key, invoice, said)) is not None:
        return known
    require_open(invoice, Action.REFUND)
    if amount > -invoice.amount_due:
        message = f"The credit balance is {money(-invoice.amount_due, invoice.currency)}."
        raise InvalidAmount(message, fields={"amount": message})
    return pay(invoice, said, key=key, by=by, now=now)


@transaction.atomic
def reverse_payment(payment: Payment, *, reason: str, by: str, now: datetime) -> Payment:
    """Take back a payment, refund or move that was recorded wrongly or bounced, by its opposite.

    The credit that a move became is voided. Raises NotInThisState when it was taken back before or is a reversal
    itself, ReasonMissing, CreditsSpent when the credit is used.
    """
    invoice = lock(payment.invoice)
    require_open(invoice, Action.REVERSE)
    if payment.kind == PaymentKind.REVERSAL:
        raise NotInThisState("A reversal stays. Record the payment again.")
    if Payment.objects.filter(reverses=payment).exists():
        raise NotInThisState("This payment was taken back already.")
    reason = given_reason(reason)
    if payment.kind == PaymentKind.MOVED:
        void_moved(payment, reason=reason, by=by, now=now)
    reversal = Payment.objects.create(
        invoice=invoice,
        kind=PaymentKind.REVERSAL,
        amount=-payment.amount,
        currency=payment.currency,
        received_on=local_day(now, invoice.zone),
        method=payment.method,
        reference=payment.reference,
        reverses=payment,
        reason=reason,
        recorded_by=by,
        recorded_at=now,
    )
    _paid(invoice, -payment.amount, now=now)
    return reversal


@transaction.atomic
def write_off(invoice: Invoice, *, reason: str, by: str, now: datetime) -> Invoice:
    """Give up what is still due. Raises NotInThisState, ReasonMissing."""
    invoice = lock(invoice)
    require_open(invoice, Action.WRITE_OFF)
    due = invoice.amount_due
    record_change(invoice, ChangeKind.WRITE_OFF, amount=due, reason=given_reason(reason), by=by, now=now)
    invoice.amount_written_off += due
    invoice.status = InvoiceStatus.WRITTEN_OFF
    invoice.save(update_fields=["amount_written_off", "status"])
    return invoice


@transaction.atomic
def reinstate(invoice: Invoice, *, reason: str, by: str, now: datetime) -> Invoice:
    """Take back a write-off: the amount is due again. Raises NotInThisState, ReasonMissing."""
    invoice = lock(invoice)
    require_open(invoice, Action.REINSTATE)
    back = -invoice.amount_written_off
    record_change(invoice, ChangeKind.REINSTATE, amount=back, reason=given_reason(reason), by=by, now=now)
    invoice.amount_written_off = Decimal(0)
    invoice.status = InvoiceStatus.ISSUED
    invoice.save(update_fields=["amount_written_off", "status"])
    return invoice


def lock(invoice: Invoice) -> Invoice:
    """Give the invoice as it is now, its row locked until the end of the transaction."""
    return Invoice.objects.select_for_update(of=("self",)).select_related("customer").get(pk=invoice.pk)


def exact_amount(amount: Decimal, currency: str) -> Decimal:
    """Give an amount above zero in whole minor units of its currency. Raises InvalidAmount for any other."""
    digits = currency_digits(currency)
    if not amount.is_finite() or amount <= 0:
        message = "Give an amount above zero."
    elif amount.adjusted() >= 18:
        message = "This is more than any invoice can be."
    elif round_amount(amount, digits) != amount:
        message = f"Amounts in {currency} have {digits or 'no'} decimals."
    else:
        return round_amount(amount, digits)
    raise InvalidAmount(message, fields={"amount": message})


def given_reason(reason: str) -> str:
    """Give a reason without spaces around it. Raises ReasonMissing for an empty one."""
    if not (said := reason.strip()):
        message = "Say why: it is kept for good."
        raise ReasonMissing(message, fields={"reason": message})
    return said


def record_change(
    invoice: Invoice,
    kind: ChangeKind,
    *,
    by: str,
    now: datetime,
    amount: Decimal = Decimal(0),
    reason: str = "",
) -> None:
    """Note what a person decided about an invoice."""
    InvoiceChange.objects.create(
        invoice=invoice, kind=kind, amount=amount, reason=reason, recorded_by=by, recorded_at=now
    )


@contextmanager
def key_taken_is_refused(noun: str) -> Iterator[None]:
    """Raise KeyTaken when somebody took the key for another record at the same moment."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as refused:
        cause = refused.__cause__
        if not isinstance(cause, UniqueViolation) or "_key_" not in (cause.diag.constraint_name or ""):
            raise
        message = f"This key stands for another {noun}. Use a new key for a new {noun}."
        raise KeyTaken(message, fields={"key": message}) from refused


Said = tuple[str, Decimal, date, str, str]


def _recorded(key: str | None, invoice: Invoice, said: Said) -> Payment | None:
    if key is None or (payment := Payment.objects.filter(key=key).first()) is None:
        return None
    before = (payment.kind, payment.amount, payment.received_on, payment.method, payment.reference)
    if payment.invoice_id != invoice.pk or before != said:
        message = "This key stands for another payment. Use a new key for a new payment."
        raise KeyTaken(message, fields={"key": message})
    return payment


def pay(invoice: Invoice, said: Said, *, key: str | None, by: str, now: datetime) -> Payment:
    """Record what was said about a locked invoice. Raises InvalidDates, KeyTaken."""
    kind, amount, received_on, method, reference = said
    if received_on > local_day(now, invoice.zone):
        message = "This day is in the future."
        raise InvalidDates(message, fields={"received_on": message})
    payment = Payment(
        invoice=invoice,
        kind=kind,
        amount=amount,
        currency=invoice.currency,
        received_on=received_on,
        method=method,
        reference=reference,
        key=key,
        recorded_by=by,
        recorded_at=now,
    )
    with key_taken_is_refused("payment"):
        payment.save(force_insert=True)
    _paid(invoice, amount, now=now)
    return payment


def _paid(invoice: Invoice, amount: Decimal, *, now: datetime) -> None:
    before = invoice.status
    invoice.amount_paid += amount
    invoice.status = InvoiceStatus.PAID if is_settled(invoice.amount_due) else InvoiceStatus.ISSUED
    invoice.save(update_fields=["amount_paid", "status"])
    if invoice.status == InvoiceStatus.PAID != before:
        tell_paid(invoice, now=now)
