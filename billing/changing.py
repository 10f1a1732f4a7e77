"""Changing what a customer has: plan, seats, pause, cancellation, reactivation.

Each change is written down with its day, person and reason; billing.outlooks shows what it does to the coming invoices
first, billing.undoing takes it back. A change begins on a day that no invoice has charged the usage of; "now" is today
in the customer's time zone, and a cancelled plan is billed to the end of today.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal

from django.db import transaction

from billing.agreed_changes import Author, write_down
from billing.agreements import locked_agreement
from billing.continuing import continued_on
from billing.ending import end_subscription, invoiced_until
from billing.errors import ChangeRefused, InvalidDates
from billing.models import (
    AgreementKind,
    Plan,
    Subscription,
    SubscriptionChange,
)
from billing.subscribing import assign
from billing.subscription_periods import fee_period
from billing.versions import change_plan as change_plan_on
from metering.periods import local_day

When = Literal["now", "period_end"] | date


def day_of(when: When, subscription: Subscription, *, now: datetime) -> date:
    """Give the local day that is meant: today, the day after the running period of the fees, or the day itself."""
    if isinstance(when, date):
        return when
    today = max(local_day(now, subscription.timezone), subscription.start_on)
    return today if when == "now" else fee_period(subscription, today).end_on


def change_plan(subscription: Subscription, *, to: Plan, when: When, author: Author) -> Subscription:
    """Go on with another plan, or another version of the same. Gives the subscription that follows.

    Seats, anchor and, where the same rates are there, own terms are kept. Raises MoveRefused and what `subscribe` does.
    """
    return change_plan_on(
        subscription, to=to, on=day_of(when, subscription, now=author.at), now=author.at, author=author
    )


def change_quantity(
    subscription: Subscription, quantity: int, *, when: When, author: Author
) -> SubscriptionChange:
    """Have another number of seats from a day on. Raises ChangeRefused when it changes nothing."""
    with transaction.atomic():
        current, agreement = locked_agreement(subscription)
        day = day_of(when, current, now=author.at)
        _refuse_day(current, day)
        if agreement.seats_on(day) == quantity:
            message = f"There are {quantity} seats on {day} already."
            raise ChangeRefused(message, fields={"quantity": message})
        return write_down(current, AgreementKind.QUANTITY, effective_on=day, author=author, quantity=quantity)


def pause(
    subscription: Subscription, *, when: When, until: date | None = None, author: Author
) -> SubscriptionChange:
    """Owe no fixed fees from a day until another, or until it is resumed. Usage stays measured and charged."""
    with transaction.atomic():
        current, agreement = locked_agreement(subscription)
        day = day_of(when, current, now=author.at)
        _refuse_day(current, day)
        if until is not None and until <= day:
            message = f"The pause must end after it begins on {day}."
            raise InvalidDates(message, fields={"until": message})
        for first, last in agreement.pauses:
            if (until is None or first < until) and (last is None or day < last):
                ends = f"until {last}" if last else "with no end"
                message = f"It is paused from {first} {ends} already."
                raise ChangeRefused(message, fields={"when": message})
        return write_down(current, AgreementKind.PAUSE, effective_on=day, author=author, until_on=until)


def resume(subscription: Subscription, *, when: When, author: Author) -> SubscriptionChange:
    """Owe fixed fees again from a day on. Raises ChangeRefused where that day is not paused."""
    with transaction.atomic():
        current, agreement = locked_agreement(subscription)
        day = day_of(when, current, now=author.at)
        _refuse_day(current, day)
        if not any(first < day and (last is None or day < last) for first, last in agreement.pauses):
            message = f"It is not paused before {day}, so there is nothing to resume."
            raise ChangeRefused(message, fields={"when": message})
        return write_down(current, AgreementKind.RESUME, effective_on=day, author=author)


def cancel(subscription: Subscription, *, when: When, author: Author) -> SubscriptionChange:
    """End a subscription: "now" after today, else before the day. What was paid for later days is given back."""
    with transaction.atomic():
        current, _ = locked_agreement(subscription)
        day = day_of(when, current, now=author.at)
        if when == "now":
            day += timedelta(days=1)
        _refuse_follower(current)
        if current.end_on is not None and current.end_on <= day:
            message = f"It ends before {current.end_on} already."
            raise ChangeRefused(message, fields={"when": message})
        before = current.end_on
        current = end_subscription(current, end_on=day)
        return write_down(
            current, AgreementKind.CANCEL, effective_on=day, author=author, previous_end_on=before
        )


def reactivate(
    subscription: Subscription, *, when: When = "now", to: Plan | None = None, author: Author
) -> Subscription:
    """Begin again after an end, on the active version of the plan or another plan. Gives the new subscription.

    Within the period in which it ended, the anchor is remembered and one-time fees are not charged again; later it is a
    new subscription with an anchor of its own. Raises ChangeRefused and what `subscribe` raises.
    """
    with transaction.atomic():
        current, agreement = locked_agreement(subscription)
        day = day_of(when, current, now=author.at)
        if current.end_on is None or day < current.end_on:
            message = "It has not ended on that day. Take the cancellation back instead."
            raise ChangeRefused(message, fields={"when": message})
        _refuse_follower(current)
        plan = to or Plan.objects.filter(code=current.plan.code, status="active").first() or current.plan
        new, _ = continued_on(current, to=plan, day=day, quantity=agreement.seats_on(current.end_on))
        new.end_on = None
        if day >= fee_period(current, current.end_on - timedelta(days=1)).end_on:
            new.moved_from = None
            new.anchored_on = None
        new = assign(new)
        write_down(current, AgreementKind.REACTIVATE, effective_on=day, author=author, following=new)
        return new


def _refuse_day(subscription: Subscription, day: date) -> None:
    billed = invoiced_until(subscription)
    if day < subscription.start_on:
        message = f"The plan begins on {subscription.start_on}."
    elif subscription.end_on is not None and day >= subscription.end_on:
        message = f"The plan ends before {subscription.end_on}."
    elif billed is not None and day < billed:
        message = f"Days before {billed} are invoiced already; choose that day or a later one."
    else:
        return
    raise InvalidDates(message, fields={"when": message})


def _refuse_follower(subscription: Subscription) -> None:
    following = Subscription.objects.select_related("plan").filter(moved_from=subscription).first()
    if following is not None:
        message = (
            f"{following.plan} goes on from {following.start_on}. Take that back first, or end that one."
        )
        raise ChangeRefused(message, fields={"when": message})
