"""Credits of customers: granting, voiding, expiring. What invoices take from them is in billing.spending.

Balances are moved by ledger entries alone; the database refuses anything else, and a balance below zero.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q, QuerySet, Sum

from billing.errors import CreditNotVoidable, CreditsSpent, InvalidCredit
from billing.formatting import money
from billing.models import CreditEntry, CreditEntryKind, CreditGrant, CreditKind, Payment
from billing.models.plans import MAX_AMOUNT
from billing.rating.errors import UnknownCurrency
from billing.rating.exact import ZERO
from billing.rating.money import currency_digits, round_amount
from customers.lookups import Ids
from customers.models import Customer

DEFAULT_PRIORITY = 50
MAX_PRIORITY = 32_767
# What an invoice gave back is used before anything else.
CARRIED_OVER_PRIORITY = 0


@dataclass(frozen=True, slots=True)
class CreditTerms:
    """What a credit is granted with; see CreditGrant for what each means. `effective_at` None: at once."""

    amount: Decimal
    currency: str
    name: str
    kind: str = CreditKind.PROMOTIONAL.value
    priority: int = DEFAULT_PRIORITY
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    rollover_limit: Decimal | None = None
    rollover_days: int | None = None
    reference: str = ""


def grant_credit(customer: Customer, terms: CreditTerms, *, by: str, now: datetime) -> CreditGrant:
    """Give a credit and write its first ledger entry. Raises InvalidCredit naming every wrong field."""
    check_terms(terms, now=now)
    grant = CreditGrant(
        customer=customer,
        amount=terms.amount,
        currency=terms.currency,
        name=terms.name,
        kind=terms.kind,
        priority=terms.priority,
        effective_at=terms.effective_at or now,
        expires_at=terms.expires_at,
        rollover_limit=terms.rollover_limit,
        rollover_days=terms.rollover_days,
        reference=terms.reference,
        granted_at=now,
        granted_by=by,
    )
    with transaction.atomic():
        grant.save()
        write_entries(
            [CreditEntry(grant=grant, kind=CreditEntryKind.GRANTED, amount=grant.amount, at=now, by=by)]
        )
    grant.refresh_from_db()
    return grant


def void_grant(grant: CreditGrant, *, reason: str, by: str, now: datetime) -> CreditGrant:
    """Take back what is left of a credit; what was used stays used. Raises CreditNotVoidable, InvalidCredit."""
    reason = reason.strip()
    if not reason:
        message = "Say why the credit is taken back; the customer reads it in the ledger."
        raise InvalidCredit(message, fields={"reason": message})
    with transaction.atomic():
        grant = CreditGrant.objects.select_for_update().get(pk=grant.pk)
        if grant.voided_at is not None:
            raise CreditNotVoidable(f"“{grant.name}” is voided already.")
        if grant.kind == CreditKind.MOVED:
            raise CreditNotVoidable(f"“{grant.name}” was moved from an invoice. Take the move back instead.")
        if not grant.balance:
            raise CreditNotVoidable(f"Nothing is left of “{grant.name}” that could be taken back.")
        void_rest(grant, reason=reason, by=by, now=now)
    return grant


def void_moved(payment: Payment, *, reason: str, by: str, now: datetime) -> None:
    """Take back the credit that a moved balance became. Call it in the transaction that takes the move back.

    Raises CreditsSpent when some of it is used.
    """
    grant = CreditGrant.objects.select_for_update().get(source_payment=payment)
    if grant.balance != grant.amount:
        used = money(grant.amount - grant.balance, grant.currency)
        raise CreditsSpent(
            f"{used} of this credit is used already, so the move stays. Void the invoices it paid for first."
        )
    void_rest(grant, reason=reason, by=by, now=now)


def void_rest(grant: CreditGrant, *, reason: str, by: str, now: datetime) -> None:
    """Void a grant that the caller has locked, whatever is left of it."""
    if grant.balance:
        write_entries(
            [
                CreditEntry(
                    grant=grant,
                    kind=CreditEntryKind.VOIDED,
                    amount=-grant.balance,
                    at=now,
                    reason=reason,
                    by=by,
                )
            ]
        )
    CreditGrant.objects.filter(pk=grant.pk).update(voided_at=now, voided_by=by, void_reason=reason)
    grant.refresh_from_db()


def expire_credits(*, now: datetime, customer_ids: Collection[int] | None = None) -> int:
    """Write off what is left of expired credits, and carry over what rolls over; give how many expired.

    Set-based, inside one transaction. Running it late changes nothing: an expired credit is not used in between.
    """
    with transaction.atomic():
        rows = CreditGrant.objects.filter(balance__gt=0, expires_at__lte=now)
        if customer_ids is not None:
            rows = rows.filter(customer__among=Ids(customer_ids))
        expired = list(rows.order_by("id").select_for_update())
        if not expired:
            return 0
        entries, carried = [], []
        for grant in expired:
            rest = rolls_over(grant)
            if grant.balance > rest:
                entries.append(
                    CreditEntry(
                        grant=grant, kind=CreditEntryKind.EXPIRED, amount=rest - grant.balance, at=now
                    )
                )
            if rest:
                assert grant.expires_at is not None  # held by creditgrant_rolls_over_at_expiry
                entries.append(
                    CreditEntry(grant=grant, kind=CreditEntryKind.ROLLED_OVER, amount=-rest, at=now)
                )
                carried.append(
                    continued(
                        grant, rest, effective_at=grant.expires_at, expires_at=rolled_expiry(grant), now=now
                    )
                )
        CreditGrant.objects.bulk_create(carried)
        write_entries(entries + [first_entry(grant) for grant in carried])
    return len(expired)


def rolls_over(grant: CreditGrant) -> Decimal:
    """Give how much of what is left goes on into a new grant when this one expires."""
    return ZERO if grant.rollover_limit is None else min(grant.balance, grant.rollover_limit)


def rolled_expiry(grant: CreditGrant) -> datetime | None:
    """Give when the grant expires that takes over from an expired one; None: never."""
    if grant.rollover_until is not None:
        return grant.rollover_until
    if grant.expires_at is None or grant.rollover_days is None:
        return None
    return grant.expires_at + timedelta(days=grant.rollover_days)


def continued(
    grant: CreditGrant, amount: Decimal, *, effective_at: datetime, expires_at: datetime | None, now: datetime
) -> CreditGrant:
    """Give the unsaved grant that goes on with part of an earlier one."""
    return CreditGrant(
        customer_id=grant.customer_id,
        currency=grant.currency,
        kind=CreditKind.PROMOTIONAL if grant.kind == CreditKind.CARRIED_OVER else grant.kind,
        name=grant.name,
        amount=amount,
        priority=grant.priority,
        effective_at=effective_at,
        expires_at=expires_at,
        rolled_from=grant,
        granted_at=now,
    )


def first_entry(grant: CreditGrant) -> CreditEntry:
    """Give the unsaved ledger entry that fills a new grant."""
    return CreditEntry(
        grant=grant,
        kind=CreditEntryKind.GRANTED,
        amount=grant.amount,
        invoice_id=grant.source_invoice_id,
        at=grant.granted_at,
        by=grant.granted_by,
    )


def write_entries(entries: Sequence[CreditEntry]) -> None:
    """Write ledger entries in one statement, which moves the balances. IntegrityError: one would fall below zero."""
    if entries:
        CreditEntry.objects.bulk_create(entries)


def balances(customer: Customer, *, now: datetime) -> dict[str, Decimal]:
    """Give what a customer can use now, by currency; currencies without a usable credit are left out."""
    rows = usable_grants(now=now).filter(customer=customer).values("currency").annotate(sum=Sum("balance"))
    return {row["currency"]: row["sum"] for row in rows.order_by("currency")}


def usable_grants(*, now: datetime) -> QuerySet[CreditGrant]:
    """Give the grants with something left that can be used at an instant."""
    not_expired = Q(expires_at=None) | Q(expires_at__gt=now)
    return CreditGrant.objects.filter(not_expired, balance__gt=0, effective_at__lte=now)


def check_terms(terms: CreditTerms, *, now: datetime) -> None:
    """Raise InvalidCredit naming every field that makes no sense."""
    problems: dict[str, str] = {}
    try:
        digits: int | None = currency_digits(terms.currency)
    except UnknownCurrency as refused:
        digits, problems["currency"] = None, refused.message
    amounts = {"amount": terms.amount, "rollover_limit": terms.rollover_limit}
    for name, amount in amounts.items():
        if amount is None:
            continue
        if not 0 < amount < MAX_AMOUNT:
            problems[name] = "Give an amount above 0."
        elif digits is not None and round_amount(amount, digits) != amount:
            problems[name] = f"{terms.currency} has {digits} decimals; give an amount with no more."
    if not terms.name.strip() or len(terms.name) > 200:
        problems["name"] = "Give the credit a name of 1 to 200 characters; the customer reads it."
    if terms.kind not in (CreditKind.PREPAID, CreditKind.PROMOTIONAL):
        problems["kind"] = "Choose prepaid or promotional."
    if not 0 <= terms.priority <= MAX_PRIORITY:
        problems["priority"] = f"Give a whole number from 0, used first, to {MAX_PRIORITY}."
    start = terms.effective_at or now
    if terms.expires_at is not None and terms.expires_at <= max(start, now):
        problems["expires_at"] = "The credit would have expired before it can be used. Choose a later moment."
    if terms.expires_at is None and (terms.rollover_limit is not None or terms.rollover_days is not None):
        problems["rollover_limit"] = "Only what expires rolls over. Say when the credit expires."
    elif terms.rollover_days is not None and terms.rollover_limit is None:
        problems["rollover_limit"] = "Say how much rolls over at most."
    if terms.rollover_days is not None and not 1 <= terms.rollover_days <= 36_500:
        problems["rollover_days"] = "Give a number of days from 1."
    if problems:
        raise InvalidCredit(next(iter(problems.values())), fields=problems)
