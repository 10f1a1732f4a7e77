"""The preview of an invoice as a page: which subscription, which period, which lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from billing.admin.statement import draft_rows
from billing.errors import BillingError
from billing.formatting import money
from billing.formatting import period as days_words
from billing.models import Invoice, InvoiceStatus, Subscription
from billing.previewing import preview_invoice
from billing.subscription_periods import anchor_of, whole_period
from billing.totals import total_rows
from customers.models import Customer
from metering.periods import Period, clip, local_day, periods_between

PERIODS_SHOWN = 24


def preview_page(customer: Customer, query: Mapping[str, str], *, now: datetime) -> dict[str, Any]:
    """Give what the preview page shows. What the query names and does not exist falls back to the running period."""
    subscriptions = list(
        Subscription.objects.filter(customer=customer)
        .select_related("plan", "customer")
        .order_by("-start_on")
    )
    if not subscriptions:
        return {"subscriptions": []}
    wanted = query.get("subscription", "")
    subscription = next((s for s in subscriptions if str(s.pk) == wanted), _running_now(subscriptions, now))
    periods = periods_of(subscription, now=now)
    if not periods:
        return {"subscriptions": subscriptions, "subscription": subscription, "periods": []}
    period = next((p for p in periods if p.start_on.isoformat() == query.get("period")), periods[0])
    context: dict[str, Any] = {
        "subscriptions": subscriptions,
        "subscription": subscription,
        "periods": [
            {"value": p.start_on.isoformat(), "words": _period_words(p, now), "chosen": p == period}
            for p in periods
        ],
        "over": period.is_over(now),
        "invoice": _live_invoice(subscription, period),
    }
    try:
        draft = preview_invoice(subscription, period=period, now=now)
    except BillingError as refused:
        return context | {"refused": refused.message}
    covered = draft.due.period
    return context | {
        "draft": draft,
        "days": days_words(covered.start_on, covered.end_on),
        "lines": draft_rows(draft),
        "totals": total_rows(draft),
        "total": money(draft.total, draft.currency),
    }


def periods_of(subscription: Subscription, *, now: datetime) -> list[Period]:
    """Give the whole periods of a subscription up to the running one, the latest first, at most 24."""
    today = local_day(now, subscription.timezone)
    last = whole_period(subscription, max(today, subscription.start_on))
    interval = subscription.plan.invoice_interval
    until = min(filter(None, (last.end_on, subscription.end_on)))
    if until <= subscription.start_on:
        return []
    spans = list(
        periods_between(
            subscription.start_on,
            until,
            anchor=anchor_of(subscription),
            interval=interval,
            zone=subscription.timezone,
        )
    )
    return spans[: -PERIODS_SHOWN - 1 : -1]


def _running_now(subscriptions: list[Subscription], now: datetime) -> Subscription:
    for subscription in subscriptions:
        today = local_day(now, subscription.timezone)
        if subscription.start_on <= today and (subscription.end_on is None or today < subscription.end_on):
            return subscription
    return subscriptions[0]


def _period_words(period: Period, now: datetime) -> str:
    words = days_words(period.start_on, period.end_on)
    return words if period.is_over(now) else f"{words} (running)"


def _live_invoice(subscription: Subscription, period: Period) -> Invoice | None:
    covered = clip(period, start_on=subscription.start_on, end_on=subscription.end_on)
    start: date = covered.start_on if covered else period.start_on
    return (
        Invoice.objects.filter(subscription=subscription, period_start=start)
        .exclude(status=InvoiceStatus.VOID)
        .first()
    )
