"""How an agreement goes on with another plan."""

from __future__ import annotations

from datetime import date

from billing.models import Plan, Subscription
from billing.overriding import carried_overrides


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
        moved_from_id=subscription.moved_from_id,
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
