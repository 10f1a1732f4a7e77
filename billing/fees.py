"""Fixed fees: what the days of a period owe by the facts, and what of it no invoice carries yet.

A fee in advance is settled by difference. For each subscription, rate and period of the fee, what the days owe is
computed from the facts known now, and what live invoices say already is taken off: nothing, the first time, so the
whole fee is printed; later only what an end, a change of plan, seats or a pause made different. The lines of one fee
and period are counted, and the database refuses the same count twice, so two closers never print one fee twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from billing.agreements import Agreement, Stretch
from billing.drafts import DraftLine, DuePeriod
from billing.fee_amounts import OwedFee, owed
from billing.fee_books import Billed, Fee, FeeBook
from billing.models import InvoiceKind, LineKind, Subscription
from billing.rating import Step
from billing.rating.exact import ZERO
from billing.rating.money import currency_digits
from billing.subscription_periods import fee_period
from metering.periods import Period, clip


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


def _around(subscription: Subscription, day: date) -> set[Period]:
    """Give the periods of the fees that end or go on on a day: those that a plan which follows then settles."""
    return {fee_period(subscription, day), fee_period(subscription, date.fromordinal(day.toordinal() - 1))}


def _seats_differ(stretches: Sequence[Stretch]) -> bool:
    return len({each.seats for each in stretches}) > 1


def _owed(fee: Fee, agreement: Agreement, subscription: Subscription, covered: Period) -> OwedFee:
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
    charged: OwedFee,
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
