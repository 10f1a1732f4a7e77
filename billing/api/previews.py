"""`POST invoices/preview/`: which subscription and which billing period is meant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from billing.drafts import InvoiceDraft
from billing.errors import NoSubscription
from billing.models import Subscription
from billing.months import Month
from billing.previewing import preview_invoice
from billing.subscription_periods import anchor_of, whole_period
from customers.api.strictness import StrictSerializer
from customers.models import Customer
from metering.api.spans import FIRST_YEAR, LAST_YEAR, read_day
from metering.periods import Period, clip, local_day, periods_between

PERIOD_HELP = "A month such as 2026-10, or a day such as 2026-10-05 for the period that contains it."


def read_period(text: str) -> Month | date:
    """Read a month or a day. Raises ValidationError naming `period` for anything else."""
    try:
        found: Month | date | None = Month.parse(text) if len(text) == 7 else read_day(text)
    except ValueError:
        found = None
    if found is None or not FIRST_YEAR < found.year < LAST_YEAR:
        raise ValidationError({"period": ["Expected a month such as 2026-10 or a day such as 2026-10-05."]})
    return found


class PreviewSerializer(StrictSerializer):
    customer = serializers.SlugRelatedField[Customer](slug_field="code", queryset=Customer.objects.all())
    period = serializers.CharField(
        required=False, allow_null=True, help_text=f"{PERIOD_HELP} The running period when left out."
    )
    plan = serializers.CharField(required=False, help_text="The plan's code, when the customer has several.")
    subscription = serializers.IntegerField(
        required=False, min_value=1, max_value=2**63 - 1, help_text="Or the subscription's id."
    )


def preview(asked: dict[str, Any], *, now: datetime) -> InvoiceDraft:
    """Compute the invoice asked for. Raises NoSubscription or, when several fit, ValidationError."""
    wanted = read_period(asked["period"]) if asked.get("period") else None
    found = [
        (subscription, period)
        for subscription in _subscriptions(asked)
        if (period := _period(subscription, wanted, now=now)) is not None
    ]
    if not found:
        when = f"in {wanted}" if wanted else "now"
        raise NoSubscription(
            f"{asked['customer']} has no such subscription {when}.",
            fields={"customer": "Assign a plan first, or choose another period, plan or subscription."},
        )
    if len(found) > 1:
        raise ValidationError({"subscription": [_choose(found)]})
    subscription, period = found[0]
    return preview_invoice(subscription, period=period, now=now)


def _subscriptions(asked: dict[str, Any]) -> QuerySet[Subscription]:
    rows = Subscription.objects.filter(customer=asked["customer"]).select_related("customer", "plan")
    if "plan" in asked:
        rows = rows.filter(plan__code=asked["plan"])
    if "subscription" in asked:
        rows = rows.filter(pk=asked["subscription"])
    return rows.order_by("start_on", "id")


def _period(subscription: Subscription, wanted: Month | date | None, *, now: datetime) -> Period | None:
    """Give the whole billing period that is meant, None where the subscription covers no day of it."""
    if isinstance(wanted, Month):
        whole = _period_of_month(subscription, wanted)
    else:
        whole = whole_period(subscription, wanted or local_day(now, subscription.timezone))
    covered = clip(whole, start_on=subscription.start_on, end_on=subscription.end_on)
    return None if covered is None else whole


def _period_of_month(subscription: Subscription, month: Month) -> Period:
    """Give the period that begins in a month, or the longer one around it."""
    periods = periods_between(
        month.first,
        month.following,
        anchor=anchor_of(subscription),
        interval=subscription.plan.invoice_interval,
        zone=subscription.timezone,
    )
    whole = list(periods)
    beginning = [period for period in whole if period.start_on >= month.first]
    if len(beginning) > 1:
        billed = subscription.plan.get_billing_period_display().lower()
        raise ValidationError(
            {
                "period": [
                    f"This plan is billed {billed}. Name a day, such as {month.first}, to choose one period."
                ]
            }
        )
    return beginning[0] if beginning else whole[0]


def _choose(found: Sequence[tuple[Subscription, Period]]) -> str:
    choices = ", ".join(f"{subscription.pk} ({subscription.plan.code})" for subscription, _ in found)
    return f"This customer has several subscriptions then; choose one: {choices}."
