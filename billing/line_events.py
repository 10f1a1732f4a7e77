"""The events behind a line of an invoice: those that a usage line counted, and those that caused an adjustment."""

from __future__ import annotations

from django.db.models import BooleanField, QuerySet, Value

from billing.models import AdjustmentWaiver, InvoiceLine, LineKind, LineSettlement
from metering.behind import events_behind, events_changed
from metering.models import Event
from metering.periods import Period


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
