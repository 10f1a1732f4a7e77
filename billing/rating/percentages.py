"""A percentage of transaction amounts, with rules for each transaction."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from billing.rating.errors import EventAmountsMissing, NegativeQuantity, NotANumber
from billing.rating.exact import ZERO
from billing.rating.prices import Events, Group
from billing.rating.working import Step, plain


@dataclass(frozen=True, slots=True)
class Percentage:
    """A share of each paying transaction plus a fixed fee for it.

    The free part ends with the first of `free_events` and `free_amount` to run out; None: no such allowance.
    The transaction in which the free amount runs out pays on the rest of its amount, and its fixed fee. The
    minimum and maximum hold for each paying transaction, fixed fee included.
    """

    percent: Decimal
    fixed_amount: Decimal
    free_events: int | None
    free_amount: Decimal | None
    per_event_minimum: Decimal | None
    per_event_maximum: Decimal | None

    @property
    def needs_events(self) -> bool:
        """Tell whether the sum of the amounts is not enough to rate."""
        return (
            bool(self.fixed_amount)
            or self.free_events is not None
            or self.per_event_minimum is not None
            or self.per_event_maximum is not None
        )

    def steps(self, quantity: Decimal, events: Events, group: Group) -> list[Step]:
        if not self.needs_events:
            free = ZERO if self.free_amount is None else min(self.free_amount, quantity)
            return self._steps(paying=quantity - free, free=free, group=group)
        if events is None:
            raise EventAmountsMissing(
                "This percentage has rules for each event, so the usage must carry the amount of each event."
            )
        paying, free = self._paying_amounts(events)
        return [
            *self._steps(paying=sum(paying, ZERO), free=free, group=group),
            *self._event_steps(paying, group=group),
        ]

    def _paying_amounts(self, events: tuple[Decimal, ...]) -> tuple[list[Decimal], Decimal]:
        """Give the amount each paying transaction pays on, and the sum of what was free."""
        events_left = self.free_events
        amount_left = self.free_amount
        free = ZERO
        paying = []
        for amount in events:
            if not amount.is_finite():
                raise NotANumber(f"The amount of an event must be a finite number, not {amount}.")
            if amount < 0:
                raise NegativeQuantity(
                    f"The amount of an event is {amount}. A percentage with rules for each event needs "
                    "amounts of 0 or more; bill a refund as a credit."
                )
            if not _is_left(events_left, amount_left):
                paying.append(amount)
                continue
            covered = amount if amount_left is None else min(amount, amount_left)
            free += covered
            if events_left is not None:
                events_left -= 1
            if amount_left is not None:
                amount_left -= covered
            if covered < amount:
                paying.append(amount - covered)
        return paying, free

    def _steps(self, *, paying: Decimal, free: Decimal, group: Group) -> list[Step]:
        steps = []
        if free:
            steps.append(Step("Free of charge", "free", free, None, ZERO, group=group))
        share = self.percent.scaleb(-2)
        label = f"{plain(self.percent)} %"
        steps.append(
            Step(label, "percentage", paying, None, paying * share, group=group, percent=self.percent)
        )
        return steps

    def _event_steps(self, paying: list[Decimal], *, group: Group) -> list[Step]:
        share = self.percent.scaleb(-2)
        raised = lowered = ZERO
        for amount in paying:
            fee = amount * share + self.fixed_amount
            if self.per_event_minimum is not None and fee < self.per_event_minimum:
                raised += self.per_event_minimum - fee
            elif self.per_event_maximum is not None and fee > self.per_event_maximum:
                lowered += self.per_event_maximum - fee
        steps = []
        if self.fixed_amount:
            count = Decimal(len(paying))
            fees = count * self.fixed_amount
            steps.append(Step("Fixed fee for each", "fixed", count, self.fixed_amount, fees, group=group))
        if raised:
            steps.append(
                Step("Raised to the minimum for each", "event_minimum", None, None, raised, group=group)
            )
        if lowered:
            steps.append(
                Step("Capped at the maximum for each", "event_maximum", None, None, lowered, group=group)
            )
        return steps


def _is_left(events_left: int | None, amount_left: Decimal | None) -> bool:
    """Tell whether the free part still runs: there is an allowance and none of them has run out."""
    if events_left is None and amount_left is None:
        return False
    return events_left != 0 and amount_left != 0
