"""What a customer's plan is today beyond its prices, and what is planned for it, in words for the customer."""

from __future__ import annotations

from datetime import date

from billing.agreements import Agreement, agreement_of
from billing.formatting import day
from billing.models import AgreementKind, Subscription, SubscriptionChange


def plan_notes(subscription: Subscription, *, today: date) -> list[str]:
    """Say seats, trial, pause and planned changes. The changes and the plans that follow are loaded."""
    changes = list(subscription.changes.all())
    agreement = agreement_of(subscription, changes)
    notes = []
    seats = agreement.seats_on(today)
    if seats != 1 or len(agreement.seats) > 1:
        notes.append(f"{seats} seats.")
    if agreement.trial_end_on is not None and today < agreement.trial_end_on:
        free = "; usage is free until then" if agreement.trial_usage_free else ""
        notes.append(
            f"Your trial ends before {day(agreement.trial_end_on)}: fixed fees begin on that day{free}."
        )
    if agreement.is_paused(today):
        notes.append(f"Paused: no fixed fees{_until(agreement, today)}.")
    undone = {change.undoes_id for change in changes}
    for change in sorted(changes, key=lambda each: (each.effective_on, each.pk)):
        if change.effective_on > today and change.pk not in undone:
            notes += _planned(change)
    return notes


def _until(agreement: Agreement, today: date) -> str:
    ends = [last for first, last in agreement.pauses if first <= today and last is not None and today < last]
    return f" until {day(ends[0])}" if ends else ""


def _planned(change: SubscriptionChange) -> list[str]:
    on = day(change.effective_on)
    match change.kind:
        case AgreementKind.PLAN:
            assert change.following is not None  # it is written down with the subscription that follows
            return [f"From {on} on: {change.following.plan.name}."]
        case AgreementKind.QUANTITY:
            return [f"From {on} on: {change.quantity} seats."]
        case AgreementKind.PAUSE:
            until = f" until {day(change.until_on)}" if change.until_on else ""
            return [f"From {on} on it is paused{until}: no fixed fees."]
        case AgreementKind.RESUME:
            return [f"From {on} on it goes on after the pause."]
        case AgreementKind.CANCEL:
            return [f"It ends before {on}."]
    return []
