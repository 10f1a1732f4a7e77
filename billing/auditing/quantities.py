"""The equation of the audit about quantities: each usage line says what its events measure, as of its invoice."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.db.models import Max

from billing.models import BILLED, InvoiceLine, LineKind
from metering.measuring import measure
from metering.models import EventArchive
from metering.periods import Period
from metering.spans import Span

CHUNK = 5_000


def quantity_is_measure() -> Iterator[str]:
    """Name the usage lines of issued invoices whose quantity is not what their events measure.

    One set-based statement for each meter and watermark, as when they were billed. Lines from before the last archiving
    of events are left out: their events are no longer here.
    """
    rows = InvoiceLine.objects.filter(kind=LineKind.USAGE, invoice__status__in=BILLED)
    archived = EventArchive.objects.aggregate(before=Max("before"))["before"]
    if archived is not None:
        rows = rows.filter(invoice__starts_at__gte=archived)
    rows = rows.select_related("invoice", "meter").order_by("meter_id", "invoice__watermark", "id")
    for (_, watermark), lines in groupby(
        rows.iterator(chunk_size=CHUNK), key=lambda line: (line.meter_id, line.invoice.watermark)
    ):
        waiting: list[InvoiceLine] = []
        for line in lines:
            waiting.append(line)
            if len(waiting) == CHUNK:
                yield from _compare(waiting, watermark)
                waiting = []
        yield from _compare(waiting, watermark)


def _compare(lines: list[InvoiceLine], watermark: int) -> Iterator[str]:
    if not lines:
        return
    meter = lines[0].meter
    assert meter is not None  # held by rate_meter_exactly_on_usage
    measures = measure(meter, [_span(line) for line in lines], as_of=watermark)
    for line in lines:
        measured: Decimal = measures[line.pk].quantity
        if measured != line.quantity:
            yield (
                f"{line.invoice.number}, line {line.n}: the quantity is {line.quantity:f}, "
                f"its events measure {measured:f}"
            )


def _span(line: Any) -> Span:
    period = Period(line.period_start, line.period_end, line.invoice.zone)
    return Span(line.pk, line.invoice.customer_id, period.start, period.end, period.zone)
