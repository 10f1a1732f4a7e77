"""Outcomes as billing sees them: the period in which a subject counts once, and the invoice that billed each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from billing.models import (
    BILLED,
    DisputedOutcome,
    DisputedState,
    DisputeRemedy,
    InvoiceLine,
    LineKind,
    MeterCoverage,
    Subscription,
)
from billing.subscribing import whole_period
from metering.models import Event
from metering.outcomes import OutcomeState
from metering.periods import Period, local_day, month_period
from metering.settling import PAGE, OutcomePage, StoredOutcome, outcome_page, settle_events

# The states that billing says, and what they are in a dispute.
_SAID_OF = {OutcomeState.DISPUTED: DisputedState.OPEN, OutcomeState.CREDITED: DisputedState.ACCEPTED}
BILLING_STATES = frozenset(_SAID_OF)
# What an invoice carries, or carried until it was credited.
BILLED_STATES = frozenset({OutcomeState.SETTLED, *BILLING_STATES})


def outcomes_of(
    events: QuerySet[Event],
    *,
    now: datetime,
    state: OutcomeState | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = PAGE,
) -> OutcomePage:
    """Give a page of outcomes with their states, the latest first. See metering.settling."""
    if state in BILLING_STATES:
        disputed = DisputedOutcome.objects.filter(state=_SAID_OF[state])
        events, state = events.filter(pk__in=disputed.values("event_id")), None
    found = outcome_page(
        events, now=now, period_of=_LazyPeriods().period_of, state=state, after=after, limit=limit
    )
    return OutcomePage(_with_disputes(found.outcomes, asked=state), found.after)


def settle_outcomes(events: Sequence[Event], *, now: datetime) -> list[StoredOutcome]:
    """Give the state of stored outcomes by what the events say, in their order."""
    return settle_events(events, now=now, period_of=_LazyPeriods().period_of)


def told_outcomes(events: Sequence[Event], *, now: datetime) -> list[StoredOutcome]:
    """Give the state of stored outcomes as people are told it, disputes on top, in their order."""
    return _with_disputes(settle_outcomes(events, now=now))


def _with_disputes(
    outcomes: list[StoredOutcome], *, asked: OutcomeState | None = None
) -> list[StoredOutcome]:
    """Put open disputes and what was credited on top of the states of outcomes; one of them that was `asked` for goes.

    One query.
    """
    rows = DisputedOutcome.objects.filter(event_id__in=[each.event.pk for each in outcomes])
    disputed = {
        each.event_id: each for each in rows.select_related("dispute__invoice", "decided_by__credit_note")
    }
    if not disputed:
        return outcomes
    told = [_told(each, disputed.get(each.event.pk)) for each in outcomes]
    return [each for each in told if asked is None or each.state == asked]


def _told(outcome: StoredOutcome, disputed: DisputedOutcome | None) -> StoredOutcome:
    if disputed is None:
        return outcome
    dispute, step = disputed.dispute, disputed.decided_by
    opened = f"{dispute.number} of {dispute.opened_at:%Y-%m-%d}"
    if step is None:
        why = f": {dispute.reason}" if dispute.reason else "."
        return replace(outcome, state=OutcomeState.DISPUTED, reason=f"Disputed, {opened}{why}")
    if disputed.state == DisputedState.DECLINED:
        return replace(outcome, reason=f"{outcome.reason} Disputed and declined, {opened}: {step.text}")
    given = (
        f"given back by credit note {step.credit_note.number}"
        if step.credit_note is not None
        else "taken off by an adjustment"
        if step.remedy == DisputeRemedy.ADJUSTMENT
        else "with no effect on the invoice"
    )
    return replace(
        outcome, state=OutcomeState.CREDITED, reason=f"Disputed and accepted, {opened}: {given}. {step.text}"
    )


def invoices_of(outcomes: Sequence[StoredOutcome]) -> dict[UUID, str]:
    """Give the number of the issued invoice that billed each outcome, where one did. One query."""
    return {pk: str(line.invoice.number) for pk, line in lines_of(outcomes).items()}


def lines_of(outcomes: Sequence[StoredOutcome]) -> dict[UUID, InvoiceLine]:
    """Give the line of the issued invoice whose period each outcome settled in, where there is one. One query."""
    if not outcomes:
        return {}
    days = [each.settlement.settles_at.date() for each in outcomes]
    lines = InvoiceLine.objects.filter(
        kind=LineKind.USAGE,
        invoice__status__in=BILLED,
        invoice__customer__in={each.event.customer_id for each in outcomes},
        meter__in={each.event.meter_id for each in outcomes},
        period_end__gte=min(days),
        period_start__lte=max(days),
    ).select_related("invoice__subscription__plan", "meter")
    spans: dict[tuple[int, int | None], list[tuple[Period, InvoiceLine]]] = {}
    for line in lines:
        period = Period(line.period_start, line.period_end, line.invoice.zone)
        spans.setdefault((line.invoice.customer_id, line.meter_id), []).append((period, line))
    found = {}
    for each in outcomes:
        assert each.event.customer_id is not None  # what waits for its customer is no outcome yet
        for period, line in spans.get((each.event.customer_id, each.event.meter_id), []):
            if each.state in BILLED_STATES and period.start <= each.settlement.settles_at < period.end:
                found[each.event.pk] = line
    return found


class _LazyPeriods:
    """The billing periods of customers, read when a meter counts a subject once in each."""

    def __init__(self) -> None:
        self._subscriptions: dict[tuple[int, int], list[Subscription]] = {}

    def period_of(self, meter_id: int, customer_id: int, at: datetime) -> object:
        """Name the billing period; the calendar month in UTC where no plan prices the meter then."""
        key = (meter_id, customer_id)
        if key not in self._subscriptions:
            rows = MeterCoverage.objects.filter(meter=meter_id, customer=customer_id)
            self._subscriptions[key] = [
                row.subscription
                for row in rows.select_related("subscription__plan", "subscription__customer")
            ]
        for subscription in self._subscriptions[key]:
            day = local_day(at, subscription.timezone)
            if subscription.start_on <= day and (subscription.end_on is None or day < subscription.end_on):
                return subscription.pk, whole_period(subscription, day).start_on
        day = local_day(at, "UTC")
        return month_period(day.year, day.month, "UTC").start_on
