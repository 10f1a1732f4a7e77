"""Disputes of outcomes: a customer opens one, staff decide it, and both read what happened. Nothing changes silently.

Accepted outcomes are reversed by events of their own, so measuring, verifying and reconciling stay true by themselves.
Their money is given back once: by a credit note now, which settles the difference, or as the adjustment that every late
change becomes. Each function is one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from billing.adjusting import compute_adjustments
from billing.correcting import issue_credit_note
from billing.deciding import settled_once
from billing.dispute_effects import LineEffect, effects, line_ids, take_back, total
from billing.errors import DisputeRefused, FiguresChanged, NotInThisState, ReasonMissing
from billing.formatting import amount_text, day, money
from billing.line_events import events_of_line
from billing.line_settling import drop_flags
from billing.models import (
    BILLED,
    AdjustmentWaiver,
    CreditNote,
    Dispute,
    DisputedOutcome,
    DisputedState,
    DisputeRemedy,
    DisputeState,
    DisputeStep,
    DisputeStepKind,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
)
from billing.notifying import WebhookType, announce, queue_mails
from billing.outcomes import settle_outcomes
from metering.ledger import place_batches, place_next
from metering.models import Event
from metering.outcomes import OutcomeState

MOST_OUTCOMES = 500
MAX_TEXT = 1_000


def disputable_until(invoice: Invoice) -> datetime | None:
    """Give the instant until which outcomes of an invoice may be disputed; None where it is not offered."""
    if invoice.subscription is None or invoice.issued_at is None or invoice.status not in BILLED:
        return None
    days = invoice.subscription.plan.dispute_days
    return invoice.issued_at + timedelta(days=days) if days else None


def is_disputable(line: InvoiceLine, *, now: datetime) -> bool:
    """Tell whether outcomes of a line may be disputed now, as far as the line itself decides."""
    if line.kind != LineKind.USAGE or line.meter is None or not line.meter.is_outcome:
        return False
    until = disputable_until(line.invoice)
    return until is not None and now < until


def disputed_among(events: Collection[UUID]) -> dict[UUID, DisputedOutcome]:
    """Give what was disputed among outcomes, by event. One query."""
    rows = DisputedOutcome.objects.filter(event_id__in=events).select_related(
        "dispute", "decided_by__credit_note"
    )
    return {each.event_id: each for each in rows}


@transaction.atomic
def open_dispute(
    line: InvoiceLine, events: Collection[UUID], *, reason: str, by: str, now: datetime
) -> Dispute:
    """Dispute outcomes that a line billed. Raises DisputeRefused or ReasonMissing, with nothing written."""
    invoice = line.invoice
    _refuse_line(line, now=now)
    text = _text(reason, required=_plan_asks_reason(invoice), name="reason", ask="Say why you dispute it.")
    chosen = _chosen(line, events, now=now)
    dispute = Dispute.objects.create(
        customer_id=invoice.customer_id, invoice=invoice, line=line, reason=text, opened_at=now, opened_by=by
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
        raise _disputed_before() from refused
    DisputeStep.objects.create(dispute=dispute, kind=DisputeStepKind.OPENED, at=now, by=by, text=text)
    _tell_opened(dispute, rows, now=now)
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
    ReasonMissing, DisputeRefused, InvalidAmount where less than that is left of the invoice, and EffectChanged where an
    invoice settled the difference at the same time.
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
        last = dispute.steps.filter(kind=DisputeStepKind.DECIDED).last()
        assert last is not None  # a decision closed it
        raise NotInThisState(
            f"{dispute.number} was decided by {last.by} on {last.at:%Y-%m-%d %H:%M} UTC. Look at it again."
        )
    answer = _text(answer, required=True, name="answer", ask="Write an answer: the customer reads it.")
    waiting = list(dispute.outcomes.filter(state=DisputedState.OPEN).select_related("dispute__line"))
    taken = [each for each in waiting if each.pk in set(accepted)]
    if len(taken) < len(set(accepted)):
        message = "One of these outcomes does not wait for a decision in this dispute."
        raise DisputeRefused(message, fields={"accepted": message})
    if taken and remedy not in DisputeRemedy.values:
        message = "Choose how the accepted outcomes are given back: a credit note or an adjustment."
        raise DisputeRefused(message, fields={"remedy": message})
    found, position = _take_back(dispute, taken, now=now) if taken else ([], 0)
    amount = total(found)
    if expected is not None and expected != amount:
        raise FiguresChanged(
            f"Accepting comes to {money(amount, dispute.invoice.currency)} now. Nothing was decided; look again."
        )
    note = None
    if taken and remedy == DisputeRemedy.CREDIT_NOTE:
        note = _credit(dispute, found, position=position, answer=answer, by=by, now=now)
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
    dispute.state = DisputeState.DECIDED
    dispute.save(update_fields=["state"])
    _tell_decided(dispute, step, now=now)
    return step


@transaction.atomic
def reopen_dispute(dispute: Dispute, *, reason: str, by: str, now: datetime) -> DisputeStep:
    """Let the declined outcomes of a dispute be decided again. Raises NotInThisState, ReasonMissing."""
    dispute = _locked(dispute)
    text = _text(reason, required=True, name="reason", ask="Say why: the customer reads it.")
    declined = dispute.outcomes.filter(state=DisputedState.DECLINED)
    if dispute.state != DisputeState.DECIDED or not declined.exists():
        raise NotInThisState("Nothing was declined in it, so there is nothing to decide again.")
    step = DisputeStep.objects.create(
        dispute=dispute, kind=DisputeStepKind.REOPENED, at=now, by=by, text=text
    )
    declined.update(state=DisputedState.OPEN, decided_by=None)
    dispute.state = DisputeState.OPEN
    dispute.save(update_fields=["state"])
    return step


def _locked(dispute: Dispute) -> Dispute:
    rows = Dispute.objects.select_for_update(of=("self",))
    return rows.select_related("customer", "invoice__customer", "line__meter", "line__invoice").get(
        pk=dispute.pk
    )


def _refuse_line(line: InvoiceLine, *, now: datetime) -> None:
    invoice = line.invoice
    until = disputable_until(invoice)
    if line.kind != LineKind.USAGE or line.meter is None or not line.meter.is_outcome:
        message = "Only outcomes can be disputed: lines whose meter counts results."
        raise DisputeRefused(message, fields={"line": message})
    if until is None:
        message = f"Outcomes of invoice {invoice.number} cannot be disputed here. Please write to us."
        raise DisputeRefused(message, fields={"invoice": message})
    if now >= until:
        message = (
            f"Outcomes of invoice {invoice.number} could be disputed until {day(timezone.localdate(until))}."
        )
        raise DisputeRefused(message, fields={"invoice": message})


def _chosen(line: InvoiceLine, events: Collection[UUID], *, now: datetime) -> Sequence[Event]:
    if not events:
        message = "Choose at least one outcome."
        raise DisputeRefused(message, fields={"outcomes": message})
    if len(set(events)) > MOST_OUTCOMES:
        message = f"Choose {MOST_OUTCOMES} outcomes at most."
        raise DisputeRefused(message, fields={"outcomes": message})
    billed = list(events_of_line(line).filter(pk__in=set(events)).select_related("meter"))
    if len(billed) < len(set(events)):
        message = f"One of these is no outcome that line {line.n} of {line.invoice.number} billed."
        raise DisputeRefused(message, fields={"outcomes": message})
    if disputed_among([each.pk for each in billed]):
        raise _disputed_before()
    gone = [each for each in settle_outcomes(billed, now=now) if each.state != OutcomeState.SETTLED]
    if gone or any(each.voided_batch_id is not None for each in billed):
        name = (gone[0].event if gone else next(e for e in billed if e.voided_batch_id is not None)).key
        message = f"“{name}” was taken back already; your next invoice carries the difference."
        raise DisputeRefused(message, fields={"outcomes": message})
    return billed


def _disputed_before() -> DisputeRefused:
    message = (
        "One of these outcomes was disputed before. Each can be disputed once; write to us to look again."
    )
    return DisputeRefused(message, fields={"outcomes": message})


def _plan_asks_reason(invoice: Invoice) -> bool:
    return invoice.subscription is not None and invoice.subscription.plan.dispute_reason_required


def _text(text: str, *, required: bool, name: str, ask: str) -> str:
    text = text.strip()
    if "\x00" in text:
        message = "The text holds a character that cannot be stored."
        raise ReasonMissing(message, fields={name: message})
    if (required and not text) or len(text) > MAX_TEXT:
        message = f"{ask} At most {MAX_TEXT} characters."
        raise ReasonMissing(message, fields={name: message})
    return text


def _take_back(
    dispute: Dispute, taken: Sequence[DisputedOutcome], *, now: datetime
) -> tuple[list[LineEffect], int]:
    """Reverse outcomes; give what that alone comes to, whatever else changed meanwhile, and its ledger position."""
    lines = line_ids(dispute)
    drafts = list(
        Invoice.objects.filter(status=InvoiceStatus.DRAFT, lines__adjusts__in=lines).values_list(
            "id", flat=True
        )
    )
    before = compute_adjustments(lines, watermark=place_batches(), without_drafts=drafts)
    position = place_next(take_back(taken, now=now))
    after = compute_adjustments(lines, watermark=position, without_drafts=drafts)
    return effects(before, after), position


def _credit(
    dispute: Dispute, found: Sequence[LineEffect], *, position: int, answer: str, by: str, now: datetime
) -> CreditNote | None:
    """Credit the difference and settle it, so that no adjustment gives it back again."""
    for each in found:
        if each.before.difference or each.before.quantity != each.before.settled.quantity:
            message = (
                f"Line {each.line.n} has other changes that wait for the next invoice. "
                "Choose the adjustment, which settles all of them, or decide its late usage first."
            )
            raise DisputeRefused(message, fields={"remedy": message})
    if any(each.plan for each in found):
        message = "It changes the plan's minimum, included spend or service fee too. Choose the adjustment."
        raise DisputeRefused(message, fields={"remedy": message})
    gross = {each.line.n: -each.gross for each in found if each.gross}
    if sum(gross.values()) < 0:
        message = "Without these outcomes the invoice comes to more. Decline, or choose the adjustment."
        raise DisputeRefused(message, fields={"remedy": message})
    if not gross:
        return None
    note = issue_credit_note(
        dispute.invoice.part_of or dispute.invoice,
        reason=f"{dispute.number}: {answer}"[:400],
        lines=gross,
        by=by[:200],
        now=now,
    )
    AdjustmentWaiver.objects.bulk_create(
        AdjustmentWaiver(
            line=each.line,
            adjustment_n=each.after.settled.next_n,
            position=position,
            quantity=each.quantity,
            amount=each.amount,
            reason=f"{dispute.number}, given back by {note.number}",
            credit_note=note,
            waived_at=now,
        )
        for each in found
    )
    drop_flags([each.line.pk for each in found], [position] * len(found))
    return note


def _tell_opened(dispute: Dispute, rows: Sequence[DisputedOutcome], *, now: datetime) -> None:
    announce(WebhookType.OUTCOME_DISPUTED, dispute.number, _data(dispute, rows), now=now)
    count = _count(len(rows))
    body = (
        f"{dispute.customer} disputes {count} of invoice {dispute.invoice.number}.\n\n{dispute.reason}\n\n"
        f"Decide it here: {settings.PUBLIC_URL}/admin/billing/dispute/{dispute.pk}/change/\n"
    )
    subject = f"{dispute.number}: {dispute.customer} disputes {count}"
    queue_mails(_deciders(), subject=subject, body=body, now=now)


def _tell_decided(dispute: Dispute, step: DisputeStep, *, now: datetime) -> None:
    rows = list(step.outcomes.all())
    decision = {
        "accepted": step.accepted,
        "declined": step.declined,
        "answer": step.text,
        "remedy": step.remedy or None,
        "amount": amount_text(step.amount or Decimal(0), dispute.invoice.currency),
        "credit_note": step.credit_note.number if step.credit_note else None,
    }
    announce(WebhookType.DISPUTE_DECIDED, dispute.number, _data(dispute, rows) | decision, now=now)
    if dispute.customer.email:
        body = (
            f"Dear {dispute.customer},\n\nof the outcomes you disputed on invoice {dispute.invoice.number}, "
            f"{step.accepted} were accepted and {step.declined} declined.\n\n{step.text}\n\n"
            f"All of it is in your portal: {settings.PUBLIC_URL}/portal/disputes/{dispute.pk}/\n"
        )
        subject = f"Your dispute {dispute.number} was decided"
        queue_mails([dispute.customer.email], subject=subject, body=body, now=now)


def _data(dispute: Dispute, rows: Sequence[DisputedOutcome]) -> dict[str, object]:
    return {
        "dispute": dispute.number,
        "customer": dispute.customer.code,
        "invoice": dispute.invoice.number,
        "line": dispute.line.n,
        "currency": dispute.invoice.currency,
        "reason": dispute.reason,
        "outcomes": [{"key": each.key, "subject": each.subject, "state": each.state} for each in rows],
    }


def _deciders() -> list[str]:
    """Give the addresses of the staff who may decide disputes."""
    users = User.objects.with_perm(
        "billing.decide_dispute", backend="django.contrib.auth.backends.ModelBackend"
    )
    return [user.email for user in users.filter(is_staff=True).exclude(email="")]


def _count(outcomes: int) -> str:
    return "1 outcome" if outcomes == 1 else f"{outcomes:,} outcomes"
