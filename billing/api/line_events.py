"""The events behind a line, as JSON and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework import serializers

from billing.line_events import change_of
from billing.models import InvoiceLine
from customers.spreadsheets import csv_cell
from metering.api.shapes import EventShape
from metering.api.texts import decimal_text, instant_text
from metering.models import Event

COLUMNS = (
    "key", "source", "meter", "customer", "value", "occurred_at", "received_at", "subject", "workload", "dimensions",
    "change",
)  # fmt: skip
CHUNK = 2_000


class LineEventShape(EventShape):
    source = serializers.CharField()  # type: ignore[assignment]  # the name in the answer
    change = serializers.ChoiceField(
        choices=["counted", "added", "taken_back"],
        help_text="On an adjustment, what the event did to the line that it adjusts.",
    )
    history = serializers.CharField(help_text="Where the event stands with its whole history.")


def event_body(event: Event, line: InvoiceLine) -> dict[str, Any]:
    """Give an event of a line with what it did to it, and where its history is."""
    return {
        "key": event.key,
        "source": event.source,
        "meter": event.meter.code if event.meter else event.meter_code,
        "customer": event.customer.code if event.customer else event.customer_code,
        "value": decimal_text(event.counted_value),
        "occurred_at": instant_text(event.occurred_at),
        "received_at": instant_text(event.received_at),
        "subject": event.subject,
        "workload": event.workload.name if event.workload else None,
        "dimensions": event.dimensions or {},
        "change": change_of(event, line),
        "history": f"/api/v1/events/{quote(event.key, safe='')}/?source={quote(event.source, safe='')}",
    }


def events_table(events: QuerySet[Event], line: InvoiceLine, *, name: str) -> StreamingHttpResponse:
    """Stream all events of a line as CSV; `dimensions` are name=value, separated by semicolons."""

    class Echo:
        def write(self, text: str) -> str:
            return text

    def rows() -> Iterator[str]:
        writer = csv.writer(Echo())
        yield writer.writerow(COLUMNS)
        for event in events.iterator(chunk_size=CHUNK):
            body = event_body(event, line)
            pairs = "; ".join(f"{key}={value}" for key, value in sorted(body["dimensions"].items()))
            cells = body | {"dimensions": pairs}
            yield writer.writerow(
                [body["value"] if key == "value" else csv_cell(cells[key]) for key in COLUMNS]
            )

    return StreamingHttpResponse(
        rows(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )
