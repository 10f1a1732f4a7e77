"""Which periods of subscriptions are due: those that end in some days, and first ones invoiced at their start."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from billing.drafts import DuePeriod
from billing.models import Invoice, InvoiceKind, InvoiceStatus, Rate, RateKind, Subscription
from billing.subscription_periods import anchor_of, whole_period
from metering.periods import Anchor, Interval, Period, clip, period_of, periods_between


def periods_ending_in(subscription: Subscription, *, first: date, last: date) -> list[DuePeriod]:
    """Give the covered periods of a subscription whose last day lies in the local days `[first, last)`."""
    covered = _covered_ending_in(
        first,
        last,
        start_on=subscription.start_on,
        end_on=subscription.end_on,
        anchor=anchor_of(subscription),
        interval=subscription.plan.invoice_interval,
        zone=subscription.timezone,
    )
    return [DuePeriod(subscription, period) for period in covered]


@functools.lru_cache(maxsize=4_096)  # thousands of subscriptions have the same periods
def _covered_ending_in(
    first: date,
    last: date,
    *,
    start_on: date,
    end_on: date | None,
    anchor: Anchor,
    interval: Interval,
    zone: str,
) -> tuple[Period, ...]:
    earliest = period_of(max(first, start_on), anchor=anchor, interval=interval, zone=zone).start_on
    spans = periods_between(max(start_on, earliest), last, anchor=anchor, interval=interval, zone=zone)
    clipped = (clip(whole, start_on=start_on, end_on=end_on) for whole in spans)
    return tuple(period for period in clipped if period is not None and first < period.end_on <= last)


def starts_due(
    subscriptions: Iterable[Subscription], *, now: datetime, until: date | None = None
) -> list[DuePeriod]:
    """Give the invoices at the start that are due: fees of a first period that has begun, on none yet.

    A first period that is over is left to its own invoice, unless a draft was stored, or the invoice at the start was
    voided after its own was issued. `until`: those that begin up to a local day count too. Plans are loaded.
    """
    rows = [row for row in subscriptions if row.end_on is None or row.end_on > row.start_on]
    with_start = set(
        Rate.objects.filter(
            plan__in={row.plan_id for row in rows}, kind=RateKind.SUBSCRIPTION, terms__timing="at_start"
        ).values_list("plan_id", flat=True)
    )
    rows = [row for row in rows if row.plan_id in with_start or _starts_by_override(row)]
    if not rows:
        return []
    stored: dict[tuple[int | None, date], str] = {}
    for invoice in Invoice.objects.filter(subscription__in=rows, kind=InvoiceKind.AT_START):
        key = invoice.subscription_id, invoice.period_start
        if invoice.status != InvoiceStatus.VOID:
            stored[key] = invoice.status
        else:
            stored.setdefault(key, InvoiceStatus.VOID)
    void = {subscription for (subscription, _), status in stored.items() if status == InvoiceStatus.VOID}
    passed_by = _first_days_issued([row for row in rows if row.pk in void])
    due = []
    for row in rows:
        first_on = max(row.start_on, row.trial_end_on or row.start_on)
        covered = clip(whole_period(row, first_on), start_on=first_on, end_on=row.end_on)
        if covered is None or (covered.start > now and (until is None or covered.start_on > until)):
            continue
        status = stored.get((row.pk, first_on))
        is_free = status in (None, InvoiceStatus.VOID) and not covered.is_over(now)
        if status == InvoiceStatus.DRAFT or is_free or (status == InvoiceStatus.VOID and row.pk in passed_by):
            due.append(DuePeriod(row, covered, InvoiceKind.AT_START))
    return due


def _starts_by_override(subscription: Subscription) -> bool:
    return any(terms.get("timing") == "at_start" for terms in subscription.overrides.values())


def _first_days_issued(subscriptions: Sequence[Subscription]) -> set[int]:
    """Give those whose first charged day is on an issued invoice of its period: no other will carry its fee."""
    if not subscriptions:
        return set()
    first = {row.pk: max(row.start_on, row.trial_end_on or row.start_on) for row in subscriptions}
    issued = Invoice.objects.filter(subscription__in=first, kind=InvoiceKind.PERIODIC).exclude(
        status__in=(InvoiceStatus.DRAFT, InvoiceStatus.VOID)
    )
    return {
        pk
        for pk, start_on, end_on in issued.values_list("subscription_id", "period_start", "period_end")
        if start_on <= first[pk] < end_on
    }
