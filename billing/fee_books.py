"""What invoices say of fixed fees, beside the facts that fees follow from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from django.db.models import Exists, OuterRef

from billing.agreements import Agreement, agreement_of, agreements_of
from billing.drafts import DraftLine, DuePeriod, InvoiceKey
from billing.models import Invoice, InvoiceKind, InvoiceLine, InvoiceStatus, Rate, Subscription
from billing.rating import SubscriptionRate
from billing.rating.exact import ZERO, exactly

# Subscription, rate, first day the fee is for.
FeeKey = tuple[int, int, date]


@dataclass(frozen=True, slots=True)
class Billed:
    """What invoices say of one fee and period. `live` is False where all of them are void."""

    amount: Decimal = ZERO
    next_n: int = 1
    live: bool = False
    until: date = date.min
    number: str = ""

    @exactly
    def plus(self, amount: Decimal, n: int, *, until: date, number: str, live: bool = True) -> Billed:
        return Billed(
            self.amount + (amount if live else ZERO),
            max(self.next_n, n + 1),
            self.live or live,
            max(self.until, until) if live else self.until,
            number if live else self.number,
        )


@dataclass(frozen=True, slots=True)
class Fee:
    """A subscription rate as a plan has it for a customer: the row, its terms, and how they are written."""

    row: Rate
    terms: SubscriptionRate
    written: Mapping[str, object]


@dataclass(slots=True)
class FeeBook:
    """The facts of subscriptions and what was billed of their fees; it grows with each invoice drawn up.

    `settles` False prices each period by itself, whatever was invoiced: for examples and comparisons.
    `before` holds the fees of the subscription that each one continues.
    """

    agreements: Mapping[int, Agreement] = field(default_factory=dict)
    billed: dict[FeeKey, Billed] = field(default_factory=dict)
    settles: bool = False
    before: Mapping[int, tuple[Subscription, Sequence[Fee]]] = field(default_factory=dict)
    followed: Collection[int] = ()

    def agreement(self, due: DuePeriod) -> Agreement:
        known = self.agreements.get(due.agreed_by or due.subscription.pk or 0)
        return known or agreement_of(due.subscription)

    def enter(self, lines: Iterable[DraftLine]) -> None:
        """Count lines of an invoice that is drawn up as billed."""
        for line in lines:
            if line.fee_start is None or line.fee_n is None:
                continue
            assert line.subscription_id is not None  # a line of a fee in advance says whose it is
            assert line.rate_id is not None
            key = (line.subscription_id, line.rate_id, line.fee_start)
            self.billed[key] = self.billed.get(key, Billed()).plus(
                line.amount, line.fee_n, until=line.period.end_on, number=""
            )


def open_book(
    due: Sequence[DuePeriod],
    before: Mapping[int, tuple[Subscription, Sequence[Fee]]],
    *,
    in_advance: bool,
) -> FeeBook:
    """Read the facts and the invoiced fees of stored subscriptions. The invoices of `due` themselves do not count.

    `before` holds, by subscription, the one it continues and that one's fees. Without a fee `in_advance` anywhere there
    is nothing to look up.
    """
    subscriptions = {each.subscription.pk: each.subscription for each in due}
    subscriptions |= {old.pk: old for old, _ in before.values()}
    return FeeBook(
        agreements_of(subscriptions.values()),
        _billed(subscriptions, {each.key for each in due}) if in_advance else {},
        settles=True,
        before=before,
        followed=_followed(subscriptions.values()) if in_advance else (),
    )


def _billed(subscriptions: Collection[int], redrawn: Collection[InvoiceKey]) -> dict[FeeKey, Billed]:
    found: dict[FeeKey, Billed] = {}
    rows = (
        InvoiceLine.objects.filter(subscription__in=subscriptions, fee_start__isnull=False)
        .order_by("id")
        .values_list(
            "subscription_id",
            "rate_id",
            "fee_start",
            "fee_n",
            "amount",
            "period_end",
            "invoice__number",
            "invoice__status",
            "invoice__subscription_id",
            "invoice__period_start",
            "invoice__kind",
        )
    )
    for subscription, rate, start, n, amount, until, number, status, *invoice in rows:
        void = status == InvoiceStatus.VOID
        if not void and (invoice[0], invoice[1], invoice[2]) in redrawn:
            continue
        assert rate is not None  # fees come from rates
        assert n is not None  # held by invoiceline_fee_names_subscription
        assert start is not None
        assert subscription is not None
        key = (subscription, rate, start)
        found[key] = found.get(key, Billed()).plus(amount, n, until=until, number=number or "", live=not void)
    return found


def _followed(subscriptions: Iterable[Subscription]) -> set[int]:
    """Give those that another subscription continues on the day they end, whose first invoice is still to come."""
    ended = {row.pk: row.end_on for row in subscriptions if row.end_on is not None}
    if not ended:
        return set()
    invoiced = Invoice.objects.filter(
        subscription=OuterRef("pk"), period_start=OuterRef("start_on"), kind=InvoiceKind.PERIODIC
    ).exclude(status__in=(InvoiceStatus.DRAFT, InvoiceStatus.VOID))
    following = Subscription.objects.filter(~Exists(invoiced), moved_from__in=ended)
    rows = following.values_list("moved_from_id", "start_on")
    return {before for before, start_on in rows if ended[before] == start_on}
