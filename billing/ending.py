"""Ending a subscription, moving its end, and what invoices leave open of it."""

from __future__ import annotations

from datetime import date, timedelta

from django.db import IntegrityError, transaction

from billing.errors import (
    InvalidDates,
    SubscriptionOverlap,
)
from billing.models import (
    Invoice,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    MeterCoverage,
    Subscription,
)
from billing.subscription_periods import billed_days, whole_period


def end_subscription(subscription: Subscription, *, end_on: date, followed: bool = False) -> Subscription:
    """End a subscription before a local day. Days already invoiced cannot be taken back here: InvalidDates.

    `followed`: another plan goes on from that day, and its invoices give back what was paid in advance.
    """
    with transaction.atomic():
        subscription = Subscription.objects.select_for_update().get(pk=subscription.pk)
        billed_until = invoiced_until(subscription)
        if end_on <= subscription.start_on:
            message = f"It must lie after the start on {subscription.start_on}."
            raise InvalidDates(message, fields={"end_on": message})
        if billed_until is not None and end_on < billed_until:
            message = f"Days before {billed_until} are invoiced already; end it on or after that day."
            raise InvalidDates(message, fields={"end_on": message})
        if (
            subscription.end_on is not None
            and end_on > subscription.end_on
            and is_settled_short(subscription)
        ):
            message = (
                f"Its last invoice ends on {subscription.end_on}. Reactivate it, or assign the plan again."
            )
            raise InvalidDates(message, fields={"end_on": message})
        if not followed:
            _refuse_fee_ahead(subscription, end_on)
        _set_end(subscription, end_on)
    return subscription


def reopen(subscription: Subscription, *, end_on: date | None) -> Subscription:
    """Let a subscription go on to another end, or with none. Raises SubscriptionOverlap."""
    try:
        with transaction.atomic():
            subscription = Subscription.objects.select_for_update().get(pk=subscription.pk)
            _set_end(subscription, end_on)
    except IntegrityError as refused:
        if "metercoverage_never_twice" not in str(refused):
            raise
        message = "Another plan of this customer bills the same usage by now. End that one first."
        raise SubscriptionOverlap(message, fields={"end_on": message}) from refused
    return subscription


def _set_end(subscription: Subscription, end_on: date | None) -> None:
    subscription.end_on = end_on
    subscription.revision += 1
    subscription.save(update_fields=["end_on", "revision"])
    MeterCoverage.objects.filter(subscription=subscription).update(during=billed_days(subscription))


def invoiced_until(subscription: Subscription) -> date | None:
    """Give the first day that no invoice has charged the usage of; None before the first."""
    return (
        Invoice.objects.filter(subscription=subscription, kind=InvoiceKind.PERIODIC)
        .exclude(status=InvoiceStatus.VOID)
        .order_by("-period_end")
        .values_list("period_end", flat=True)
        .first()
    )


def is_settled_short(subscription: Subscription) -> bool:
    """Tell whether the end cut a period and that part is invoiced: the rest of it can have no invoice any more."""
    end_on = subscription.end_on
    if end_on is None or invoiced_until(subscription) != end_on:
        return False
    return whole_period(subscription, end_on - timedelta(days=1)).end_on != end_on


def _refuse_fee_ahead(subscription: Subscription, end_on: date) -> None:
    """A fee of days after the end is given back on the last invoice, so there must be one to come."""
    ahead = (
        InvoiceLine.objects.filter(subscription=subscription, fee_start__gte=end_on)
        .exclude(invoice__status=InvoiceStatus.VOID)
        .order_by("fee_start")
        .values_list("fee_start", flat=True)
        .first()
    )
    if ahead is not None:
        later = ahead + timedelta(days=1)
        message = (
            f"The fee from {ahead} on is invoiced already. End it before {later} or a later day: "
            "what is not used is given back on the last invoice."
        )
        raise InvalidDates(message, fields={"end_on": message})
