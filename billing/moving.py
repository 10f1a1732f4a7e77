"""A credit balance of an invoice that becomes a credit, and back: what was overpaid or credited pays later invoices.

The entry that takes it off the invoice and the credit are written together; the database refuses one without the
other, a credit of another amount, and more than the balance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.collecting import exact_amount, lock, pay, reverse_payment
from billing.crediting import CARRIED_OVER_PRIORITY, balances, first_entry, void_grant, write_entries
from billing.errors import InvalidAmount
from billing.formatting import money
from billing.lifecycle import Action, require_open
from billing.models import CreditGrant, CreditKind, Invoice, PaymentKind
from metering.periods import local_day


@dataclass(frozen=True, slots=True)
class Move:
    """What moving the whole credit balance does: the customer's credits before and after, in major units."""

    amount: Decimal
    currency: str
    credits_before: Decimal

    @property
    def credits_after(self) -> Decimal:
        return self.credits_before + self.amount


def preview_move(invoice: Invoice, *, now: datetime) -> Move:
    """Say what moving the credit balance would do; nothing is written. Raises NotInThisState."""
    require_open(invoice, Action.MOVE)
    usable = balances(invoice.customer, now=now)
    return Move(-invoice.amount_due, invoice.currency, usable.get(invoice.currency, Decimal(0)))


@transaction.atomic
def move_to_credits(
    invoice: Invoice, *, amount: Decimal | None = None, key: str | None = None, by: str, now: datetime
) -> CreditGrant:
    """Turn a credit balance, or an amount of it, into a credit that is used before others and does not expire.

    Raises NotInThisState, InvalidAmount for more than the balance, KeyTaken. A `key` sent again gives the credit of
    the first time.
    """
    invoice = lock(invoice)
    if key is not None:
        known = CreditGrant.objects.filter(source_payment__key=key, source_payment__invoice=invoice).first()
        if known is not None and amount in (None, known.amount):
            return known
    wanted = -invoice.amount_due if amount is None else exact_amount(amount, invoice.currency)
    require_open(invoice, Action.MOVE)
    if wanted > -invoice.amount_due:
        message = f"The credit balance is {money(-invoice.amount_due, invoice.currency)}."
        raise InvalidAmount(message, fields={"amount": message})
    name = f"Credit balance of {invoice.number}"
    said = (PaymentKind.MOVED, -wanted, local_day(now, invoice.zone), "", name)
    grant = CreditGrant(
        customer=invoice.customer,
        currency=invoice.currency,
        kind=CreditKind.MOVED,
        name=name,
        amount=wanted,
        priority=CARRIED_OVER_PRIORITY,
        effective_at=now,
        source_payment=pay(invoice, said, key=key, by=by, now=now),
        granted_at=now,
        granted_by=by,
    )
    grant.save(force_insert=True)
    write_entries([first_entry(grant)])
    grant.refresh_from_db()
    return grant


def void_credit(grant: CreditGrant, *, reason: str, by: str, now: datetime) -> CreditGrant:
    """Take back what is left of a credit; one that was a credit balance goes back to its invoice, if unused.

    Raises CreditNotVoidable, InvalidCredit; NotInThisState and CreditsSpent for what was moved.
    """
    if grant.source_payment is None:
        return void_grant(grant, reason=reason, by=by, now=now)
    reverse_payment(grant.source_payment, reason=reason, by=by, now=now)
    grant.refresh_from_db()
    return grant
