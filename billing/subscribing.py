"""Assigning a plan to a customer, with the days on which it bills each meter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from billing.errors import (
    CurrencyMismatch,
    InvalidDates,
    PlanNotActive,
    SubscriptionOverlap,
)
from billing.models import (
    AnchorRule,
    MeterCoverage,
    Plan,
    PlanStatus,
    RateKind,
    Subscription,
)
from billing.overriding import read_overrides
from billing.subscription_periods import billed_days
from billing.telling import tell_subscription
from customers.models import Customer


def subscribe(
    customer: Customer,
    *,
    plan: Plan,
    start_on: date,
    end_on: date | None = None,
    anchor: str = AnchorRule.CALENDAR,
    quantity: int = 1,
    overrides: Sequence[Mapping[str, object]] = (),
    trial_days: int = 0,
    trial_usage_free: bool = False,
) -> Subscription:
    """Assign a plan on the local days `[start_on, end_on)`. `quantity` is the number of seats.

    The first `trial_days` owe no fixed fees, and with `trial_usage_free` no usage either. Anniversary periods count
    from the day the trial ends.

    Raises PlanNotActive, CurrencyMismatch, InvalidDates, InvalidRate for wrong `overrides` (see `read_overrides`), or
    SubscriptionOverlap when another subscription of the customer bills one of the plan's meters, or the same plan, on
    one of these days.
    """
    replaced = read_overrides(plan, overrides)
    trial_end_on = start_on + timedelta(days=trial_days) if trial_days else None
    if trial_usage_free and trial_end_on is None:
        message = "Say how many days the trial has."
        raise InvalidDates(message, fields={"trial_days": message})
    subscription = Subscription(
        customer=customer,
        plan=plan,
        start_on=start_on,
        end_on=end_on,
        anchor=anchor,
        timezone=customer.timezone,
        quantity=quantity,
        trial_end_on=trial_end_on,
        trial_usage_free=trial_usage_free,
        anchored_on=trial_end_on if anchor == AnchorRule.ANNIVERSARY else None,
        overrides=replaced,
    )
    with transaction.atomic():
        assign(subscription)
        tell_subscription(subscription, "assigned", effective_on=start_on, now=timezone.now())
    return subscription


def assign(subscription: Subscription) -> Subscription:
    """Write a new subscription with the days on which it bills each meter. Raises as `subscribe` does."""
    customer, plan = subscription.customer, subscription.plan
    start_on, end_on = subscription.start_on, subscription.end_on
    if plan.status != PlanStatus.ACTIVE:
        raise PlanNotActive(
            f"{plan} is {plan.get_status_display().lower()}. Only an active plan can be assigned.",
            fields={"plan": "Choose an active plan, or activate this one first."},
        )
    if plan.currency != customer.currency:
        message = f"{plan} is in {plan.currency}, but {customer.name} is billed in {customer.currency}."
        raise CurrencyMismatch(message, fields={"plan": message})
    if end_on is not None and end_on <= start_on:
        message = "The end must lie after the start."
        raise InvalidDates(message, fields={"end_on": message})
    meters = list(
        plan.rates.filter(kind=RateKind.USAGE)
        .order_by("meter_id")
        .values_list("meter_id", flat=True)
        .distinct()
    )
    try:
        with transaction.atomic():
            # One assignment at a time for a customer, so that the message can name the other subscription.
            Customer.objects.select_for_update().get(pk=customer.pk)
            _refuse_overlap(customer, plan=plan, start_on=start_on, end_on=end_on, meters=meters)
            subscription.save(force_insert=True)
            MeterCoverage.objects.bulk_create(
                MeterCoverage(
                    subscription=subscription,
                    customer=customer,
                    meter_id=meter,
                    during=billed_days(subscription),
                )
                for meter in meters
            )
    except IntegrityError as refused:
        if "metercoverage_never_twice" not in str(refused):
            raise
        message = f"Another plan of {customer.name} already bills one of these meters on these days."
        raise SubscriptionOverlap(message, fields={"start_on": message}) from refused
    return subscription


def _refuse_overlap(
    customer: Customer,
    *,
    plan: Plan,
    start_on: date,
    end_on: date | None,
    meters: Sequence[int | None],
) -> None:
    same_days = Q(end_on=None) | Q(end_on__gt=start_on)
    others = Subscription.objects.filter(same_days, customer=customer).exclude(end_on=F("start_on"))
    if end_on is not None:
        others = others.filter(start_on__lt=end_on)
    clash = (
        others.filter(Q(plan__code=plan.code) | Q(coverages__meter__in=meters))
        .select_related("plan")
        .order_by("start_on")
        .first()
    )
    if clash is not None:
        until = f"until {clash.end_on}" if clash.end_on else "with no end"
        message = (
            f"{customer.name} has {clash.plan} from {clash.start_on} {until}; it bills the same usage. "
            f"End that one first, or start this one on the day it ends."
        )
        raise SubscriptionOverlap(message, fields={"start_on": message})
