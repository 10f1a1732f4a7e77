"""Taking events in: check, deduplicate, store, and give a result per event.

`record_events` returns only after the database has committed: whatever it reports as stored is there.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from django.db import connection, transaction
from msgspec.json import encode as encode_json

from metering import catalog
from metering.columns import Columns, Row, columns_of
from metering.identity import new_uuid7
from metering.incoming import IncomingEvent, Refusal, TimeBounds, check_event, event_id
from metering.models import EventConflict
from metering.plain_batches import plain_columns
from metering.requirements import requirement_refusal
from metering.storing import Content, add_repeated, insert_columns, stored_contents


class ResultStatus(StrEnum):
    """What became of one event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    UNMATCHED = "unmatched"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class EventResult:
    """What became of one event, by its place in what was sent; code and message where it was not accepted."""

    index: int
    key: str | None
    status: ResultStatus
    code: str | None = None
    message: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch: its ledger id, and the results of the events that were not accepted, by place.

    `keys` are the keys of all its events in the order sent.
    """

    batch: uuid.UUID
    keys: tuple[str | None, ...]
    exceptions: Mapping[int, EventResult]

    @property
    def results(self) -> list[EventResult]:
        """A result per event in the order sent."""
        return [
            self.exceptions.get(place) or EventResult(place, key, ResultStatus.ACCEPTED)
            for place, key in enumerate(self.keys)
        ]

    @property
    def counts(self) -> Counter[ResultStatus]:
        counts = Counter(result.status for result in self.exceptions.values())
        counts[ResultStatus.ACCEPTED] = len(self.keys) - len(self.exceptions)
        return counts


class _Offer(NamedTuple):
    """An event that may be stored, and the place it was sent in."""

    place: int
    id: str
    event: IncomingEvent
    occurred_at: datetime


@dataclass(slots=True)
class _Sorting:
    """What is not accepted so far by place, the first offer of each key, and the offers of a key used before."""

    results: dict[int, EventResult] = field(default_factory=dict)
    first: dict[str, _Offer] = field(default_factory=dict)
    again: list[_Offer] = field(default_factory=list)

    def reject(self, index: int, refusal: Refusal) -> None:
        self.results[index] = EventResult(
            index,
            refusal.key,
            ResultStatus.REJECTED,
            refusal.code,
            refusal.message,
            refusal.field,
        )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that was checked and may be stored, once. `sorting` is None when every event of it is plain."""

    events: Sequence[IncomingEvent | Refusal]
    columns: Columns
    sorting: _Sorting | None
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
    sorting = _sort(events, source=source, now=now, bounds=bounds)
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
        sorting = _sort(
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
            _compare(sorting, batch=batch, source=prepared.source, now=prepared.received_at)
    return BatchResult(batch, keys, sorting.results)


def _sort(
    events: Sequence[IncomingEvent | Refusal],
    *,
    source: str,
    now: datetime,
    bounds: TimeBounds,
) -> _Sorting:
    sorting = _Sorting()
    for index, event in enumerate(events):
        if isinstance(event, Refusal):
            sorting.reject(index, event)
            continue
        checked = check_event(event, now=now, bounds=bounds)
        if isinstance(checked, Refusal):
            sorting.reject(index, checked)
            continue
        assert event.key is not None  # check_event refuses a missing key
        offer = _Offer(index, event_id(source, event.key), event, checked)
        if offer.id in sorting.first:
            sorting.again.append(offer)
        else:
            sorting.first[offer.id] = offer
    return sorting


def _match(sorting: _Sorting, *, source: str, now: datetime) -> list[Row]:
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


def _unmatched_result(offer: _Offer, row: Row) -> EventResult:
    if row.meter_id is None:
        code, field_, name = "unknown_meter", "meter", row.meter_code or ""
    else:
        code, field_, name = "unknown_customer", "customer", row.customer_code or ""
    message = f"There is no {field_} “{name}” yet. The event is kept and counts once it exists."
    return EventResult(offer.place, row.key, ResultStatus.UNMATCHED, code, message, field_)


def _compare(sorting: _Sorting, *, batch: uuid.UUID, source: str, now: datetime) -> None:
    """Tell duplicates from conflicts: the key was used before, in this batch or an earlier one."""
    contents = stored_contents([offer.id for offer in sorting.again])
    conflicts = []
    for offer in sorting.again:
        event = offer.event
        stored = contents.get(offer.id)
        if stored is None:
            # Its first offer in this batch was refused, so nothing carries the key: this one stands alone next time.
            message = (
                "The same key stands earlier in this batch in an event that was refused. Send this one again."
            )
            sorting.reject(offer.place, Refusal("key_repeated", message, "key", event.key))
        elif difference := _difference(stored, offer, source=source):
            message = f"This key was used before for an event with another {', '.join(difference)}."
            sorting.results[offer.place] = EventResult(
                offer.place,
                event.key,
                ResultStatus.CONFLICT,
                "key_conflict",
                message,
                "key",
            )
            conflicts.append(_conflict(offer, batch=batch, source=source, now=now))
        else:
            sorting.results[offer.place] = EventResult(offer.place, event.key, ResultStatus.DUPLICATE)
    EventConflict.objects.bulk_create(conflicts)
    duplicates = sum(1 for o in sorting.again if sorting.results[o.place].status is ResultStatus.DUPLICATE)
    add_repeated(
        batch,
        duplicates=duplicates,
        conflicts=len(conflicts),
        rejected=len(sorting.again) - duplicates - len(conflicts),
    )


def signal_columns(event: IncomingEvent, *, source: str) -> tuple[str | None, str | None, str | None]:
    """Give signal, id of the target and subject as they are stored; a signal is about a key of its own source."""
    signal = event.signal
    if signal is None:
        return None, None, event.subject
    name, target = signal
    target_id = None if target.key is None else event_id(source, target.key)
    return str(name), target_id, event.subject or target.subject


def _difference(stored: Content, offer: _Offer, *, source: str) -> list[str]:
    """Name the fields in which an offered event differs from what its key stands for."""
    event = offer.event
    signal, target_id, subject = signal_columns(event, source=source)
    pairs = {
        "meter": (stored.meter, event.meter),
        "customer": (stored.customer, event.customer),
        "value": (stored.value, event.value),
        "occurred_at": (stored.occurred_at, offer.occurred_at if event.dated else stored.occurred_at),
        "subject": (stored.subject, subject),
        "signal": (stored.signal, signal),
        "target": (stored.target_id, target_id),
        "workload": (stored.workload, event.workload),
        "dimensions": (stored.dimensions or {}, event.dimensions or {}),
    }
    names = [name for name, (was, offered) in pairs.items() if was != offered]
    if stored.key.lower() != (event.key or "").lower():
        names.append("key")
    return names


def _conflict(offer: _Offer, *, batch: uuid.UUID, source: str, now: datetime) -> EventConflict:
    event = offer.event
    signal, target_id, subject = signal_columns(event, source=source)
    return EventConflict(
        event_id=offer.id,
        source=source,
        key=event.key or "",
        batch_id=batch,
        received_at=now,
        offered={
            "meter": event.meter,
            "customer": event.customer,
            "value": None if event.value is None else str(event.value),
            "occurred_at": offer.occurred_at.isoformat(),
            "subject": subject,
            "workload": event.workload,
            "dimensions": event.dimensions or {},
            "signal": signal,
            "target_id": target_id,
        },
    )
