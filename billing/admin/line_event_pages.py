"""Pages of the events behind a line of an invoice: the list, and files of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path

from billing.admin.csv_files import csv_response
from billing.admin.statement import invoice_rows
from billing.formatting import period as days_words
from billing.line_events import change_of, events_json, events_of_line
from billing.models import InvoiceLine
from customers.staff_pages import ReadOnlyAdmin, require
from metering.histories import event_histories
from metering.models import Event

EVENTS_SHOWN = 50
EVENT_COLUMNS = ("key", "occurred_at", "value", "subject", "workload", "dimensions", "received_at")


class LineEventPages(ReadOnlyAdmin):
    """Views that InvoiceAdmin serves."""

    def line_urls(self, wrap: Callable[..., Any]) -> list[URLPattern]:
        return [
            path("<int:pk>/lines/<int:n>/", wrap(self.events_view), name="billing_invoice_events"),
            path(
                "<int:pk>/lines/<int:n>/events.csv",
                wrap(self.events_csv_view),
                name="billing_invoice_events_csv",
            ),
            path(
                "<int:pk>/lines/<int:n>/events.json",
                wrap(self.events_json_view),
                name="billing_invoice_events_json",
            ),
        ]

    def events_view(self, request: HttpRequest, pk: int, n: int) -> HttpResponse:
        require(request, "billing.view_invoice", "metering.view_event")
        line = _line(pk, n)
        page = Paginator(_events(line, newest_first=True), EVENTS_SHOWN).get_page(request.GET.get("page"))
        return self.page(
            request, "admin/billing/invoice/events.html", title=f"Events behind line {n} of {line.invoice}",
            invoice=line.invoice, line=line, row=invoice_rows(line.invoice, [line])[0], page=page,
            days=days_words(line.period_start, line.period_end),
        )  # fmt: skip

    def events_csv_view(self, request: HttpRequest, pk: int, n: int) -> HttpResponseBase:
        require(request, "billing.view_invoice", "metering.view_event")
        line = _line(pk, n)
        rows = (_event_row(event) for event in _events(line, newest_first=False).iterator(1000))
        return csv_response(f"{line.invoice.number or 'draft'}-line-{n}-events.csv", EVENT_COLUMNS, rows)

    def events_json_view(self, request: HttpRequest, pk: int, n: int) -> HttpResponseBase:
        """Stream the events of a line with the whole history of each."""
        require(request, "billing.view_invoice", "metering.view_event")
        line = _line(pk, n)
        name = f"{line.invoice.number or 'draft'}-line-{n}-events.json"
        return StreamingHttpResponse(
            events_json(line, lambda events: _event_bodies(events, line)),
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


def _line(invoice_pk: int, n: int) -> InvoiceLine:
    rows = InvoiceLine.objects.select_related("invoice__customer", "meter", "adjusts__invoice")
    line = get_object_or_404(rows, Q(invoice=invoice_pk) | Q(invoice__part_of=invoice_pk), n=n)
    if line.meter_id is None and line.adjusts_id is None:
        raise Http404("This line has no events: it is a fixed fee.")
    return line


def _events(line: InvoiceLine, *, newest_first: bool) -> QuerySet[Event]:
    events = events_of_line(line).select_related("workload")
    return events.reverse() if newest_first else events


def _event_row(event: Event) -> list[object]:
    dimensions = "; ".join(f"{name}={value}" for name, value in sorted((event.dimensions or {}).items()))
    return [
        event.key, event.occurred_at.isoformat(), Decimal(event.counted_value), event.subject or "",
        event.workload.name if event.workload else "", dimensions, event.received_at.isoformat(),
    ]  # fmt: skip


def _event_bodies(events: Sequence[Event], line: InvoiceLine) -> Iterator[dict[str, object]]:
    histories = event_histories(events)
    for event in events:
        yield {
            "key": event.key,
            "source": event.source,
            "occurred_at": event.occurred_at,
            "received_at": event.received_at,
            "subject": event.subject,
            "workload": event.workload.name if event.workload else None,
            "dimensions": event.dimensions or {},
            "value": f"{Decimal(event.counted_value):f}",
            "change": change_of(event, line),
            "history": [
                {"at": each.at, "what": each.what, "key": each.key, "by": each.by, "reason": each.reason}
                for each in histories[event.pk]
            ],
        }
