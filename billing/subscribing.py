"""Assigning a plan to a customer, ending the assignment, and writing down what was agreed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateRange
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
    Invoice,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    MeterCoverage,
    Plan,
    PlanStatus,
    RateKind,
    Subscription,
    SubscriptionChange,
)
from billing.overriding import carried_overrides, read_overrides
from billing.telling import tell_subscription
from customers.models import Customer
from metering.periods import CALENDAR_ANCHOR, Anchor, Interval, Period, period_of


@dataclass(frozen=True, slots=True)
class Author:
    """Who agreed something, when and why, as it is written down. `by` is a person's name or an API key's."""

    at: datetime
    by: str = ""
    reason: str = ""


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
                    during=_billed_days(subscription),
                )
                for meter in meters
            )
    except IntegrityError as refused:
        if "metercoverage_never_twice" not in str(refused):
            raise
        message = f"Another plan of {customer.name} already bills one of these meters on these days."
        raise SubscriptionOverlap(message, fields={"start_on": message}) from refused
    return subscription


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
    MeterCoverage.objects.filter(subscription=subscription).update(during=_billed_days(subscription))


def _billed_days(subscription: Subscription) -> DateRange:
    """Give the days whose usage is billed: usage of a free trial is nobody's."""
    first = subscription.start_on
    if subscription.trial_usage_free and subscription.trial_end_on is not None:
        first = subscription.trial_end_on
        if subscription.end_on is not None:
            first = min(first, subscription.end_on)
    return DateRange(first, subscription.end_on)


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


def write_down(
    subscription: Subscription, kind: str, *, effective_on: date, author: Author, **what: Any
) -> SubscriptionChange:
    """Write down what was agreed, inside the caller's transaction, and let a running close see it."""
    Subscription.objects.filter(pk=subscription.pk).update(revision=F("revision") + 1)
    change = SubscriptionChange.objects.create(
        subscription=subscription,
        kind=kind,
        effective_on=effective_on,
        made_at=author.at,
        made_by=author.by,
        reason=author.reason,
        **what,
    )
    tell_subscription(
        subscription, kind, effective_on=effective_on, following=what.get("following"), now=author.at
    )
    return change


def as_if(subscription: Subscription, plan: Plan) -> Subscription:
    """Give the same agreement on another plan, not to be saved as it is."""
    overrides, _ = carried_overrides(subscription, plan)
    return Subscription(
        customer=subscription.customer,
        plan=plan,
        start_on=subscription.start_on,
        end_on=subscription.end_on,
        anchor=subscription.anchor,
        anchored_on=subscription.anchored_on,
        timezone=subscription.timezone,
        quantity=subscription.quantity,
        trial_end_on=subscription.trial_end_on,
        trial_usage_free=subscription.trial_usage_free,
        overrides=overrides,
        moved_from=subscription.moved_from,
    )


def continued_on(
    subscription: Subscription, *, to: Plan, day: date, quantity: int
) -> tuple[Subscription, list[str]]:
    """Give the subscription that goes on with a plan from a day, not saved, and the names of own terms it loses.

    The anchor is remembered while the fees keep their billing period; another billing period counts from that day.
    """
    new = as_if(subscription, to)
    _, lost = carried_overrides(subscription, to)
    new.start_on = day
    new.quantity = quantity
    same_period = to.billing_period == subscription.plan.billing_period
    new.anchored_on = (subscription.anchored_on or subscription.start_on) if same_period else day
    if new.trial_end_on is not None and new.trial_end_on <= day:
        new.trial_end_on, new.trial_usage_free = None, False
    new.moved_from = subscription
    return new, lost


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
