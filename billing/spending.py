"""Credits on invoices: taken when an invoice is issued, given back when it is void.

`apply_credits` runs in the transaction that issues, for a whole chunk in a few statements. It locks the grants it
looks at in the order of their ids, so closers of the same customer wait for each other and do not deadlock. An invoice
whose total is below zero becomes a credit of that amount: `credits_applied` is then the negative total, so that
nothing is due on it and the customer keeps what it is owed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from billing.crediting import (
    CARRIED_OVER_PRIORITY,
    continued,
    expire_credits,
    first_entry,
    rolled_expiry,
    rolls_over,
    void_rest,
    write_entries,
)
from billing.drafts import DraftCredit
from billing.errors import CreditsSpent
from billing.models import CreditEntry, CreditEntryKind, CreditGrant, CreditKind, Invoice
from billing.rating.credits import Grant, burn
from billing.recurring import customers_due, grant_due, not_yet_granted
from customers.lookups import Ids

Account = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Owed:
    """What one invoice asks of one customer, in major units of the currency."""

    customer_id: int
    currency: str
    total: Decimal


@dataclass(frozen=True, slots=True)
class Planned:
    """What an invoice would take from which grants; `applied` is below zero where it would become a credit."""

    applied: Decimal
    credits: tuple[DraftCredit, ...]


def planned_credits(owed: Sequence[Owed], *, now: datetime, in_turn: bool = False) -> list[Planned]:
    """Say what each would take from credits if it were the only invoice issued now. Two queries; writes nothing.

    `in_turn`: if all of them were issued now, in this order.
    """
    customers = {each.customer_id for each in owed if each.total > 0}
    stored = CreditGrant.objects.filter(balance__gt=0, customer__in=customers).order_by("id")
    # A period that has just begun: its credit is granted by the time the invoice is issued.
    coming = not_yet_granted(customers, now=now)
    grants = _by_account([*stored, *coming], now=now)
    planned = []
    for each in owed:
        if each.total <= 0:
            planned.append(Planned(each.total, ()))
            continue
        held = grants.get((each.customer_id, each.currency), {})
        used = burn((grant for _, grant in held.values()), each.total, at=now)
        credits_used = (DraftCredit(held[pk][0].pk, held[pk][0].name, amount) for pk, amount in used.taken)
        planned.append(Planned(used.covered, tuple(credits_used)))
        if in_turn:
            for pk, amount in used.taken:
                row, grant = held[pk]
                held[pk] = row, replace(grant, balance=grant.balance - amount)
    return planned


def with_credits(customer_ids: Collection[int], *, now: datetime) -> set[int]:
    """Give the customers that have a credit, or are to be granted one by now: nobody else could pay with one."""
    held = CreditGrant.objects.filter(customer__among=Ids(customer_ids), balance__gt=0)
    return set(held.values_list("customer_id", flat=True)) | customers_due(customer_ids, now=now)


def apply_credits(invoices: Sequence[Invoice], *, now: datetime) -> dict[int, Decimal]:
    """Take credits for invoices about to be issued, in the order given; give what was applied, by invoice.

    Call it inside the transaction that issues them; the caller writes `credits_applied`.
    """
    applied: dict[int, Decimal] = {}
    entries: list[CreditEntry] = []
    paying = [invoice for invoice in invoices if invoice.total > 0]
    customers = {invoice.customer_id for invoice in paying}
    if customers:
        grant_due(now=now, customer_ids=customers)
        expire_credits(now=now, customer_ids=customers)
        rows = CreditGrant.objects.filter(customer__among=Ids(customers), balance__gt=0).order_by("id")
        grants = _by_account(rows.select_for_update(), now=now)
        for invoice in paying:
            held = grants.get((invoice.customer_id, invoice.currency))
            if held is None:
                continue
            used = burn((grant for _, grant in held.values()), invoice.total, at=now)
            if not used.covered:
                continue
            applied[invoice.pk] = used.covered
            for pk, amount in used.taken:
                row, grant = held[pk]
                held[pk] = row, replace(grant, balance=grant.balance - amount)
                entries.append(
                    CreditEntry(
                        grant=row, kind=CreditEntryKind.APPLIED, amount=-amount, invoice_id=invoice.pk, at=now
                    )
                )
    below_zero = [invoice for invoice in invoices if invoice.total < 0]
    carried = [_carried_over(invoice, now=now) for invoice in below_zero]
    CreditGrant.objects.bulk_create(carried)
    write_entries(entries + [first_entry(grant) for grant in carried])
    return applied | {invoice.pk: invoice.total for invoice in below_zero}


def return_credits(invoice: Invoice, *, by: str, now: datetime) -> None:
    """Give back what a void invoice took, and take back what it became. Call it in the transaction that voids.

    A grant that has expired meanwhile goes on as a new one for as long as it had left when it was used. Raises
    CreditsSpent when the credit that the invoice became is used already. Rerunning changes nothing.
    """
    reason = f"Invoice {invoice.number} is void"
    for grant in CreditGrant.objects.select_for_update().filter(source_invoice=invoice, voided_at=None):
        if grant.balance != grant.amount:
            raise CreditsSpent(
                f"The credit that invoice {invoice.number} became is used already. "
                "Void the invoices it paid for first.",
            )
        void_rest(grant, reason=reason, by=by, now=now)
    taken = list(
        CreditEntry.objects.filter(invoice=invoice, kind=CreditEntryKind.APPLIED)
        .exclude(
            grant__entries__in=CreditEntry.objects.filter(invoice=invoice, kind=CreditEntryKind.RETURNED)
        )
        .order_by("grant_id")
    )
    rows = CreditGrant.objects.filter(pk__in=[entry.grant_id for entry in taken]).order_by("id")
    locked = {grant.pk: grant for grant in rows.select_for_update()}
    entries, fresh = [], []
    for entry in taken:
        grant, back = locked[entry.grant_id], -entry.amount

        def write(kind: CreditEntryKind, amount: Decimal, of: CreditGrant = grant) -> CreditEntry:
            return CreditEntry(
                grant=of, kind=kind, amount=amount, invoice=invoice, at=now, reason=reason, by=by
            )

        entries.append(write(CreditEntryKind.RETURNED, back))
        if grant.voided_at is not None:
            entries.append(write(CreditEntryKind.VOIDED, -back))
        elif grant.expires_at is not None and grant.expires_at <= now:
            entries.append(write(CreditEntryKind.ROLLED_OVER, -back))
            until = now + (grant.expires_at - entry.at)
            fresh.append(continued(grant, back, effective_at=now, expires_at=until, now=now))
    CreditGrant.objects.bulk_create(fresh)
    write_entries(entries + [first_entry(grant) for grant in fresh])


def _by_account(
    rows: Iterable[CreditGrant], *, now: datetime
) -> dict[Account, dict[str, tuple[CreditGrant, Grant]]]:
    """Give the grants of each customer and currency as the burn order reads them, by their id or place."""
    found: dict[Account, dict[str, tuple[CreditGrant, Grant]]] = {}
    for n, row in enumerate(rows):
        balance, effective_at, expires_at = row.balance, row.effective_at, row.expires_at
        if expires_at is not None and expires_at <= now:  # not yet written off: what rolls over can be used
            balance, effective_at, expires_at = rolls_over(row), expires_at, rolled_expiry(row)
        pk = str(row.pk or f"coming {n}")
        grant = Grant(pk, balance, row.granted_at, row.priority, effective_at, expires_at)
        found.setdefault((row.customer_id, row.currency), {})[pk] = row, grant
    return found


def _carried_over(invoice: Invoice, *, now: datetime) -> CreditGrant:
    return CreditGrant(
        customer_id=invoice.customer_id,
        currency=invoice.currency,
        kind=CreditKind.CARRIED_OVER,
        name=f"Carried over from {invoice.number}",
        amount=-invoice.total,
        priority=CARRIED_OVER_PRIORITY,
        effective_at=now,
        source_invoice=invoice,
        granted_at=now,
    )
