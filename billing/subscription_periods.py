"""The days of a subscription: its periods, counted from the remembered anchor, and what of them is billed."""

from __future__ import annotations

from datetime import date

from django.db.backends.postgresql.psycopg_any import DateRange

from billing.models import (
    AnchorRule,
    Subscription,
)
from metering.periods import CALENDAR_ANCHOR, Anchor, Interval, Period, period_of


def billed_days(subscription: Subscription) -> DateRange:
    """Give the days whose usage is billed: usage of a free trial is nobody's."""
    first = subscription.start_on
    if subscription.trial_usage_free and subscription.trial_end_on is not None:
        first = subscription.trial_end_on
        if subscription.end_on is not None:
            first = min(first, subscription.end_on)
    return DateRange(first, subscription.end_on)


def anchor_of(subscription: Subscription) -> Anchor:
    """Give the remembered anchor that a subscription's billing periods are counted from."""
    if subscription.anchor == AnchorRule.CALENDAR:
        return CALENDAR_ANCHOR
    return Anchor.on(subscription.anchored_on or subscription.start_on)


def whole_period(subscription: Subscription, day: date) -> Period:
    """Give the whole invoice period that contains a local day, whether or not the subscription covers all of it."""
    return _period(subscription, day, subscription.plan.invoice_interval)


def fee_period(subscription: Subscription, day: date) -> Period:
    """Give the whole period of the plan's fees that contains a local day: one or more invoice periods."""
    return _period(subscription, day, subscription.plan.interval)


def _period(subscription: Subscription, day: date, interval: Interval) -> Period:
    return period_of(day, anchor=anchor_of(subscription), interval=interval, zone=subscription.timezone)
