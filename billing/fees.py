"""Fixed fees: what the days of a period owe by the facts, and what of it no invoice carries yet.

A fee in advance is settled by difference. For each subscription, rate and period of the fee, what the days owe is
computed from the facts known now, and what live invoices say already is taken off: nothing, the first time, so the
whole fee is printed; later only what an end, a change of plan, seats or a pause made different. The lines of one fee
and period are counted, and the database refuses the same count twice, so two closers never print one fee twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

from django.db.models import Exists, OuterRef

from billing.agreements import Agreement, Stretch, agreement_of, agreements_of
from billing.drafts import DraftLine, DuePeriod, InvoiceKey
from billing.formatting import quantity_of
from billing.models import Invoice, InvoiceKind, InvoiceLine, InvoiceStatus, LineKind, Rate, Subscription
from billing.rating import Step, SubscriptionRate
from billing.rating.exact import ZERO, exactly
from billing.rating.money import currency_digits, round_amount, round_fraction
from billing.subscribing import fee_period
from metering.periods import Period, clip

# Subscription, rate, first day the fee is for.
FeeKey = tuple[int, int, date]


@dataclass(frozen=True, slots=True)
class Owed:
    """A fee for the days of a period: rounded, with its working. `used` of its `days` are charged."""

    amount: Decimal
    steps: tuple[Step, ...]
    used: int
    days: int
    seats: Decimal

    @property
    def is_part(self) -> bool:
        return self.used < self.days


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


def _around(subscription: Subscription, day: date) -> set[Period]:
    """Give the periods of the fees that end or go on on a day: those that a plan which follows then settles."""
    return {fee_period(subscription, day), fee_period(subscription, date.fromordinal(day.toordinal() - 1))}


def owed(terms: SubscriptionRate, stretches: Sequence[Stretch], *, days: int, digits: int) -> Owed:
    """Give what the charged days of a period owe of its fee; one that is not prorated is owed whole, or not at all."""
    used = sum(each.days for each in stretches)
    if not stretches:
        return Owed(round_amount(ZERO, digits), (), 0, days, Decimal(1))
    counted = {each.seats for each in stretches}
    if terms.per_seat and terms.prorated and len(counted) > 1:
        return _owed_by_seats(terms, stretches, used=used, days=days, digits=digits)
    seats = Decimal(stretches[0].seats) if terms.per_seat else Decimal(1)
    whole = terms.amount * seats
    part = terms.prorated and used < days
    amount = round_amount(round_fraction(Fraction(whole) * used / days, digits) if part else whole, digits)
    used = used if terms.prorated else days
    if not terms.per_seat:
        label = f"{terms.label} ({used} of {days} days)" if part else terms.label
        exact = amount if part else whole
        return Owed(amount, (Step(label, "flat", Decimal(1), exact, exact),), used, days, seats)
    steps = [Step(terms.label, "seats", seats, terms.amount, whole)]
    if part:
        steps.append(
            Step(f"{days - used} of {days} days not used", "unused_days", None, None, amount - whole)
        )
    return Owed(amount, tuple(steps), used, days, seats)


def _owed_by_seats(
    terms: SubscriptionRate, stretches: Sequence[Stretch], *, used: int, days: int, digits: int
) -> Owed:
    """Round the sum once; each step is rounded for print, and the last takes what is left."""
    exact = [Fraction(terms.amount) * each.seats * each.days / days for each in stretches]
    amount = round_fraction(sum(exact, Fraction(0)), digits)
    printed = [round_fraction(part, digits) for part in exact[:-1]]
    printed.append(amount - sum(printed, Decimal(0)))
    steps = tuple(
        Step(
            f"{quantity_of(Decimal(each.seats), 'seat')}, {each.days} of {days} days",
            "days",
            None,
            None,
            part,
        )
        for each, part in zip(stretches, printed, strict=True)
    )
    return Owed(amount, steps, used, days, Decimal(stretches[-1].seats))


def fee_lines(due: DuePeriod, fee: Fee, book: FeeBook) -> list[DraftLine]:
    """Give the lines of one fee on an invoice, their numbers still to be set; none where nothing is to be said.

    `in_arrears` and books that settle nothing: the fee of the invoice's own days, on the first or the last invoice of
    its period. `in_advance`: the fee of the period that begins with or contains the first day. `at_start`: that one and
    the one that contains the day after the last.
    """
    subscription, timing = due.subscription, fee.terms.timing
    if timing == "in_arrears" or not book.settles:
        if due.kind != InvoiceKind.PERIODIC:
            return []
        covered = _own_days(due, timing)
        if covered is None:
            return []
        charged = _owed(fee, book.agreement(due), subscription, covered)
        return [_line(due.subscription, fee, covered, charged)] if charged.steps else []
    if due.kind == InvoiceKind.AT_START and timing != "at_start":
        return []
    wholes = {fee_period(subscription, due.period.start_on)}
    # A fee is not invoiced before the first day it is for, which a trial or a pause may put off.
    latest = date.fromordinal(due.period.end_on.toordinal() - 1)
    if due.kind == InvoiceKind.AT_START:
        latest = due.period.start_on
    elif timing == "at_start":
        latest = due.period.end_on
        wholes.add(fee_period(subscription, latest))
    lines = []
    for whole in sorted(wholes):
        line = _settle(due, fee, book, whole, latest=latest)
        if line is not None:
            lines.append(line)
    return lines


def own_fee(due: DuePeriod, fee: Fee, book: FeeBook) -> Decimal:
    """Give what a fee owes for the invoice's own days, whichever invoice carries it."""
    covered = _own_days(due, fee.terms.timing)
    if covered is None:
        return ZERO
    return _owed(fee, book.agreement(due), due.subscription, covered).amount


def settle_before(due: DuePeriod, book: FeeBook) -> list[DraftLine]:
    """Give back what was billed of the fees of the plan before this one, for days it no longer covers."""
    known = book.before.get(due.subscription.pk)
    if known is None or due.period.start_on != due.subscription.start_on:
        return []
    old, fees = known
    lines = []
    for fee in fees:
        if fee.terms.timing == "in_arrears":
            continue
        for whole in sorted(_around(old, due.subscription.start_on)):
            start = max(whole.start_on, old.start_on)
            billed = book.billed.get((old.pk, fee.row.pk, start))
            if billed is None or not billed.live:
                continue
            line = _difference(old, fee, book.agreements[old.pk], whole, start, billed)
            if line is not None:
                lines.append(line)
    return lines


def _settle(due: DuePeriod, fee: Fee, book: FeeBook, whole: Period, *, latest: date) -> DraftLine | None:
    subscription, agreement = due.subscription, book.agreement(due)
    covered = clip(whole, start_on=subscription.start_on, end_on=subscription.end_on)
    start = max(whole.start_on, subscription.start_on)
    billed = book.billed.get((subscription.pk, fee.row.pk, start), Billed())
    if billed.live:
        end_on = subscription.end_on
        if subscription.pk in book.followed and end_on is not None and whole in _around(subscription, end_on):
            return None  # the plan that follows settles it, beside its own charge
        return _difference(subscription, fee, agreement, whole, start, billed)
    if covered is None:
        return None
    stretches = agreement.stretches(covered)
    if not stretches or stretches[0].start_on > latest:
        return None
    charged = owed(fee.terms, stretches, days=whole.days, digits=_digits(subscription))
    return _line(subscription, fee, covered, charged, fee_start=start, fee_n=billed.next_n)


def _difference(
    subscription: Subscription, fee: Fee, agreement: Agreement, whole: Period, start: date, billed: Billed
) -> DraftLine | None:
    covered = clip(whole, start_on=subscription.start_on, end_on=subscription.end_on)
    stretches = [] if covered is None else agreement.stretches(covered)
    now = owed(fee.terms, stretches, days=whole.days, digits=_digits(subscription))
    difference = now.amount - billed.amount
    if not difference:
        return None
    until = whole.end_on if covered is None else covered.end_on
    if covered is None or (difference < 0 and billed.until > until):
        first = start if covered is None else until
        about = Period(first, max(billed.until, first), whole.zone) if billed.until > first else whole
        description = f"{fee.terms.label}: {about.days} of {whole.days} days not used"
    else:
        about = covered
        paused = covered.days - sum(each.days for each in stretches)
        changed = (
            f"{paused} of {whole.days} days paused"
            if paused and not _seats_differ(stretches)
            else ("seats changed")
        )
        description = f"{fee.terms.label}: {changed}"
    before = f"Billed before, {billed.number}" if billed.number else "Billed before"
    steps = (
        Step(f"Owed now, {now.used} of {whole.days} days", "now", None, None, now.amount),
        Step(before, "before", None, None, -billed.amount),
    )
    return DraftLine(
        n=0,
        kind=LineKind.SUBSCRIPTION,
        description=description,
        rate_id=fee.row.pk,
        meter=None,
        unit="",
        quantity=Decimal(1),
        events=0,
        unit_amount=None,
        amount=difference,
        terms=fee.written,
        tax_category=fee.row.tax_category or subscription.plan.tax_category,
        working=steps,
        period=about,
        subscription_id=subscription.pk,
        fee_start=start,
        fee_n=billed.next_n,
    )


def _seats_differ(stretches: Sequence[Stretch]) -> bool:
    return len({each.seats for each in stretches}) > 1


def _owed(fee: Fee, agreement: Agreement, subscription: Subscription, covered: Period) -> Owed:
    days = fee_period(subscription, covered.start_on).days
    return owed(fee.terms, agreement.stretches(covered), days=days, digits=_digits(subscription))


def _own_days(due: DuePeriod, timing: str) -> Period | None:
    """Give the days a fee is for; None where this invoice does not carry it.

    Where usage settles within the period of the fees, the first of its invoices carries fees in advance, the last
    those in arrears.
    """
    subscription = due.subscription
    if not subscription.plan.usage_period:
        return due.period
    whole = fee_period(subscription, due.period.start_on)
    covered = clip(whole, start_on=subscription.start_on, end_on=subscription.end_on)
    assert covered is not None  # the invoice's own days are covered
    if timing == "in_arrears":
        return covered if due.period.end_on == covered.end_on else None
    return covered if due.period.start_on == covered.start_on else None


def _line(
    subscription: Subscription,
    fee: Fee,
    covered: Period,
    charged: Owed,
    *,
    fee_start: date | None = None,
    fee_n: int | None = None,
) -> DraftLine:
    terms = fee.terms
    label = f"{terms.label} ({charged.used} of {charged.days} days)" if charged.is_part else terms.label
    return DraftLine(
        n=0,
        kind=LineKind.SUBSCRIPTION,
        description=label,
        rate_id=fee.row.pk,
        meter=None,
        unit="",
        quantity=charged.seats,
        events=0,
        unit_amount=terms.amount if terms.per_seat or not charged.is_part else charged.amount,
        amount=charged.amount,
        terms=fee.written,
        tax_category=fee.row.tax_category or subscription.plan.tax_category,
        working=charged.steps,
        period=covered,
        subscription_id=None if fee_start is None else subscription.pk,
        fee_start=fee_start,
        fee_n=fee_n,
    )


def _digits(subscription: Subscription) -> int:
    return currency_digits(subscription.plan.currency)
