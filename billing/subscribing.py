"""Assigning a plan to a customer, and ending the assignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Q

from billing.errors import (
    CurrencyMismatch,
    InvalidDates,
    PlanNotActive,
    SubscriptionOverlap,
)
from billing.models import (
    AnchorRule,
    Invoice,
    InvoiceStatus,
    MeterCoverage,
    Plan,
    PlanStatus,
    RateKind,
    Subscription,
)
from billing.overriding import read_overrides
from customers.models import Customer
from metering.periods import CALENDAR_ANCHOR, Anchor, Interval, Period, period_of


def subscribe(
    customer: Customer,
    *,
    plan: Plan,
    start_on: date,
    end_on: date | None = None,
    anchor: str = AnchorRule.CALENDAR,
    quantity: int = 1,
    overrides: Sequence[Mapping[str, object]] = (),
) -> Subscription:
    """Assign a plan on the local days `[start_on, end_on)`. `quantity` is the number of seats.

    Raises PlanNotActive, CurrencyMismatch, InvalidDates, InvalidRate for wrong `overrides` (see `read_overrides`), or
    SubscriptionOverlap when another subscription of the customer bills one of the plan's meters, or the same plan, on
    one of these days.
    """
    replaced = read_overrides(plan, overrides)
    subscription = Subscription(
        customer=customer,
        plan=plan,
        start_on=start_on,
        end_on=end_on,
        anchor=anchor,
        timezone=customer.timezone,
        quantity=quantity,
        overrides=replaced,
    )
    return assign(subscription)


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
                    during=DateRange(start_on, end_on),
                )
                for meter in meters
            )
    except IntegrityError as refused:
        if "metercoverage_never_twice" not in str(refused):
            raise
        message = f"Another plan of {customer.name} already bills one of these meters on these days."
        raise SubscriptionOverlap(message, fields={"start_on": message}) from refused
    return subscription


def end_subscription(subscription: Subscription, *, end_on: date) -> Subscription:
    """End a subscription before a local day. Days already invoiced cannot be taken back here: InvalidDates."""
    with transaction.atomic():
        subscription = Subscription.objects.select_for_update().get(pk=subscription.pk)
        billed_until = (
            Invoice.objects.filter(subscription=subscription)
            .exclude(status=InvoiceStatus.VOID)
            .order_by("-period_end")
            .values_list("period_end", flat=True)
            .first()
        )
        if end_on <= subscription.start_on:
            message = f"It must lie after the start on {subscription.start_on}."
            raise InvalidDates(message, fields={"end_on": message})
        if billed_until is not None and end_on < billed_until:
            message = f"Days before {billed_until} are invoiced already; end it on or after that day."
            raise InvalidDates(message, fields={"end_on": message})
        subscription.end_on = end_on
        subscription.save(update_fields=["end_on"])
        MeterCoverage.objects.filter(subscription=subscription).update(
            during=DateRange(subscription.start_on, end_on)
        )
    return subscription


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


def _refuse_overlap(
    customer: Customer,
    *,
    plan: Plan,
    start_on: date,
    end_on: date | None,
    meters: Sequence[int | None],
) -> None:
    same_days = Q(end_on=None) | Q(end_on__gt=start_on)
    others = Subscription.objects.filter(same_days, customer=customer)
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
