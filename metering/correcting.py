"""Taking back and replacing stored events. A correction is a new fact: the event stays, and says why it does not count.

A void marks the event with a ledger batch of kind `corrected` that spans the event's time, so whoever counts up to a
position, or looks for closed periods that changed, finds it like a late event. An amendment is a void and a new event
in one transaction. The new event takes the same way in as any other; its key is the old one with a number: "evt-1" is
replaced by "evt-1#2", and that by "evt-1#3".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from metering.errors import CorrectionRefused, EventVoided, UnknownEvent
from metering.event_results import EventResult, ResultStatus
from metering.histories import chain_of
from metering.identity import new_uuid7
from metering.incoming import MAX_KEY, IncomingEvent, Refusal, TimeBounds, decode_event, event_id
from metering.ingesting import prepare_events, store_prepared
from metering.models import BatchKind, CorrectionKind, Event, EventBatch, EventCorrection
from metering.storing import stored_contents

MAX_REASON = 1_000
# What an amendment may change; the key and the source stay with the event.
AMENDABLE = ("meter", "customer", "value", "occurred_at", "subject", "workload", "dimensions")
# An event that was taken once may keep its time, however long ago.
ANY_TIME = TimeBounds(max_age=timedelta(days=365_000), max_ahead=timedelta(days=365_000))


@dataclass(frozen=True, slots=True)
class Amendment:
    """A correction and what became of the event that replaces the old one: accepted, or unmatched."""

    correction: EventCorrection
    replacement: EventResult


def find_event(key: str, *, source: str) -> Event:
    """Give the event that a source sent under a key. Raises UnknownEvent; another source's events are unknown too."""
    event = Event.objects.filter(pk=event_id(source, key), source=source).first()
    if event is None:
        raise UnknownEvent(f"There is no event with the key “{key}”.")
    return event


def void_event(event: Event, *, reason: str, by: str, now: datetime) -> EventCorrection:
    """Take an event out of every count, committed on return. Raises EventVoided when it was corrected before."""
    reason = _checked_reason(reason)
    with transaction.atomic(durable=True):
        return _correct(event, CorrectionKind.VOID, None, reason=reason, by=by, now=now)


def amend_event(
    event: Event, changes: Mapping[str, Any], *, reason: str, by: str, now: datetime, bounds: TimeBounds
) -> Amendment:
    """Replace an event by one with other content, committed on return.

    `changes` names fields of AMENDABLE with values as the event API takes them; None takes an optional field away.
    Raises EventVoided when the event was corrected before, and CorrectionRefused, with nothing written, when nothing
    would change or the new content is not acceptable. Only a time that changes has to lie within `bounds`.
    """
    reason = _checked_reason(reason)
    _refuse_if_voided(event)
    if event.signal is not None:
        message = f"An event that {event.signal} an outcome cannot be amended. Void it and send another."
        raise CorrectionRefused(message, code="signal_not_amended")
    replacement = _replacement(event, changes)
    prepared = prepare_events(
        [replacement],
        source=event.source,
        now=now,
        bounds=bounds if "occurred_at" in changes else ANY_TIME,
    )
    with transaction.atomic(durable=True):
        new_id = UUID(hex=event_id(event.source, replacement.key or ""))
        correction = _correct(event, CorrectionKind.AMEND, new_id, reason=reason, by=by, now=now)
        result = store_prepared(prepared).results[0]
        if result.status not in (ResultStatus.ACCEPTED, ResultStatus.UNMATCHED):
            raise CorrectionRefused(
                result.message or str(result.status), code=result.code, field=result.field
            )
    return Amendment(correction, result)


def correction_of(event: Event) -> EventCorrection | None:
    """Give the correction that took an event back, if there is one."""
    return EventCorrection.objects.filter(event_id=event.pk).first()


def _correct(
    event: Event, kind: CorrectionKind, replacement_id: UUID | None, *, reason: str, by: str, now: datetime
) -> EventCorrection:
    """Mark an event and write down why, with its ledger batch. The row lock lets one of two at once win."""
    locked = Event.objects.select_for_update().get(pk=event.pk)
    _refuse_if_voided(locked)
    batch = EventBatch.objects.create(
        id=new_uuid7(),
        kind=BatchKind.CORRECTED,
        source=event.source,
        received_at=now,
        stored=1,
        first_occurred_at=event.occurred_at,
        last_occurred_at=event.occurred_at,
        has_signals=event.signal is not None,
    )
    Event.objects.filter(pk=event.pk).update(voided_batch_id=batch.pk)
    return EventCorrection.objects.create(
        event_id=event.pk,
        customer_id=locked.customer_id,
        kind=kind,
        replacement_id=replacement_id,
        reason=reason,
        by=by,
        at=now,
        batch_id=batch.pk,
    )


def _checked_reason(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise CorrectionRefused(
            "Say why: the reason stays with the event.", code="reason_required", field="reason"
        )
    if len(reason) > MAX_REASON:
        message = f"The reason is longer than {MAX_REASON} characters."
        raise CorrectionRefused(message, code="invalid_reason", field="reason")
    return reason


def _refuse_if_voided(event: Event) -> None:
    if event.voided_batch_id is None:
        return
    correction = correction_of(event)
    if correction is None:
        raise EventVoided(f"The event “{event.key}” was voided before.", field="key")
    sentence = (
        f"The event “{event.key}” was {correction.get_kind_display().lower()} on {correction.at:%Y-%m-%d}"
    )
    if correction.replacement_id is not None:
        replacement = Event.objects.get(pk=correction.replacement_id)
        sentence += f"; correct “{replacement.key}”, which replaced it"
    raise EventVoided(f"{sentence}. Reason given: {correction.reason}", field="key")


def _replacement(event: Event, changes: Mapping[str, Any]) -> IncomingEvent:
    """Give the event with its new content and key. Raises CorrectionRefused naming what is wrong."""
    unknown = sorted(set(changes) - set(AMENDABLE))
    if unknown:
        message = f"{unknown[0]} cannot be amended. What can: {', '.join(AMENDABLE)}."
        raise CorrectionRefused(message, code="unknown_field", field=unknown[0])
    stored = stored_contents([event.pk.hex])[event.pk.hex]
    content: dict[str, Any] = {
        "meter": stored.meter,
        "customer": stored.customer,
        "value": stored.value,
        "occurred_at": stored.occurred_at.isoformat(),
        "subject": stored.subject,
        "workload": stored.workload,
        "dimensions": stored.dimensions,
        **changes,
        "key": _next_key(event),
    }
    sent = {name: value for name, value in content.items() if value is not None}
    decoded = decode_event(json.dumps(sent, default=_decimal_text).encode())
    if isinstance(decoded, Refusal):
        raise CorrectionRefused(decoded.message, code=decoded.code, field=decoded.field)
    if _same(decoded, stored):
        message = "Nothing would change. Send what is to be different, or void the event."
        raise CorrectionRefused(message, code="nothing_changed")
    return decoded


def _same(decoded: IncomingEvent, stored: Any) -> bool:
    try:
        occurred_at = datetime.fromisoformat(decoded.occurred_at)
    except ValueError:
        return False  # refused by name when it is stored
    return (
        occurred_at == stored.occurred_at
        and (decoded.dimensions or {}) == (stored.dimensions or {})
        and all(
            getattr(decoded, name) == getattr(stored, name)
            for name in ("meter", "customer", "value", "subject", "workload")
        )
    )


def _next_key(event: Event) -> str:
    """Give the first free key for a replacement: the original's with a number."""
    events = chain_of(event)
    number = len(events) + 1
    while True:
        mark = f"#{number}"
        key = events[0].key[: MAX_KEY - len(mark)] + mark
        if not Event.objects.filter(pk=event_id(event.source, key)).exists():
            return key
        number += 1


def _decimal_text(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{type(value).__name__} is not JSON")
