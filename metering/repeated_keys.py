"""Events whose key was used before: a duplicate says the same, a conflict something else."""

from __future__ import annotations

import uuid
from datetime import datetime

from metering.event_results import EventResult, ResultStatus
from metering.incoming import Refusal
from metering.models import EventConflict
from metering.offers import Offer, Sorting, signal_columns
from metering.storing import Content, add_repeated, stored_contents


def compare_repeated(sorting: Sorting, *, batch: uuid.UUID, source: str, now: datetime) -> None:
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


def _difference(stored: Content, offer: Offer, *, source: str) -> list[str]:
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


def _conflict(offer: Offer, *, batch: uuid.UUID, source: str, now: datetime) -> EventConflict:
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
