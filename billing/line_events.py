"""The events behind a line of an invoice: those that a usage line counted, and those that caused an adjustment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Q, QuerySet, Value
from msgspec.json import encode

from billing.models import (
    AdjustmentWaiver,
    DisputedOutcome,
    DisputedState,
    InvoiceLine,
    LineKind,
    LineSettlement,
)
from metering.behind import events_behind, events_changed
from metering.models import Event
from metering.periods import Period

CHUNK = 1_000
# The source of the events by which accepted disputes take outcomes back.
DISPUTE_SOURCE = "dispute"


def leads_to_events() -> Q:
    """Give the condition of lines that have events: a meter's, and those that caused an adjustment."""
    return Q(meter__isnull=False) | Q(adjusts__isnull=False)


def change_of(event: Any, line: InvoiceLine) -> str:
    """Say what an event did to a line: counted, or to the line that it adjusts: added or taken_back."""
    if line.kind != LineKind.ADJUSTMENT:
        return "counted"
    return "taken_back" if event.taken_back else "added"


def events_json(
    line: InvoiceLine, bodies: Callable[[Sequence[Event]], Iterable[Mapping[str, object]]]
) -> Iterator[str]:
    """Write a line and all its events as one JSON object, piece by piece; `bodies` gives those of a chunk."""
    head = {
        "invoice": line.invoice.number,
        "line": line.n,
        "kind": line.kind,
        "description": line.description,
        "period_start": line.period_start,
        "period_end": line.period_end,
        "quantity": f"{line.quantity:f}",
        "amount": f"{line.amount:f}",
        "currency": line.invoice.currency,
    }
    yield encode(head).decode().removesuffix("}") + ',"events":['
    rows = events_of_line(line).select_related("workload", "customer", "meter").iterator(chunk_size=CHUNK)
    separator = ""
    while chunk := list(islice(rows, CHUNK)):
        for body in bodies(chunk):
            yield separator + encode(body).decode()
            separator = ","
    yield "]}\n"


def events_of_line(line: InvoiceLine) -> QuerySet[Event]:
    """Give the events behind a line, oldest first, as they were when its invoice was drawn up.

    Each has `taken_back`: on an adjustment, that the event counted before and counts no more; the other events of an
    adjustment were added. What late usage changes of the terms of a plan has the events of the line it names; any other
    line without a meter has none. What the credit note of a dispute gave back is on no adjustment.
    """
    invoice = line.invoice
    if line.kind == LineKind.ADJUSTMENT:
        assert line.adjusts is not None  # held by invoiceline_adjustment_names_line
        assert line.adjusts.meter_id is not None  # only usage lines are adjusted
        period = Period(line.adjusts.period_start, line.adjusts.period_end, line.adjusts.invoice.zone)
        changed = events_changed(
            meter_id=line.adjusts.meter_id,
            customer_id=invoice.customer_id,
            start=period.start,
            end=period.end,
            after=settled_up_to([line.adjusts], before=invoice.watermark),
            until=invoice.watermark,
        )
        credited = given_back()
        return changed.exclude(Q(("taken_back", True)), pk__in=credited).exclude(
            signal__isnull=False, source=DISPUTE_SOURCE, target_id__in=credited
        )
    if line.meter_id is None:
        return Event.objects.none()
    period = Period(line.period_start, line.period_end, invoice.zone)
    return events_behind(
        meter_id=line.meter_id,
        customer_id=invoice.customer_id,
        start=period.start,
        end=period.end,
        as_of=invoice.watermark,
    ).annotate(taken_back=Value(False, output_field=BooleanField()))


def billed_outcomes(line: InvoiceLine) -> QuerySet[Event]:
    """Give the outcomes that a line billed: those that a usage line counted, or that an adjustment added."""
    return events_of_line(line).filter(Q(("taken_back", False)), signal=None)


def given_back() -> QuerySet[DisputedOutcome, UUID]:
    """Give the events that credit notes of disputes gave back, which nothing else has to take back."""
    return DisputedOutcome.objects.filter(
        state=DisputedState.ACCEPTED, decided_by__credit_note__isnull=False
    ).values_list("event_id", flat=True)


def settled_up_to(lines: Collection[InvoiceLine], *, before: int | None = None) -> int:
    """Give the last position, before one, at which any of some lines was billed, settled or waived."""
    settled = LineSettlement.objects.filter(line__in=lines)
    waived = AdjustmentWaiver.objects.filter(line__in=lines)
    if before is not None:
        settled, waived = settled.filter(position__lt=before), waived.filter(position__lt=before)
    positions = [*settled.values_list("position", flat=True), *waived.values_list("position", flat=True)]
    return max([*(line.invoice.watermark for line in lines), *positions])
