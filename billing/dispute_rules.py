"""What may be disputed: outcomes that a line billed, in time, each once, and with the words that the plan asks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from billing.errors import DisputedBefore, DisputeRefused, ReasonMissing
from billing.formatting import day
from billing.line_events import billed_outcomes
from billing.models import BILLED, Dispute, DisputedOutcome, DisputeState, Invoice, InvoiceLine, LineKind
from billing.outcomes import settle_outcomes
from customers.models import Customer
from metering.models import Event
from metering.outcomes import OutcomeState

MOST_OUTCOMES = 500
MAX_TEXT = 1_000


def visible_disputes(customer: Customer) -> QuerySet[Dispute]:
    """Give the disputes a customer may see: of its own outcomes, and of those on invoices that it pays for others."""
    return Dispute.objects.filter(Q(customer=customer) | Q(invoice__part_of__customer=customer))


def disputable_until(invoice: Invoice) -> datetime | None:
    """Give the instant until which outcomes of an invoice may be disputed; None where it is not offered.

    Of a consolidated invoice, its parts are asked: each has a plan, and the plan says how long.
    """
    if invoice.subscription is None or invoice.issued_at is None or invoice.status not in BILLED:
        return None
    days = invoice.subscription.plan.dispute_days
    return invoice.issued_at + timedelta(days=days) if days else None


def bills_outcomes(line: InvoiceLine) -> bool:
    """Tell whether a line bills outcomes: usage of an outcome meter, or what came late of it."""
    kinds = (LineKind.USAGE, LineKind.ADJUSTMENT)
    return line.kind in kinds and line.meter is not None and line.meter.is_outcome


def is_disputable(line: InvoiceLine, *, now: datetime) -> bool:
    """Tell whether outcomes of a line may be disputed now, as far as the line itself decides."""
    until = disputable_until(line.invoice)
    return bills_outcomes(line) and until is not None and now < until


def asks_reason(line: InvoiceLine) -> bool:
    """Tell whether the plan wants to know why."""
    subscription = line.invoice.subscription
    return subscription is not None and subscription.plan.dispute_reason_required


def disputed_among(events: Collection[UUID]) -> dict[UUID, DisputedOutcome]:
    """Give what was disputed among outcomes, by event. One query."""
    rows = DisputedOutcome.objects.filter(event_id__in=events).select_related(
        "dispute", "decided_by__credit_note"
    )
    return {each.event_id: each for each in rows}


def require_disputable(line: InvoiceLine, *, now: datetime) -> None:
    """Raise DisputeRefused, naming the field, unless outcomes of a line may be disputed now."""
    invoice = line.invoice
    until = disputable_until(invoice)
    if not bills_outcomes(line):
        message = "Only outcomes can be disputed: lines whose meter counts results."
        raise DisputeRefused(message, fields={"line": message})
    if until is None:
        message = f"Outcomes of invoice {invoice.number} cannot be disputed here. Please write to us."
        raise DisputeRefused(message, fields={"invoice": message})
    if now >= until:
        last = day(timezone.localdate(until))
        message = f"Outcomes of invoice {invoice.number} could be disputed until {last}."
        raise DisputeRefused(message, fields={"invoice": message})


def chosen_outcomes(line: InvoiceLine, events: Collection[UUID], *, now: datetime) -> Sequence[Event]:
    """Load outcomes that a line billed. Raises DisputeRefused when one is not, was disputed, or was taken back."""
    if not events:
        message = "Choose at least one outcome."
        raise DisputeRefused(message, fields={"outcomes": message})
    if len(set(events)) > MOST_OUTCOMES:
        message = f"Choose {MOST_OUTCOMES} outcomes at most."
        raise DisputeRefused(message, fields={"outcomes": message})
    billed = list(billed_outcomes(line).filter(pk__in=set(events)).select_related("meter"))
    if len(billed) < len(set(events)):
        message = f"One of these is no outcome that line {line.n} of {line.invoice.number} billed."
        raise DisputeRefused(message, fields={"outcomes": message})
    if disputed_among([each.pk for each in billed]):
        raise disputed_before()
    voided = [each for each in billed if each.voided_batch_id is not None]
    # What was voided is no outcome any more, so that nothing settles it.
    gone = voided or [
        each.event for each in settle_outcomes(billed, now=now) if each.state != OutcomeState.SETTLED
    ]
    if gone:
        message = f"“{gone[0].key}” was taken back already; your next invoice carries the difference."
        raise DisputeRefused(message, fields={"outcomes": message})
    return billed


def sent_before(line: InvoiceLine, events: Collection[UUID], *, reason: str, by: str) -> Dispute | None:
    """Give the dispute of a line that was sent twice: the same person, outcomes and words, and not withdrawn since."""
    rows = Dispute.objects.filter(line=line, opened_by=by, reason=reason.strip())
    found = rows.exclude(state=DisputeState.WITHDRAWN).filter(outcomes__event_id__in=set(events)).first()
    if found is None or set(found.outcomes.values_list("event_id", flat=True)) != set(events):
        return None
    return found


def disputed_before() -> DisputedBefore:
    message = (
        "One of these outcomes was disputed before. Each can be disputed once; write to us to look again."
    )
    return DisputedBefore(message, fields={"outcomes": message})


def said(text: str, *, required: bool, name: str, ask: str) -> str:
    """Give what somebody wrote. Raises ReasonMissing, with `ask`, when it is needed and missing, or too long."""
    text = text.strip()
    if "\x00" in text:
        message = "The text holds a character that cannot be stored."
        raise ReasonMissing(message, fields={name: message})
    if (required and not text) or len(text) > MAX_TEXT:
        message = f"{ask} At most {MAX_TEXT} characters."
        raise ReasonMissing(message, fields={name: message})
    return text
