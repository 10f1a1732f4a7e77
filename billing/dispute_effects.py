"""What accepting a dispute comes to: its invoice rated again, with its frozen terms, without the outcomes.

The outcomes are taken back by the same signals that integrations send, so tiers, allowances and rules of counting once
need no second calculation. A preview writes them, measures, and rolls them back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from secrets import token_hex
from uuid import UUID

from django.db import transaction

from billing.adjusting import Adjustment, compute_adjustments
from billing.errors import DisputeRefused
from billing.line_events import DISPUTE_SOURCE
from billing.models import Dispute, DisputedOutcome, Invoice, InvoiceLine, InvoiceStatus, LineKind
from billing.outcomes import settle_outcomes
from billing.rating.exact import ZERO
from metering.models import Event
from metering.reversing import reverse_outcomes


@dataclass(frozen=True, slots=True)
class LineEffect:
    """What a line comes to with and without some outcomes. Amounts are in major units, before tax."""

    line: InvoiceLine
    before: Adjustment
    after: Adjustment

    @property
    def quantity(self) -> Decimal:
        return self.after.quantity - self.before.quantity

    @property
    def amount(self) -> Decimal:
        """The difference after the line's discount: negative when less is owed."""
        return self.after.amount - self.before.amount

    @property
    def plan(self) -> Decimal:
        """The difference that it makes to minimum, included spend and service fee of the invoice as a whole."""
        before, after = self.before.terms, self.after.terms
        return (after.difference if after else ZERO) - (before.difference if before else ZERO)

    @property
    def is_alone(self) -> bool:
        """Tell whether nothing else of the line's usage waits to be settled."""
        return not self.before.usage_difference and self.before.quantity == self.before.settled.quantity


def preview_effect(outcomes: Sequence[DisputedOutcome], *, now: datetime) -> list[LineEffect]:
    """Compute what accepting outcomes of one dispute would come to. Writes nothing."""
    if not outcomes:
        return []
    lines = priced_lines(outcomes[0].dispute)
    drafts = drafts_about(lines)
    with transaction.atomic():
        before = compute_adjustments(lines, watermark=None, without_drafts=drafts)
        take_back(outcomes, now=now)
        after = compute_adjustments(lines, watermark=None, without_drafts=drafts)
        transaction.set_rollback(True)
    return effects(before, after)


def effects(before: Sequence[Adjustment], after: Sequence[Adjustment]) -> list[LineEffect]:
    return [LineEffect(one.line, one, other) for one, other in zip(before, after, strict=True)]


def total(found: Sequence[LineEffect]) -> Decimal:
    """Add up effects, before tax."""
    return sum((each.amount + each.plan for each in found), ZERO)


def priced_lines(dispute: Dispute) -> list[int]:
    """Give the usage lines that price the disputed outcomes: the rates of a plan may be several.

    What an adjustment billed is priced by the lines of the invoice that it adjusts.
    """
    priced = dispute.line if dispute.line.adjusts is None else dispute.line.adjusts
    lines = InvoiceLine.objects.filter(invoice=priced.invoice_id, meter=priced.meter_id, kind=LineKind.USAGE)
    return list(lines.order_by("n").values_list("id", flat=True))


def drafts_about(lines: Sequence[int]) -> list[int]:
    """Give the drafts that carry adjustments of lines: drawn up anew before they are issued, they settle nothing."""
    drafts = Invoice.objects.filter(status=InvoiceStatus.DRAFT, lines__adjusts__in=lines)
    return list(drafts.values_list("id", flat=True).distinct())


def take_back(outcomes: Sequence[DisputedOutcome], *, now: datetime) -> UUID:
    """Reverse outcomes in the caller's transaction; give the ledger batch.

    What repeated a disputed outcome by then goes with it: else a second event for the same ticket would take its place
    and nothing would be given back.
    """
    events = Event.objects.select_related("meter").in_bulk([each.event_id for each in outcomes])
    if len(events) < len(outcomes):
        message = "The events of one of these outcomes are archived, so it cannot be taken back any more."
        raise DisputeRefused(message, fields={"accepted": message})
    chosen = [events[each.event_id] for each in outcomes]
    # Whoever sends CloudEvents names its source itself: under a key that can be guessed it could send first.
    mark = token_hex(4)
    keys = [f"dispute-{each.dispute_id}-{each.pk}-{mark}" for each in outcomes]
    named = {event.pk for event in chosen}
    subjects = {event.subject for event in chosen if event.subject is not None}
    same = Event.objects.filter(
        meter=chosen[0].meter_id,
        customer=chosen[0].customer_id,
        subject__in=subjects,
        signal=None,
        voided_batch_id=None,
        occurred_at__lte=now,
    )
    others = list(same.exclude(pk__in=named).select_related("meter").order_by("occurred_at", "id"))
    for each in settle_outcomes(others, now=now):
        repeats = each.settlement.repeats
        if repeats is not None and repeats.id in named:
            chosen.append(each.event)
            keys.append(f"dispute-{outcomes[0].dispute_id}-{each.event.pk}-{mark}")
    return reverse_outcomes(chosen, keys=keys, source=DISPUTE_SOURCE, now=now)
