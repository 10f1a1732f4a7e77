"""The story of one subject: its activity, its outcomes, what confirmed or reversed them, and their disputes.

Staff and customer read the same story; what a step cost is not part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing.models import DisputedOutcome, DisputedState, InvoiceLine
from billing.outcomes import lines_of, told_outcomes
from customers.models import Customer
from metering.models import Event
from metering.settling import StoredOutcome, outcome_events

MOST_STEPS = 500


@dataclass(frozen=True, slots=True)
class StoryStep:
    """Something that happened: an event, or a step of a dispute when `event` is None."""

    at: datetime
    what: str
    event: Event | None = None
    outcome: StoredOutcome | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class StoryOutcome:
    """An outcome of the subject; `line` is the line of the issued invoice that billed it, None where none did."""

    outcome: StoredOutcome
    line: InvoiceLine | None
    disputed: DisputedOutcome | None


@dataclass(frozen=True, slots=True)
class Story:
    """Steps with the oldest first. `more` tells that there are more than MOST_STEPS events."""

    outcomes: list[StoryOutcome]
    steps: list[StoryStep]
    more: bool


def subject_story(customer: Customer, subject: str, *, now: datetime) -> Story | None:
    """Tell what happened for a subject of a customer; None when nothing did."""
    events = list(
        Event.objects.filter(customer=customer, subject=subject)
        .select_related("meter", "customer", "workload")
        .order_by("occurred_at", "id")[: MOST_STEPS + 1]
    )
    if not events:
        return None
    outcomes = told_outcomes(list(outcome_events(customer=customer, subject=subject)[:MOST_STEPS]), now=now)
    by_event = {each.event.pk: each for each in outcomes}
    signals = Event.objects.filter(customer=customer, signal__isnull=False, target_id__in=by_event)
    known = {event.pk for event in events}
    events += [event for event in signals.select_related("meter", "workload") if event.pk not in known]
    steps = [StoryStep(each.occurred_at, what(each), each, by_event.get(each.pk)) for each in events]
    rows = DisputedOutcome.objects.filter(event_id__in=by_event).select_related("dispute")
    disputed = {each.event_id: each for each in rows}
    for each in disputed.values():
        steps += _of_dispute(each)
    steps.sort(key=lambda step: (step.at, step.event is None))
    lines = lines_of(outcomes)
    return Story(
        [StoryOutcome(each, lines.get(each.event.pk), disputed.get(each.event.pk)) for each in outcomes],
        steps[: 2 * MOST_STEPS],
        len(known) > MOST_STEPS,
    )


def what(event: Event) -> str:
    """Say in words what an event is."""
    label = event.meter.label if event.meter else str(event.meter_code)
    if event.voided_batch_id is not None:
        return f"{label} (voided)"
    if event.signal is not None:
        return f"{event.signal.capitalize()} {label}"
    return label


def _of_dispute(disputed: DisputedOutcome) -> list[StoryStep]:
    number = disputed.dispute.number
    steps = []
    for step in disputed.dispute.steps.select_related("credit_note"):
        said = f"{number}: {step.get_kind_display().lower()}"
        if step.pk == disputed.decided_by_id:
            said = f"{number}: {DisputedState(disputed.state).label.lower()}"
            if disputed.state == DisputedState.ACCEPTED and step.credit_note is not None:
                said += f", credit note {step.credit_note.number}"
        steps.append(StoryStep(step.at, said, text=step.text))
    return steps
