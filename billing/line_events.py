"""The events behind a line of an invoice: those that a usage line counted, and those that caused an adjustment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from django.db.models import BooleanField, Q, QuerySet, Value
from msgspec.json import encode

from billing.models import AdjustmentWaiver, InvoiceLine, LineKind, LineSettlement
from metering.behind import events_behind, events_changed
from metering.models import Event
from metering.periods import Period

CHUNK = 1_000


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
    line without a meter has none.
    """
    invoice = line.invoice
    if line.kind == LineKind.ADJUSTMENT:
        assert line.adjusts is not None  # held by invoiceline_adjustment_names_line
        assert line.adjusts.meter_id is not None  # only usage lines are adjusted
        period = Period(line.adjusts.period_start, line.adjusts.period_end, line.adjusts.invoice.zone)
        return events_changed(
            meter_id=line.adjusts.meter_id,
            customer_id=invoice.customer_id,
            start=period.start,
            end=period.end,
            after=_settled_before(line.adjusts, invoice.watermark),
            until=invoice.watermark,
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


def _settled_before(line: InvoiceLine, position: int) -> int:
    """Give the last position before one at which a line was billed, settled or waived."""
    settled = LineSettlement.objects.filter(line=line, position__lt=position).values_list(
        "position", flat=True
    )
    waived = AdjustmentWaiver.objects.filter(line=line, position__lt=position).values_list(
        "position", flat=True
    )
    return max([line.invoice.watermark, *settled, *waived])
