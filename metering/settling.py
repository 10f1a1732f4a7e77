"""Settling stored outcomes: the state of each, for people who ask about one, a subject or a page of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db.models import Min, Q, QuerySet

from customers.models import Customer
from metering.meter_types import OncePerSubject
from metering.models import Event, EventCorrection, Meter
from metering.outcomes import OutcomeFact, OutcomeState, Settlement, settle

# What names the billing period of a meter, customer and instant.
BillingPeriodOf = Callable[[int, int, datetime], object]
PAGE = 50
# Outcomes looked at for one page when only one state is asked for: the answer stays quick, and says where to go on.
LOOK_AT = 2_000


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """An outcome as it was stored, and what became of it at `now`. Meter, customer and workload are loaded."""

    event: Event
    settlement: Settlement
    state: OutcomeState
    reason: str


@dataclass(frozen=True, slots=True)
class OutcomePage:
    """Some outcomes, the latest first, and the place to go on from; None at the end."""

    outcomes: list[StoredOutcome]
    after: tuple[datetime, UUID] | None


def outcome_events(
    *, customer: Customer | None = None, meter: Meter | None = None, subject: str | None = None
) -> QuerySet[Event]:
    """Give the outcomes that count or may count: no signals, nothing voided, nothing unmatched."""
    events = Event.objects.filter(signal=None, voided_batch_id=None, customer__isnull=False)
    outcome_meters = Q(type="count") & (
        ~Q(once_per_subject="never") | Q(verification_hours__isnull=False) | Q(evidence_meter__isnull=False)
    )
    meters = Meter.objects.filter(outcome_meters)
    events = events.filter(meter__in=list(meters if meter is None else meters.filter(pk=meter.pk)))
    if customer is not None:
        events = events.filter(customer=customer)
    if subject is not None:
        events = events.filter(subject=subject)
    return events.select_related("meter", "customer", "workload").order_by("-occurred_at", "-id")


def outcome_page(
    events: QuerySet[Event],
    *,
    now: datetime,
    period_of: BillingPeriodOf,
    state: OutcomeState | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = PAGE,
) -> OutcomePage:
    """Give a page of `outcome_events` with their states. A state looks at LOOK_AT outcomes at most."""
    found: list[StoredOutcome] = []
    looked_at = 0
    while looked_at < LOOK_AT:
        rows = events
        if after is not None:
            rows = rows.filter(Q(occurred_at__lt=after[0]) | Q(occurred_at=after[0], id__lt=after[1]))
        step = list(rows[: limit + 1])
        for outcome in settle_events(step[:limit], now=now, period_of=period_of):
            if len(found) == limit:
                return OutcomePage(found, after)
            after = outcome.event.occurred_at, outcome.event.pk
            if state is None or outcome.state == state:
                found.append(outcome)
        if len(step) <= limit:
            return OutcomePage(found, None)
        looked_at += limit
        if len(found) == limit:
            break
    return OutcomePage(found, after)


def settle_events(
    events: Sequence[Event], *, now: datetime, period_of: BillingPeriodOf
) -> list[StoredOutcome]:
    """Give the state of stored outcomes, in their order. A few queries for each meter among them."""
    settled: dict[UUID, Settlement] = {}
    for meter in {event.meter for event in events if event.meter is not None}:
        settled |= _settle_meter(meter, [event for event in events if event.meter == meter], period_of)
    return [
        StoredOutcome(event, each := settled[event.pk], each.state(now), each.reason(now)) for event in events
    ]


def _settle_meter(
    meter: Meter, events: Sequence[Event], period_of: BillingPeriodOf
) -> dict[UUID, Settlement]:
    customers = {event.customer_id for event in events}
    subjects = {event.subject for event in events if event.subject is not None}
    stored = Event.objects.filter(meter=meter, customer__in=customers, voided_batch_id=None)
    outcomes = list(
        stored.filter(Q(subject__in=subjects) | Q(id__in=[event.pk for event in events]), signal=None)
    )
    replaced = _replaced_by({each.pk for each in outcomes})
    signals = stored.filter(
        Q(target_id=None, subject__in=subjects)
        | Q(target_id__in=[each.pk for each in outcomes] + [*replaced]),
        signal__isnull=False,
    )
    worked_at = None
    if meter.evidence_meter_id is not None:
        activity = Event.objects.filter(
            meter=meter.evidence_meter_id, customer__in=customers, subject__in=subjects, voided_batch_id=None
        )
        worked_at = {
            (customer, str(subject)): first
            for customer, subject, first in activity.order_by()
            .values("customer_id", "subject")
            .annotate(first=Min("occurred_at"))
            .values_list("customer_id", "subject", "first")
        }
    settled = settle(
        [_fact(each) for each in [*outcomes, *signals]],
        once=OncePerSubject(meter.once_per_subject),
        window=timedelta(microseconds=int((meter.verification_hours or 0) * 3_600_000_000)),
        replaced=replaced,
        worked_at=worked_at,
        period_of=partial(period_of, meter.pk) if meter.once_per_subject == OncePerSubject.PERIOD else None,
    )
    return {each.fact.id: each for each in settled}


def _replaced_by(ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Give the amended events that led to these, each with the event in its place."""
    found: dict[UUID, UUID] = {}
    looked_for = set(ids)
    while looked_for:
        rows = EventCorrection.objects.filter(replacement_id__in=looked_for)
        step = {old: new for old, new in rows.values_list("event_id", "replacement_id") if new is not None}
        looked_for = step.keys() - found.keys()
        found |= step
    return found


def _fact(event: Event) -> OutcomeFact:
    assert event.customer_id is not None  # what waits for its customer is left out
    return OutcomeFact(
        event.pk,
        event.customer_id,
        event.occurred_at,
        event.subject,
        event.value,
        event.signal,
        event.target_id,
    )
