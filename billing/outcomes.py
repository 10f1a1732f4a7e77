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
from billing.subscription_periods import whole_period
from metering.models import Event, EventBatch
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
    if disputed.state == DisputedState.WITHDRAWN:
        return replace(outcome, reason=f"{outcome.reason} Disputed and withdrawn, {opened}.")
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
    """Give the line of an issued invoice that billed each outcome, where one did. Three queries at most.

    It is the usage line of the period in which the outcome settled, or the first adjustment of that line after the
    outcome was stored. One that counts since something else came late stands with the usage line.
    """
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
    ).select_related("invoice__subscription__plan", "invoice__part_of", "meter")
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
    return _with_adjustments(found, [each.event for each in outcomes if each.event.pk in found])


def _with_adjustments(found: dict[UUID, InvoiceLine], events: Sequence[Event]) -> dict[UUID, InvoiceLine]:
    """Put the adjustment that billed it in the place of the usage line where an outcome was stored after that."""
    positions = _positions(events)
    late = {
        pk: positions[pk]
        for pk, line in found.items()
        if positions[pk] is None or (positions[pk] or 0) > line.invoice.watermark
    }
    if not late:
        return found
    rows = (
        InvoiceLine.objects.filter(
            adjusts__in={found[pk].pk for pk in late}, adjusts_plan=False, invoice__status__in=BILLED
        )
        .select_related("invoice__subscription__plan", "invoice__part_of", "meter", "adjusts__invoice")
        .order_by("invoice__watermark")
    )
    adjusting: dict[int | None, list[InvoiceLine]] = {}
    for row in rows:
        adjusting.setdefault(row.adjusts_id, []).append(row)
    billed = {pk: line for pk, line in found.items() if pk not in late}
    for pk, position in late.items():
        for row in adjusting.get(found[pk].pk, []):
            if position is not None and position <= row.invoice.watermark:
                billed[pk] = row
                break
    return billed


def _positions(events: Sequence[Event]) -> dict[UUID, int | None]:
    """Give the ledger position from which each event could count; None where its batch has none yet."""
    batches = {event.pk: event.released_batch_id or event.batch_id for event in events}
    placed = dict(EventBatch.objects.filter(pk__in=set(batches.values())).values_list("pk", "position"))
    return {pk: placed[batch] for pk, batch in batches.items()}


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
