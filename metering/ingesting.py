"""Taking events in: check, deduplicate, store, and give a result per event.

`record_events` returns only after the database has committed: whatever it reports as stored is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connection, transaction
from msgspec.json import encode as encode_json

from metering import catalog
from metering.columns import Columns, Row, columns_of
from metering.event_results import BatchResult, EventResult, ResultStatus
from metering.identity import new_uuid7
from metering.incoming import IncomingEvent, Refusal, TimeBounds
from metering.offers import Offer, Sorting, signal_columns, sort_offers
from metering.plain_batches import plain_columns
from metering.repeated_keys import compare_repeated
from metering.requirements import requirement_refusal
from metering.storing import insert_columns


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that was checked and may be stored, once. `sorting` is None when every event of it is plain."""

    events: Sequence[IncomingEvent | Refusal]
    columns: Columns
    sorting: Sorting | None
    unmatched: Sequence[Row]
    source: str
    received_at: datetime
    bounds: TimeBounds


def record_events(
    events: Sequence[IncomingEvent | Refusal],
    *,
    source: str,
    now: datetime,
    bounds: TimeBounds,
) -> BatchResult:
    """Store a batch and say what became of each event. One bad event never costs the others.

    Refuses to run inside a transaction of the caller's: it would answer before the commit.
    """
    prepared = prepare_events(events, source=source, now=now, bounds=bounds)
    if connection.in_atomic_block:
        with transaction.atomic(durable=True):
            return store_prepared(prepared)
    return store_prepared(prepared)


def prepare_events(
    events: Sequence[IncomingEvent | Refusal], *, source: str, now: datetime, bounds: TimeBounds
) -> Prepared:
    """Check events and find the ids behind their codes. Outside a transaction: what it writes down is remembered."""
    columns = plain_columns(events, source=source, now=now, bounds=bounds)
    if columns is not None:
        return Prepared(events, columns, None, (), source, now, bounds)
    sorting = sort_offers(events, source=source, now=now, bounds=bounds)
    rows = _match(sorting, source=source, now=now)
    unmatched = [row for row in rows if row.meter_code is not None]
    return Prepared(events, columns_of(rows), sorting, unmatched, source, now, bounds)


def store_prepared(prepared: Prepared) -> BatchResult:
    """Store what was prepared. Inside a transaction of the caller's it has to commit before anybody is told.

    Outside one, the new events and their ledger row are one statement and so committed together. What became of keys
    used before is written down after it: cut off between the two, nobody was told, and sending again tells it.
    """
    sorting = prepared.sorting
    batch = new_uuid7()
    stored = insert_columns(
        prepared.columns,
        batch=batch,
        source=prepared.source,
        received_at=prepared.received_at,
        rejected=0 if sorting is None else len(sorting.results),
    )
    keys = tuple([event.key for event in prepared.events])
    if sorting is None:
        if stored is None:
            return BatchResult(batch, keys, {})
        sorting = sort_offers(
            prepared.events, source=prepared.source, now=prepared.received_at, bounds=prepared.bounds
        )
    if stored is not None:
        sorting.again += [offer for offer in sorting.first.values() if offer.id not in stored]
    for row in prepared.unmatched:
        if stored is None or row.id in stored:
            offer = sorting.first[row.id]
            sorting.results[offer.place] = _unmatched_result(offer, row)
    if sorting.again:
        with transaction.atomic():
            compare_repeated(sorting, batch=batch, source=prepared.source, now=prepared.received_at)
    return BatchResult(batch, keys, sorting.results)


def _match(sorting: Sorting, *, source: str, now: datetime) -> list[Row]:
    """Make rows of the first offers, with ids for the codes that exist; drop what the meter refuses."""
    offers = sorting.first.values()
    meters = catalog.meters.find(offer.event.meter for offer in offers)
    customers = catalog.customers.find(offer.event.customer for offer in offers)
    workloads = catalog.workload_names(
        (o.event.workload for o in offers if o.event.workload is not None), now=now
    )
    rows = []
    for offer in list(offers):
        event = offer.event
        meter = meters.get(event.meter)
        customer_id = customers.get(event.customer)
        refusal = requirement_refusal(meter, event) if meter is not None else None
        if refusal is not None:
            sorting.reject(offer.place, refusal)
            del sorting.first[offer.id]
            continue
        matched = meter is not None and customer_id is not None
        signal, target_id, subject = signal_columns(event, source=source)
        rows.append(
            Row(
                id=offer.id,
                key=event.key or "",
                meter_id=meter.id if meter else None,
                customer_id=customer_id,
                workload_id=workloads[event.workload] if event.workload is not None else None,
                value=event.value,
                occurred_at=offer.occurred_at.astimezone(UTC).isoformat(),
                subject=subject,
                dimensions=encode_json(event.dimensions).decode() if event.dimensions else None,
                meter_code=None if matched else event.meter,
                customer_code=None if matched else event.customer,
                signal=signal,
                target_id=target_id,
            )
        )
    return rows


def _unmatched_result(offer: Offer, row: Row) -> EventResult:
    if row.meter_id is None:
        code, field_, name = "unknown_meter", "meter", row.meter_code or ""
    else:
        code, field_, name = "unknown_customer", "customer", row.customer_code or ""
    message = f"There is no {field_} “{name}” yet. The event is kept and counts once it exists."
    return EventResult(offer.place, row.key, ResultStatus.UNMATCHED, code, message, field_)
