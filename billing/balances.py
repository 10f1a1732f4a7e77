"""A customer's credits and coupons for reading: what can be used, each credit, the ledger with its running balance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Sum

from billing.crediting import balances
from billing.discounting import uses_of
from billing.formatting import money
from billing.models import (
    Coupon,
    CreditAlert,
    CreditEntry,
    CreditGrant,
    CustomerCoupon,
    Invoice,
    InvoiceStatus,
    RecurringGrant,
)
from billing.models.invoices import SETTLED
from billing.rating.exact import ZERO
from customers.models import Customer


@dataclass(frozen=True, slots=True)
class Balance:
    """What can be used in one currency, in words; `low` when it is below the customer's threshold."""

    currency: str
    amount: Decimal
    words: str
    threshold: str
    low: bool


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One movement, with what all credits of the currency came to after it."""

    entry: CreditEntry
    amount: str
    after: str
    comes: bool


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One credit and where it stands: left, used, expired, voided, later."""

    grant: CreditGrant
    amount: str
    balance: str
    state: str


@dataclass(frozen=True, slots=True)
class FavourRow:
    """An invoice with a credit balance, in words."""

    invoice: Invoice
    amount: str


@dataclass(frozen=True, slots=True)
class RecurringRow:
    """A recurring grant in words; `runs` until it is stopped or has ended."""

    row: RecurringGrant
    amount: str
    rest: str
    runs: bool


@dataclass(frozen=True, slots=True)
class CouponRow:
    """A coupon a customer holds: what it takes off, how often it was used, of how many (None: no limit)."""

    row: CustomerCoupon
    off: str
    used: int
    limit: int | None

    @property
    def is_over(self) -> bool:
        return self.limit is not None and self.used >= self.limit


def coupon_words(coupon: Coupon) -> str:
    """Say what a coupon takes off: 10 %, $20.00."""
    if coupon.currency:
        return money(coupon.value, coupon.currency)
    return f"{coupon.value.normalize():f} %"


def coupon_rows(customer: Customer) -> list[CouponRow]:
    """Give the coupons a customer holds, those that are used up last."""
    held = list(CustomerCoupon.objects.filter(customer=customer, removed_at=None).select_related("coupon"))
    uses = uses_of(held) if held else {}
    rows = [
        CouponRow(
            each, coupon_words(each.coupon), uses[each.pk].live if each.pk in uses else 0, each.coupon.limit
        )
        for each in held
    ]
    return sorted(rows, key=lambda row: row.is_over)


def recurring_rows(customer: Customer) -> list[RecurringRow]:
    """Give what is granted to a customer regularly, what still runs first."""
    rows = []
    for row in RecurringGrant.objects.filter(customer=customer):
        rest = "expires with its period" if row.expires else "adds up"
        if row.rollover_limit is not None:
            rest = f"up to {money(row.rollover_limit, row.currency)} roll over"
        rows.append(RecurringRow(row, money(row.amount, row.currency), rest, row.stopped_at is None))
    return sorted(rows, key=lambda each: not each.runs)


def favour_rows(customer: Customer) -> list[FavourRow]:
    """Give the invoices on which a customer has paid or been credited too much, the oldest first."""
    rows = Invoice.objects.filter(customer=customer, status=InvoiceStatus.PAID, total__lt=SETTLED)
    return [
        FavourRow(invoice, money(-invoice.amount_due, invoice.currency))
        for invoice in rows.order_by("issued_at", "pk")
    ]


def balance_words(customer: Customer, *, now: datetime) -> list[Balance]:
    """Give the balance of each currency in which the customer has credits or a threshold."""
    usable = balances(customer, now=now)
    alerts = {alert.currency: alert for alert in CreditAlert.objects.filter(customer=customer)}
    known = CreditGrant.objects.filter(customer=customer).order_by().values_list("currency", flat=True)
    rows = []
    for currency in sorted({*known.distinct(), *alerts}):
        amount, alert = usable.get(currency, ZERO), alerts.get(currency)
        rows.append(
            Balance(
                currency,
                amount,
                money(amount, currency),
                money(alert.threshold, currency) if alert else "",
                alert is not None and amount < alert.threshold,
            )
        )
    return rows


def grant_rows(customer: Customer, *, now: datetime) -> list[GrantRow]:
    """Give the credits of a customer, those with something left first, in the order in which they are used."""
    rows = CreditGrant.objects.filter(customer=customer).select_related("source_invoice")
    found = [
        GrantRow(
            each, money(each.amount, each.currency), money(each.balance, each.currency), _state(each, now)
        )
        for each in rows.order_by("priority", "expires_at", "granted_at", "id")
    ]
    return sorted(found, key=lambda row: row.state not in ("usable", "later"))


def ledger_rows(customer: Customer, *, limit: int | None = None) -> list[LedgerRow]:
    """Give the movements of a customer's credits, the latest first, with the balance after each."""
    rows = CreditEntry.objects.filter(grant__customer=customer).select_related("grant", "invoice")
    newest = list(rows.order_by("-at", "-id")[:limit] if limit else rows.order_by("-at", "-id"))
    after = {
        row["grant__currency"]: row["sum"]
        for row in CreditEntry.objects.filter(grant__customer=customer)
        .order_by()
        .values("grant__currency")
        .annotate(sum=Sum("amount"))
    }
    return list(_with_balance(newest, after))


def _with_balance(newest: Iterable[CreditEntry], after: dict[str, Decimal]) -> Iterable[LedgerRow]:
    for entry in newest:
        currency = entry.grant.currency
        yield LedgerRow(
            entry, money(entry.amount, currency), money(after[currency], currency), entry.amount > 0
        )
        after[currency] -= entry.amount


def _state(grant: CreditGrant, now: datetime) -> str:
    if grant.voided_at is not None:
        return "voided"
    if grant.expires_at is not None and grant.expires_at <= now:
        return "expired"
    if not grant.balance:
        return "used up"
    return "later" if grant.effective_at > now else "usable"
