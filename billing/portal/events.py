"""The events behind a line of an invoice: exactly those that were counted, as pages and as CSV."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.dispute_rules import (
    MOST_OUTCOMES,
    bills_outcomes,
    disputable_until,
    disputed_among,
    is_disputable,
)
from billing.line_events import change_of, events_json, events_of_line
from billing.models import Dispute, DisputedOutcome, InvoiceLine
from billing.outcomes import told_outcomes
from billing.portal.access import for_customer, page
from billing.portal.invoices import visible_line
from customers.models import Customer
from customers.spreadsheets import csv_cell
from metering.histories import HistoryEntry, event_histories
from metering.incoming import event_id
from metering.models import Event
from metering.outcomes import OutcomeState
from metering.settling import StoredOutcome

PER_PAGE = 50
CHUNK = 2_000
BYTE_ORDER_MARK = "\ufeff"  # spreadsheets read the file as UTF-8 with it


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as a customer sees it, without source, workload or cost.

    `prices` are the values of the dimensions that the rate prices by, by name. `taken_back` on an adjustment: it
    counted before and counts no more.
    """

    id: uuid.UUID
    occurred_at: datetime
    key: str
    subject: str
    prices: Mapping[str, str]
    value: Decimal
    taken_back: bool
    state: str = ""
    reason: str = ""
    may_dispute: bool = False
    dispute: Dispute | None = None


@require_safe
@for_customer
def events(request: HttpRequest, *, customer: Customer, number: str, n: int) -> HttpResponseBase:
    """List a line's events, oldest first; `?after=` and `?before=` name the event a page begins or ends at."""
    invoice, line = visible_line(customer, number, n)
    names = _priced_dimensions(line)
    found, has_earlier, has_later = _page_of(events_of_line(line), request)
    now = timezone.now()
    is_outcome = bills_outcomes(line)
    states = _states(found, now=now) if is_outcome else {}
    # Whose outcomes they are may dispute them, and so may who pays for them.
    offered = is_disputable(line, now=now)
    before = disputed_among([event.pk for event in found]) if is_outcome else {}
    rows = [
        _row(event, names, states.get(event.pk), offered=offered, disputed=before.get(event.pk))
        for event in found
    ]
    return page(
        request,
        "portal/events.html",
        section="invoices",
        invoice=invoice,
        line=line,
        names=names,
        rows=rows,
        is_outcome=is_outcome,
        may_dispute=any(row.may_dispute for row in rows),
        until=disputable_until(line.invoice) if offered else None,
        whose=line.invoice.customer if line.invoice.customer_id != customer.pk else None,
        most=MOST_OUTCOMES,
        earlier=_cursor(found[0]) if found and has_earlier else "",
        later=_cursor(found[-1]) if found and has_later else "",
    )


@require_safe
@for_customer
def event(
    request: HttpRequest, *, customer: Customer, number: str, n: int, pk: uuid.UUID
) -> HttpResponseBase:
    """Show one event of a line with what happened to it: when it came, was matched, corrected, replaced."""
    invoice, line = visible_line(customer, number, n)
    found = get_object_or_404(events_of_line(line).select_related("meter"), pk=pk)
    dims = found.dimensions or {}
    return page(
        request,
        "portal/event.html",
        section="invoices",
        invoice=invoice,
        line=line,
        event=found,
        dimensions=[(name, dims[name]) for name in _priced_dimensions(line) if name in dims],
        history=_histories([found], line.invoice.customer)[found.pk],
    )


@require_safe
@for_customer
def events_file(request: HttpRequest, *, customer: Customer, number: str, n: int) -> HttpResponseBase:
    """Stream a line's events as CSV, times in the invoice's zone."""
    invoice, line = visible_line(customer, number, n)
    names = _priced_dimensions(line)
    rows = (_row(event, names) for event in events_of_line(line).iterator(chunk_size=CHUNK))
    return StreamingHttpResponse(
        _csv(rows, names, zone=line.invoice.zone, adjusts=line.adjusts_id is not None),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{invoice.number}-line-{line.n}-events.csv"'},
    )


@require_safe
@for_customer
def events_json_file(request: HttpRequest, *, customer: Customer, number: str, n: int) -> HttpResponseBase:
    """Stream a line's events as JSON, each with what happened to it; who did it is not told."""
    invoice, line = visible_line(customer, number, n)
    names = _priced_dimensions(line)

    def bodies(events: Sequence[Event]) -> Iterator[dict[str, object]]:
        histories = _histories(events, line.invoice.customer)
        for found in events:
            row = _row(found, names)
            yield {
                "key": row.key,
                "occurred_at": found.occurred_at,
                "received_at": found.received_at,
                "subject": row.subject,
                "dimensions": row.prices,
                "value": f"{row.value:f}",
                "change": change_of(found, line),
                "history": [
                    {"at": entry.at, "what": entry.what, "key": entry.key} for entry in histories[found.pk]
                ],
            }

    return StreamingHttpResponse(
        events_json(line, bodies),
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{invoice.number}-line-{line.n}-events.json"'},
    )


def _histories(events: Sequence[Event], customer: Customer) -> dict[uuid.UUID, list[HistoryEntry]]:
    """Give what happened to each, without what concerns an event that was moved to or from somebody else."""
    histories = event_histories(events)
    ids = [event_id(event.source, entry.key) for event in events for entry in histories[event.pk]]
    own = set(Event.objects.filter(pk__in=ids, customer=customer).values_list("source", "key"))
    return {
        event.pk: [entry for entry in histories[event.pk] if (event.source, entry.key) in own]
        for event in events
    }


def _page_of(events: QuerySet[Event], request: HttpRequest) -> tuple[list[Event], bool, bool]:
    """Give one page of events, and whether there are earlier and later ones."""
    if before := request.GET.get("before"):
        at, key = _read_cursor(before)
        earlier = events.filter(Q(occurred_at__lt=at) | Q(occurred_at=at, id__lt=key)).reverse()
        found = list(earlier[: PER_PAGE + 1])
        return found[:PER_PAGE][::-1], len(found) > PER_PAGE, True
    after = request.GET.get("after")
    if after:
        at, key = _read_cursor(after)
        events = events.filter(Q(occurred_at__gt=at) | Q(occurred_at=at, id__gt=key))
    found = list(events[: PER_PAGE + 1])
    return found[:PER_PAGE], bool(after), len(found) > PER_PAGE


def _cursor(event: Event) -> str:
    return f"{event.occurred_at.isoformat()}~{event.id}"


def _read_cursor(text: str) -> tuple[datetime, uuid.UUID]:
    instant, _, key = text.partition("~")
    try:
        cursor = datetime.fromisoformat(instant), uuid.UUID(key)
    except ValueError as broken:
        raise Http404 from broken
    if cursor[0].tzinfo is None:
        raise Http404
    return cursor


def _states(events: Sequence[Event], *, now: datetime) -> dict[uuid.UUID, StoredOutcome]:
    """Give what became of outcomes, by event; what was voided since has no state."""
    ids = [each.pk for each in events]
    loaded = Event.objects.filter(pk__in=ids, voided_batch_id=None, signal=None)
    return {each.event.pk: each for each in told_outcomes(list(loaded.select_related("meter")), now=now)}


def _row(
    event: Any,
    names: Sequence[str],
    outcome: StoredOutcome | None = None,
    *,
    offered: bool = False,
    disputed: DisputedOutcome | None = None,
) -> EventRow:
    dimensions = event.dimensions or {}
    return EventRow(
        id=event.pk,
        occurred_at=event.occurred_at,
        key=event.key,
        subject=event.subject or "",
        prices={name: str(dimensions.get(name, "")) for name in names},
        value=event.counted_value,
        taken_back=event.taken_back,
        state=outcome.state.value if outcome else event.signal or "",
        reason=outcome.reason if outcome else "",
        may_dispute=offered
        and outcome is not None
        and outcome.state == OutcomeState.SETTLED
        and not event.taken_back
        and disputed is None,
        dispute=disputed.dispute if disputed is not None else None,
    )


def _priced_dimensions(line: InvoiceLine) -> list[str]:
    return [str(name) for name in line.terms.get("dimensions", [])]


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _csv(rows: Iterator[EventRow], names: Sequence[str], *, zone: str, adjusts: bool) -> Iterator[str]:
    writer = csv.writer(_Echo())
    clock = ZoneInfo(zone)
    yield BYTE_ORDER_MARK + writer.writerow(
        ["time", "key", "subject", *map(csv_cell, names), "value", *(["change"] if adjusts else [])]
    )
    for row in rows:
        texts = map(csv_cell, [row.key, row.subject, *row.prices.values()])
        change = ["taken back" if row.taken_back else "added"] if adjusts else []
        yield writer.writerow(
            [row.occurred_at.astimezone(clock).isoformat(), *texts, f"{row.value:f}", *change]
        )
