"""What was agreed about a subscription since it began: seats, pauses, the trial, as facts with a date.

Whatever bills looks here, never at what is true now: a period computed again later has the same seats and pauses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from billing.models import (
    AgreementKind,
    Subscription,
    SubscriptionChange,
)
from customers.models import Customer
from metering.periods import Period


@dataclass(frozen=True, slots=True)
class Stretch:
    """Days `[start_on, end_on)` on which fixed fees are owed for the same number of seats."""

    start_on: date
    end_on: date
    seats: int

    @property
    def days(self) -> int:
        return (self.end_on - self.start_on).days


@dataclass(frozen=True, slots=True)
class Agreement:
    """The facts of one subscription. `seats` are (first day, number), ascending; a pause without an end is open."""

    seats: tuple[tuple[date, int], ...]
    pauses: tuple[tuple[date, date | None], ...] = ()
    trial_end_on: date | None = None
    trial_usage_free: bool = False

    @property
    def charged_from(self) -> date:
        """The first day fixed fees may be for: the start, or the day after the trial."""
        start_on = self.seats[0][0]
        return start_on if self.trial_end_on is None else max(start_on, self.trial_end_on)

    def seats_on(self, day: date) -> int:
        """Give the seats of a day; those of the first day for earlier ones."""
        return [quantity for from_on, quantity in self.seats if from_on <= max(day, self.seats[0][0])][-1]

    def is_paused(self, day: date) -> bool:
        return any(first <= day and (last is None or day < last) for first, last in self.pauses)

    def in_trial(self, day: date) -> bool:
        return self.trial_end_on is not None and day < self.trial_end_on

    def stretches(self, period: Period) -> list[Stretch]:
        """Cut the days of a period at every change, and leave out those of the trial and of pauses."""
        first = max(period.start_on, self.charged_from)
        if first >= period.end_on:
            return []
        edges = {first, period.end_on, *(day for day, _ in self.seats)}
        edges.update(day for pause in self.pauses for day in pause if day is not None)
        cuts = sorted(edge for edge in edges if first <= edge <= period.end_on)
        found: list[Stretch] = []
        for start_on, end_on in pairwise(cuts):
            if self.is_paused(start_on):
                continue
            seats = self.seats_on(start_on)
            if found and found[-1].end_on == start_on and found[-1].seats == seats:
                start_on = found.pop().start_on  # noqa: PLW2901 - the same seats go on
            found.append(Stretch(start_on, end_on, seats))
        return found

    def usage_days(self, period: Period) -> Period | None:
        """Give the days whose usage is charged; None where the trial takes them all."""
        if not self.trial_usage_free or self.trial_end_on is None:
            return period
        first = max(period.start_on, self.trial_end_on)
        return Period(first, period.end_on, period.zone) if first < period.end_on else None


def agreement_of(subscription: Subscription, changes: Iterable[SubscriptionChange] = ()) -> Agreement:
    """Read the facts of one subscription. `changes` are in the order they were made, those undone among them."""
    rows = list(changes)
    undone = {row.undoes_id for row in rows if row.undoes_id is not None}
    seats = {subscription.start_on: subscription.quantity}
    pauses: dict[date, date | None] = {}
    for row in rows:
        if row.pk in undone:
            continue
        if row.kind == AgreementKind.QUANTITY and row.quantity is not None:
            seats[row.effective_on] = row.quantity
        elif row.kind == AgreementKind.PAUSE:
            pauses[row.effective_on] = row.until_on
        elif row.kind == AgreementKind.RESUME:
            pauses = {
                first: row.effective_on if first < row.effective_on < (last or date.max) else last
                for first, last in pauses.items()
            }
    return Agreement(
        tuple(sorted(seats.items())),
        tuple(sorted(pauses.items())),
        subscription.trial_end_on,
        subscription.trial_usage_free,
    )


def changes_of(subscription_ids: Collection[int]) -> dict[int, list[SubscriptionChange]]:
    """Give the changes of some subscriptions in the order they were made, in one query."""
    found: dict[int, list[SubscriptionChange]] = {}
    for row in SubscriptionChange.objects.filter(subscription__in=subscription_ids).order_by("id"):
        found.setdefault(row.subscription_id, []).append(row)
    return found


def agreements_of(subscriptions: Iterable[Subscription]) -> Mapping[int, Agreement]:
    """Read the facts of stored subscriptions, by id."""
    rows = list(subscriptions)
    changes = changes_of({row.pk for row in rows})
    return {row.pk: agreement_of(row, changes.get(row.pk, ())) for row in rows}


def locked_agreement(subscription: Subscription) -> tuple[Subscription, Agreement]:
    """Lock the customer, then the subscription, and read its facts."""
    Customer.objects.select_for_update().get(pk=subscription.customer_id)
    current = (
        Subscription.objects.select_related("customer", "plan")
        .select_for_update(of=("self",))
        .get(pk=subscription.pk)
    )
    return current, agreement_of(current, changes_of([current.pk]).get(current.pk, ()))
