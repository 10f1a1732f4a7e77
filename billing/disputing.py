"""Disputes of outcomes: a customer opens one or takes it back, staff decide it, and both read what happened.

Nothing changes silently. Accepted outcomes are reversed by events of their own, so measuring, verifying and reconciling
stay true by themselves. Their money is given back once: by a credit note now, which settles the difference, or as the
adjustment that every late change becomes. Each function is one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import IntegrityError, transaction

from billing.adjusting import compute_adjustments
from billing.collecting import lock
from billing.deciding import settled_once
from billing.dispute_credits import credit
from billing.dispute_effects import (
    LineEffect,
    drafts_about,
    effects,
    preview_effect,
    priced_lines,
    take_back,
    total,
)
from billing.dispute_notices import tell_decided, tell_opened, tell_reopened, tell_withdrawn
from billing.dispute_rules import asks_reason, chosen_outcomes, disputed_before, require_disputable, said
from billing.errors import DisputeRefused, FiguresChanged, NotInThisState
from billing.formatting import money
from billing.models import (
    ChangedLine,
    Dispute,
    DisputedOutcome,
    DisputedState,
    DisputeRemedy,
    DisputeState,
    DisputeStep,
    DisputeStepKind,
    InvoiceLine,
)
from customers.models import Customer
from metering.ledger import place_batches, place_next


@transaction.atomic
def open_dispute(
    line: InvoiceLine,
    events: Collection[UUID],
    *,
    reason: str,
    by: str,
    now: datetime,
    asked_for: Customer | None = None,
) -> Dispute:
    """Dispute outcomes that a line billed. Raises DisputeRefused or ReasonMissing, with nothing written.

    `asked_for` is the customer who asks where that is who pays for them.
    """
    invoice = line.invoice
    require_disputable(line, now=now)
    text = said(reason, required=asks_reason(line), name="reason", ask="Say why you dispute it.")
    chosen = chosen_outcomes(line, events, now=now)
    dispute = Dispute.objects.create(
        customer_id=invoice.customer_id,
        asked_for=asked_for,
        invoice=invoice,
        line=line,
        reason=text,
        opened_at=now,
        opened_by=by,
    )
    rows = [
        DisputedOutcome(
            dispute=dispute,
            event_id=event.pk,
            key=event.key,
            subject=event.subject,
            occurred_at=event.occurred_at,
        )
        for event in chosen
    ]
    try:
        with transaction.atomic():
            DisputedOutcome.objects.bulk_create(rows)
    except IntegrityError as refused:
        if "disputedoutcome_once" not in str(refused):
            raise
        raise disputed_before() from refused
    DisputeStep.objects.create(dispute=dispute, kind=DisputeStepKind.OPENED, at=now, by=by, text=text)
    _put_at_stake(dispute, now=now)
    tell_opened(dispute, rows, now=now)
    return dispute


def decide_dispute(
    dispute: Dispute,
    *,
    accepted: Collection[int],
    answer: str,
    remedy: str = "",
    expected: Decimal | None = None,
    by: str,
    now: datetime,
) -> DisputeStep:
    """Accept the open outcomes with these ids and decline the others, with an answer that the customer reads.

    `remedy` is a DisputeRemedy where anything is accepted. `expected` is the effect before tax that somebody has seen:
    FiguresChanged when it is another by now. Of two at once, the second is refused with NotInThisState. Raises also
    ReasonMissing, DisputeRefused where it cannot be given back so, and EffectChanged where an invoice settled the
    difference at the same time.
    """
    with settled_once():
        return _decide(
            _locked(dispute),
            accepted=accepted,
            answer=answer,
            remedy=remedy,
            expected=expected,
            by=by,
            now=now,
        )


def _decide(
    dispute: Dispute,
    *,
    accepted: Collection[int],
    answer: str,
    remedy: str,
    expected: Decimal | None,
    by: str,
    now: datetime,
) -> DisputeStep:
    if dispute.state != DisputeState.OPEN:
        last = dispute.steps.exclude(kind=DisputeStepKind.OPENED).last()
        assert last is not None  # a decision or its customer closed it
        what = f"{last.get_kind_display().lower()} by {last.by} on {last.at:%Y-%m-%d %H:%M} UTC"
        raise NotInThisState(f"{dispute.number} was {what}. Look at it again.")
    answer = said(answer, required=True, name="answer", ask="Write an answer: the customer reads it.")
    waiting = list(dispute.outcomes.filter(state=DisputedState.OPEN).select_related("dispute__line"))
    taken = [each for each in waiting if each.pk in set(accepted)]
    if len(taken) < len(set(accepted)):
        message = "One of these outcomes does not wait for a decision in this dispute."
        raise DisputeRefused(message, fields={"accepted": message})
    if taken and remedy not in DisputeRemedy.values:
        message = "Choose how the accepted outcomes are given back: a credit note or an adjustment."
        raise DisputeRefused(message, fields={"remedy": message})
    lock(dispute.printed_on)  # voided between the two looks, it would seem to be given back in whole
    found, position = _take_back(dispute, taken, now=now) if taken else ([], 0)
    amount = total(found)
    if expected is not None and expected != amount:
        raise FiguresChanged(
            f"Accepting comes to {money(amount, dispute.invoice.currency)} now. Nothing was decided; look again."
        )
    note = None
    if taken and remedy == DisputeRemedy.CREDIT_NOTE:
        note = credit(dispute, found, position=position, answer=answer, by=by, now=now)
    elif taken:
        _let_through(found, position=position, now=now)
    step = DisputeStep.objects.create(
        dispute=dispute,
        kind=DisputeStepKind.DECIDED,
        at=now,
        by=by,
        text=answer,
        accepted=len(taken),
        declined=len(waiting) - len(taken),
        remedy=remedy if taken else "",
        amount=amount,
        credit_note=note,
    )
    ids = [each.pk for each in taken]
    dispute.outcomes.filter(pk__in=ids).update(state=DisputedState.ACCEPTED, decided_by=step)
    dispute.outcomes.filter(state=DisputedState.OPEN).update(state=DisputedState.DECLINED, decided_by=step)
    _close(dispute, DisputeState.DECIDED)
    tell_decided(dispute, step, now=now)
    return step


@transaction.atomic
def reopen_dispute(dispute: Dispute, *, reason: str, by: str, now: datetime) -> DisputeStep:
    """Let what was declined or withdrawn of a dispute be decided again. Raises NotInThisState, ReasonMissing."""
    dispute = _locked(dispute)
    text = said(reason, required=True, name="reason", ask="Say why: the customer reads it.")
    closed = dispute.outcomes.filter(state__in=[DisputedState.DECLINED, DisputedState.WITHDRAWN])
    if dispute.state == DisputeState.OPEN or not closed.exists():
        raise NotInThisState("Nothing in it was declined or withdrawn, so there is nothing to decide again.")
    step = DisputeStep.objects.create(
        dispute=dispute, kind=DisputeStepKind.REOPENED, at=now, by=by, text=text
    )
    closed.update(state=DisputedState.OPEN, decided_by=None)
    _close(dispute, DisputeState.OPEN)
    _put_at_stake(dispute, now=now)
    tell_reopened(dispute, step, now=now)
    return step


@transaction.atomic
def withdraw_dispute(dispute: Dispute, *, reason: str = "", by: str, now: datetime) -> DisputeStep:
    """Take back what waits in a dispute, for the customer who asked; what was accepted before stays.

    Raises NotInThisState when nothing waits any more, ReasonMissing when the text is too long.
    """
    dispute = _locked(dispute)
    text = said(reason, required=False, name="reason", ask="Say it shorter.")
    if dispute.state != DisputeState.OPEN:
        raise NotInThisState(
            f"{dispute.number} is {dispute.get_state_display().lower()} already. Look at it again."
        )
    step = DisputeStep.objects.create(
        dispute=dispute, kind=DisputeStepKind.WITHDRAWN, at=now, by=by, text=text
    )
    dispute.outcomes.filter(state=DisputedState.OPEN).update(state=DisputedState.WITHDRAWN, decided_by=step)
    accepted = dispute.outcomes.filter(state=DisputedState.ACCEPTED).exists()
    _close(dispute, DisputeState.DECIDED if accepted else DisputeState.WITHDRAWN)
    tell_withdrawn(dispute, step, now=now)
    return step


def _close(dispute: Dispute, state: DisputeState) -> None:
    dispute.state = state
    dispute.save(update_fields=["state"])


def _put_at_stake(dispute: Dispute, *, now: datetime) -> None:
    """Write down what accepting all that waits would come to, for the queue."""
    waiting = list(dispute.outcomes.filter(state=DisputedState.OPEN).select_related("dispute__line__adjusts"))
    try:
        dispute.at_stake = total(preview_effect(waiting, now=now))
    except DisputeRefused:  # its events are archived: it can only be declined
        dispute.at_stake = None
    dispute.save(update_fields=["at_stake"])


def _locked(dispute: Dispute) -> Dispute:
    rows = Dispute.objects.select_for_update(of=("self",))
    return rows.select_related(
        "customer", "invoice__customer", "invoice__part_of__customer", "line__meter", "line__invoice"
    ).get(pk=dispute.pk)


def _take_back(
    dispute: Dispute, taken: Sequence[DisputedOutcome], *, now: datetime
) -> tuple[list[LineEffect], int]:
    """Reverse outcomes; give what that alone comes to, whatever else changed meanwhile, and its ledger position."""
    lines = priced_lines(dispute)
    drafts = drafts_about(lines)
    before = compute_adjustments(lines, watermark=place_batches(), without_drafts=drafts)
    position = place_next(take_back(taken, now=now))
    after = compute_adjustments(lines, watermark=position, without_drafts=drafts)
    return effects(before, after), position


def _let_through(found: Sequence[LineEffect], *, position: int, now: datetime) -> None:
    """Let the next invoice carry a difference without asking again (ADJUSTMENT_REVIEW_FROM): this is the decision.

    Where other late usage of the line waits to be decided, it does so with it.
    """
    for each in found:
        if each.is_alone:
            ChangedLine.objects.update_or_create(
                line=each.line,
                defaults={
                    "position": position,
                    "bill_up_to": position,
                    "effect_position": position,
                    "effect_quantity": each.after.quantity - each.after.settled.quantity,
                    "effect_amount": each.after.difference,
                    "decided_at": now,
                },
                create_defaults={
                    "position": position,
                    "bill_up_to": position,
                    "effect_position": position,
                    "effect_quantity": each.after.quantity - each.after.settled.quantity,
                    "effect_amount": each.after.difference,
                    "decided_at": now,
                    "found_at": now,
                },
            )
