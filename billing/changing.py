"""Changing what a customer has: plan, seats, pause, cancellation, reactivation, and taking back what was planned.

Each change is written down with its day, person and reason, and shows what it does to the coming invoices first:
`show_effect` makes the change, draws up the invoices with the functions that issue them, and takes it all back. A
change begins on a day that no invoice has charged the usage of; "now" is today in the customer's time zone, and a
cancelled plan is billed to the end of today.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from django.db import transaction

from billing.agreements import Agreement, agreement_of, changes_of
from billing.drafts import DuePeriod, InvoiceDraft
from billing.due_periods import periods_ending_in, starts_due
from billing.errors import ChangeRefused, InvalidDates
from billing.models import (
    AgreementKind,
    Invoice,
    InvoiceKind,
    InvoiceStatus,
    Plan,
    Subscription,
    SubscriptionChange,
)
from billing.previewing import preview_due
from billing.subscribing import (
    Author,
    assign,
    continued_on,
    end_subscription,
    fee_period,
    invoiced_until,
    is_settled_short,
    reopen,
    whole_period,
    write_down,
)
from billing.versions import change_plan as change_plan_on
from customers.models import Customer
from metering.periods import local_day

When = Literal["now", "period_end"] | date


@dataclass(frozen=True, slots=True)
class Outlook:
    """The coming invoices of a customer, as they would be with what is known now, in the order they are due."""

    drafts: tuple[InvoiceDraft, ...]

    @property
    def total(self) -> Decimal:
        return sum((draft.total for draft in self.drafts), Decimal(0))


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does: the day it begins and the coming invoices before and after it."""

    effective_on: date
    currency: str
    before: Outlook
    after: Outlook

    @property
    def difference(self) -> Decimal:
        return self.after.total - self.before.total


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
        current, agreement = _locked(subscription)
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
        current, agreement = _locked(subscription)
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
        current, agreement = _locked(subscription)
        day = day_of(when, current, now=author.at)
        _refuse_day(current, day)
        if not any(first < day and (last is None or day < last) for first, last in agreement.pauses):
            message = f"It is not paused before {day}, so there is nothing to resume."
            raise ChangeRefused(message, fields={"when": message})
        return write_down(current, AgreementKind.RESUME, effective_on=day, author=author)


def cancel(subscription: Subscription, *, when: When, author: Author) -> SubscriptionChange:
    """End a subscription: "now" after today, else before the day. What was paid for later days is given back."""
    with transaction.atomic():
        current, _ = _locked(subscription)
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
        current, agreement = _locked(subscription)
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


def undo(change: SubscriptionChange, *, author: Author) -> SubscriptionChange:
    """Take a change back, as long as no invoice has charged its days. Raises ChangeRefused, SubscriptionOverlap."""
    with transaction.atomic():
        current, _ = _locked(change.subscription)
        if problem := undo_problem(change):
            raise ChangeRefused(problem)
        if change.kind in (AgreementKind.PLAN, AgreementKind.REACTIVATE):
            assert change.following is not None  # it is written down with the subscription that follows
            following = Subscription.objects.select_for_update().get(pk=change.following.pk)
            following.moved_from = None
            following.save(update_fields=["moved_from"])
            reopen(following, end_on=following.start_on)
        if change.kind in (AgreementKind.PLAN, AgreementKind.CANCEL):
            reopen(current, end_on=change.previous_end_on)
        return write_down(
            current, AgreementKind.UNDO, effective_on=change.effective_on, author=author, undoes=change
        )


def undo_problem(change: SubscriptionChange) -> str:
    """Say why a change cannot be taken back; empty when it can."""
    subscription = change.subscription
    if change.kind == AgreementKind.UNDO:
        return "Taking back cannot be taken back. Make the change again."
    if SubscriptionChange.objects.filter(undoes=change).exists():
        return "It was taken back already."
    if change.kind in (AgreementKind.PLAN, AgreementKind.REACTIVATE):
        following = change.following
        assert following is not None
        if Invoice.objects.filter(subscription=following).exclude(status=InvoiceStatus.VOID).exists():
            return f"{following.plan} has an invoice already. Change the plan again instead."
        if (
            SubscriptionChange.objects.filter(subscription=following, undone_by=None)
            .exclude(kind=AgreementKind.UNDO)
            .exists()
        ):
            return f"{following.plan} was changed since. Take those changes back first."
    if (
        change.kind in (AgreementKind.PLAN, AgreementKind.CANCEL)
        and subscription.end_on != change.effective_on
    ):
        return "Its end was changed since."
    if change.kind == AgreementKind.CANCEL and _is_followed(subscription):
        return "It was reactivated since."
    billed = invoiced_until(subscription)
    if change.kind != AgreementKind.REACTIVATE and billed is not None and change.effective_on < billed:
        return f"Days before {billed} are invoiced already."
    if change.kind in (AgreementKind.PLAN, AgreementKind.CANCEL) and is_settled_short(subscription):
        return f"The last invoice, up to {billed}, is drawn up already. Reactivate it instead."
    if (
        change.kind == AgreementKind.PAUSE
        and SubscriptionChange.objects.filter(
            subscription=subscription, kind=AgreementKind.RESUME, pk__gt=change.pk, undone_by=None
        ).exists()
    ):
        return "It was resumed since. Take that back first."
    return ""


def outlook(customer: Customer, *, now: datetime, until: date | None = None) -> Outlook:
    """Draw up the coming invoices: those at a start, of the last period, and of each with a day of today to `until`.

    Usage is what is committed now. Periods with an issued invoice are left out. Writes nothing; raises RatingFailed.
    """
    rows = list(
        Subscription.objects.filter(customer=customer)
        .select_related("customer", "plan")
        .order_by("start_on", "id")
    )
    rows = [row for row in rows if row.end_on is None or row.end_on > row.start_on]
    today = local_day(now, customer.timezone)
    horizon = max(today, until or today)
    due: list[DuePeriod] = []
    for row in rows:
        if row.start_on > horizon:
            continue
        first = whole_period(row, max(today, row.start_on)).start_on
        first = whole_period(row, max(first - timedelta(days=1), row.start_on)).start_on
        last = whole_period(row, max(horizon, row.start_on)).end_on
        due += periods_ending_in(row, first=first, last=last)
    ends = [each.period.end_on for each in due]
    due += starts_due(rows, now=now, until=max([horizon, *ends]))
    issued = set(
        Invoice.objects.filter(customer=customer)
        .exclude(status__in=(InvoiceStatus.DRAFT, InvoiceStatus.VOID))
        .values_list("subscription_id", "period_start", "kind")
    )
    drafts = preview_due([each for each in due if each.key not in issued], now=now)

    def place(draft: InvoiceDraft) -> tuple[date, bool]:
        return due_on(draft), draft.due.kind != InvoiceKind.AT_START

    return Outlook(tuple(sorted(drafts, key=place)))


def due_on(draft: InvoiceDraft) -> date:
    """Give the first day on which an invoice can be drawn up."""
    period = draft.due.period
    return period.start_on if draft.due.kind == InvoiceKind.AT_START else period.end_on


def show_effect(customer: Customer, change: Callable[[], date], *, now: datetime) -> Effect:
    """Make a change, draw up the coming invoices, and take everything back. `change` gives the day it begins.

    Raises what the change raises.
    """
    with transaction.atomic():
        sid = transaction.savepoint()
        day = change()
        after = outlook(customer, now=now, until=day)
        transaction.savepoint_rollback(sid)
    before = outlook(customer, now=now, until=day)
    return Effect(day, customer.currency, before, after)


def _locked(subscription: Subscription) -> tuple[Subscription, Agreement]:
    """Lock the customer, then the subscription, and read its facts."""
    Customer.objects.select_for_update().get(pk=subscription.customer_id)
    current = (
        Subscription.objects.select_related("customer", "plan")
        .select_for_update(of=("self",))
        .get(pk=subscription.pk)
    )
    return current, agreement_of(current, changes_of([current.pk]).get(current.pk, ()))


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


def _is_followed(subscription: Subscription) -> bool:
    return Subscription.objects.filter(moved_from=subscription).exists()
