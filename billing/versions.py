"""Moving customers from one version of a plan to another, or to another plan, and agreeing own terms from a day on.

A move ends a subscription before a day and begins the next one on it, in one transaction; what is invoiced stays. The
new subscription keeps the anchor, the seats and, where the same rate is there, the customer's own terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

from billing.agreed_changes import Author, write_down
from billing.agreements import Agreement, agreements_of
from billing.continuing import as_if, continued_on
from billing.drafts import DuePeriod
from billing.ending import end_subscription
from billing.errors import BillingError, MoveRefused
from billing.invoicing import price_periods
from billing.models import AgreementKind, InvoiceStatus, Plan, Rate, Subscription
from billing.overriding import read_overrides, written_overrides
from billing.subscribing import assign
from billing.subscription_periods import fee_period, whole_period
from customers.models import Customer
from metering.periods import Period, clip, local_day


@dataclass(frozen=True, slots=True)
class MoveEffect:
    """What moving one customer would mean. `before` and `after` are the price of the last full period's real usage.

    Both are None where there is no full period yet or it cannot be priced. `problem` says why the customer cannot be
    moved; `lost` names the own terms that the other version has no rate for.
    """

    subscription: Subscription
    moves_on: date | None
    period: Period | None
    before: Decimal | None
    after: Decimal | None
    lost: tuple[str, ...]
    problem: str

    @property
    def difference(self) -> Decimal | None:
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True, slots=True)
class Moved:
    """The outcome for one customer: the subscription that follows, or why there is none."""

    subscription: Subscription
    following: Subscription | None
    problem: str = ""


def move_day(subscription: Subscription, *, on: date | None, now: datetime) -> date:
    """Give the day a move takes place: `on`, or the day the running period of the fees ends."""
    if on is not None:
        return on
    today = max(local_day(now, subscription.timezone), subscription.start_on)
    return fee_period(subscription, today).end_on


def preview_move(
    subscriptions: Sequence[Subscription], *, to: Plan, on: date | None = None, now: datetime
) -> list[MoveEffect]:
    """Show what moving would mean for each customer, one query per meter. Writes nothing.

    `on` None: at the next period of the fees. Customers and plans are loaded on the subscriptions.
    """
    old: list[DuePeriod | None] = [_last_full_period(each, now=now) for each in subscriptions]
    agreements = agreements_of(subscriptions)
    following = []
    for each in subscriptions:
        day = move_day(each, on=on, now=now)
        seats = agreements[each.pk].seats_on(day)
        following.append(continued_on(each, to=to, day=day, quantity=seats))
    compared = [
        (due, DuePeriod(as_if(due.subscription, to), due.period, agreed_by=due.subscription.pk))
        for due in old
        if due is not None
    ]
    prices = _prices([due for pair in compared for due in pair], now=now)
    effects = []
    place = 0
    for each, due, (new, lost) in zip(subscriptions, old, following, strict=True):
        before = after = None
        if due is not None:
            before, after = prices[place], prices[place + 1]
            place += 2
        problem = _move_problem(each, new)
        effects.append(
            MoveEffect(
                each,
                None if problem else new.start_on,
                None if due is None else due.period,
                before,
                after,
                tuple(lost),
                problem,
            )
        )
    return effects


def move(
    subscriptions: Sequence[Subscription],
    *,
    to: Plan,
    on: date | None = None,
    now: datetime,
    author: Author | None = None,
) -> list[Moved]:
    """Move customers to another version, each in a transaction of its own; one refusal never costs the others.

    Who is not named stays where they are (grandfathered). Running it again finds those moved refused, not moved twice.
    """
    done = []
    for each in subscriptions:
        try:
            done.append(Moved(each, change_plan(each, to=to, on=on, now=now, author=author or Author(now))))
        except BillingError as refused:
            done.append(Moved(each, None, refused.message))
    return done


def agree_terms(
    subscription: Subscription,
    *,
    rate: Rate,
    terms: Mapping[str, object] | None,
    on: date,
    author: Author,
) -> Subscription:
    """Agree with a customer from a day on what one rate costs; None: as in the plan again. Give what holds from then.

    On the first day of a subscription without an invoice the terms are replaced. On a later day it ends, and one of the
    same plan follows with the terms, so that what is invoiced stays. Running it again changes nothing. Raises
    InvalidRate, InvalidDates, MoveRefused, or what `assign` raises.
    """
    with transaction.atomic():
        Customer.objects.select_for_update().get(pk=subscription.customer_id)
        current = Subscription.objects.select_related("customer", "plan").get(pk=subscription.pk)
        position = list(current.plan.rates.values_list("pk", flat=True)).index(rate.pk)
        sent = [each for each in written_overrides(current) if each["rate"] != position]
        if terms is not None:
            sent.append({"rate": position, "terms": terms})
        overrides = read_overrides(current.plan, sent)
        if overrides == current.overrides:
            return current
        if on < current.start_on or (current.end_on is not None and on >= current.end_on):
            raise MoveRefused(f"Choose a day on which {current.customer} has {current.plan}.")
        if on > current.start_on:
            agreement = agreements_of([current])[current.pk]
            if problem := _followed_problem(current) or _planned_problem(agreement, on):
                raise MoveRefused(problem)
            new, _ = continued_on(current, to=current.plan, day=on, quantity=agreement.seats_on(on))
            new.overrides = overrides
            before = current.end_on
            end_subscription(current, end_on=on, followed=True)
            following = assign(new)
            write_down(
                current,
                AgreementKind.PLAN,
                effective_on=on,
                author=author,
                following=following,
                previous_end_on=before,
            )
            return following
        if current.invoices.exclude(status=InvoiceStatus.VOID).exists():
            raise MoveRefused("The first days are invoiced already. Choose the day after the last invoice.")
        current.overrides = overrides
        current.save(update_fields=["overrides"])
        return current


def change_plan(
    subscription: Subscription, *, to: Plan, on: date | None, now: datetime, author: Author
) -> Subscription:
    """Go on with another plan from a day, the next period of the fees when it is None. Raises MoveRefused."""
    with transaction.atomic():
        Customer.objects.select_for_update().get(pk=subscription.customer_id)
        current = Subscription.objects.select_related("customer", "plan").get(pk=subscription.pk)
        day = move_day(current, on=on, now=now)
        agreement = agreements_of([current])[current.pk]
        new, _ = continued_on(current, to=to, day=day, quantity=agreement.seats_on(day))
        problem = _move_problem(current, new) or _followed_problem(current)
        if problem := problem or _planned_problem(agreement, day):
            raise MoveRefused(problem)
        before = current.end_on
        end_subscription(current, end_on=day, followed=True)
        following = assign(new)
        write_down(
            current,
            AgreementKind.PLAN,
            effective_on=day,
            author=author,
            following=following,
            previous_end_on=before,
        )
        return following


def _followed_problem(subscription: Subscription) -> str:
    following = Subscription.objects.select_related("plan").filter(moved_from=subscription).first()
    if following is None:
        return ""
    return f"{following.plan} goes on from {following.start_on} already. Take that back first."


def _planned_problem(agreement: Agreement, day: date) -> str:
    """What is planned beyond the day would be lost, so it is taken back first."""
    if any(last is None or last > day for _, last in agreement.pauses):
        return "It is paused on or after that day. Resume it first, or choose a later day."
    later = [from_on for from_on, _ in agreement.seats if from_on > day]
    return f"Another number of seats is planned for {later[0]}. Take that back first." if later else ""


def _move_problem(subscription: Subscription, new: Subscription) -> str:
    plan = new.plan
    if plan.pk == subscription.plan_id:
        return f"{subscription.customer} has this version already."
    if plan.currency != subscription.plan.currency:
        return f"{plan} is in {plan.currency}, not in {subscription.plan.currency}."
    if new.start_on <= subscription.start_on:
        return f"The plan only begins on {subscription.start_on}; choose a later day."
    if subscription.end_on is not None and new.start_on >= subscription.end_on:
        return f"The plan ends on {subscription.end_on} already."
    return ""


def _last_full_period(subscription: Subscription, *, now: datetime) -> DuePeriod | None:
    """Give the last whole invoice period that is over and covered; None where there is none yet."""
    running = whole_period(subscription, local_day(now, subscription.timezone))
    day = date.fromordinal(running.start_on.toordinal() - 1)
    if day < subscription.start_on:
        return None
    last = whole_period(subscription, day)
    whole = clip(last, start_on=subscription.start_on, end_on=subscription.end_on) == last
    return DuePeriod(subscription, last) if whole else None


def _prices(due: Sequence[DuePeriod], *, now: datetime) -> list[Decimal | None]:
    drawn = price_periods(due, now=now, watermark=None)
    totals = {id(draft.due): draft.subtotal for draft in drawn.drafts}
    return [totals.get(id(each)) for each in due]
