"""On which invoice each adjustment goes, and which of them wait."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from django.conf import settings
from django.db.models import F

from billing.adjusting import Adjustment
from billing.drafts import DuePeriod
from billing.models import ChangedLine, InvoiceKind, InvoiceLine, Subscription
from metering.periods import Period


def home_of(line: InvoiceLine, subscriptions: Iterable[Subscription]) -> Subscription | None:
    """Give the subscription on whose next invoice an adjustment goes; None when the customer has none left.

    It is the line's own while that goes on, else the customer's oldest that does, in the same currency.
    """
    invoice = line.invoice
    own: list[Subscription] = []
    others: list[Subscription] = []
    for subscription in subscriptions:
        if subscription.end_on is not None and subscription.end_on <= invoice.period_end:
            continue
        if subscription.pk == invoice.subscription_id:
            own.append(subscription)
        elif subscription.plan.currency == invoice.currency:
            others.append(subscription)
    others.sort(key=lambda subscription: (subscription.start_on, subscription.pk))
    return next(iter([*own, *others]), None)


def released(adjustments: Sequence[Adjustment]) -> list[Adjustment]:
    """Leave out what waits for a decision of staff: differences from the size of the setting on, not yet decided.

    Where the terms of a plan look at an invoice as a whole, all its changed lines go or wait together.
    """
    limit = settings.ADJUSTMENT_REVIEW_FROM
    if limit is None:
        return list(adjustments)
    large = [each.line.pk for each in adjustments if abs(each.difference) >= limit]
    decided = set(
        ChangedLine.objects.filter(line__in=large, bill_up_to__gte=F("position")).values_list(
            "line_id", flat=True
        )
    )
    waiting = set(large) - decided
    whole = {
        each.line.invoice_id
        for each in adjustments
        if each.line.pk in waiting and each.line.invoice.plan_terms is not None
    }
    return [each for each in adjustments if each.line.pk not in waiting and each.line.invoice_id not in whole]


def place_adjustments(
    adjustments: Sequence[Adjustment], due: Sequence[DuePeriod]
) -> dict[int, list[Adjustment]]:
    """Say on which of the invoices being drawn up each adjustment goes, by place in `due`; others wait."""
    adjustments = released(adjustments)
    if not adjustments:
        return {}
    subscriptions: dict[int, list[Subscription]] = {}
    customers = {each.subscription.customer_id for each in due}
    for row in Subscription.objects.filter(customer__in=customers).select_related("plan"):
        subscriptions.setdefault(row.customer_id, []).append(row)
    first: dict[tuple[int | None, str], tuple[date, int]] = {}
    placed: dict[int, list[Adjustment]] = {}
    for adjustment in adjustments:
        invoice = adjustment.line.invoice
        home = home_of(adjustment.line, subscriptions.get(invoice.customer_id, ()))
        kind = InvoiceKind.PERIODIC if home else InvoiceKind.ADJUSTMENT
        subscription_id = home.pk if home else invoice.subscription_id
        if (subscription_id, kind) not in first:
            open_places = [
                (each.period.end_on, place)
                for place, each in enumerate(due)
                if (each.subscription.pk, each.kind) == (subscription_id, kind)
            ]
            if not open_places:
                continue
            first[subscription_id, kind] = min(open_places)
        end_on, place = first[subscription_id, kind]
        if kind == InvoiceKind.ADJUSTMENT or end_on > invoice.period_end:
            placed.setdefault(place, []).append(adjustment)
    return placed


def without_home(ended: Iterable[Subscription], month_first: date, month_following: date) -> list[DuePeriod]:
    """Give an invoice of its own to each ended subscription with changed lines that no other invoice will carry."""
    by_id = {each.pk: each for each in ended if each.end_on is not None}
    changed = ChangedLine.objects.filter(line__invoice__subscription__in=by_id).select_related(
        "line__invoice"
    )
    lines = [change.line for change in changed if change.line.invoice.period_end <= month_following]
    subscriptions: dict[int, list[Subscription]] = {}
    customers = {line.invoice.customer_id for line in lines}
    for row in Subscription.objects.filter(customer__in=customers).select_related("plan"):
        subscriptions.setdefault(row.customer_id, []).append(row)
    homeless = {
        line.invoice.subscription_id
        for line in lines
        if line.invoice.subscription_id is not None
        and home_of(line, subscriptions[line.invoice.customer_id]) is None
    }
    return [
        DuePeriod(by_id[pk], Period(month_first, month_following, by_id[pk].timezone), InvoiceKind.ADJUSTMENT)
        for pk in sorted(homeless)
    ]
