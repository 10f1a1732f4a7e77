"""CloudEvents 1.0 as usage: which attribute means what, and what a usage event needs of them.

`id` is the key, `source` the source it is unique in, `type` the meter, `time` when it happened. `subject` is the
customer, as other meters of CloudEvents have it, unless `data` names one: then it is the subject. `data` holds what
CloudEvents have no attribute for: value, dimensions, workload, and customer, subject or occurred_at.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from urllib.parse import unquote

import msgspec

from metering.incoming import (
    DimensionName,
    DimensionValue,
    IncomingEvent,
    Key,
    Name,
    Refusal,
    UndatedEvent,
    is_storable,
    refusal_of,
    repeated_refusal,
)
from metering.models import EventBatch
from metering.repeated_fields import repeated_field
from metering.sources import SentEvent

MAX_SOURCE = EventBatch._meta.get_field("source").max_length or 0
# Intermediaries add attributes of their own (tracing, arrival): they say nothing about usage. These would.
MEANT_FOR_DATA = frozenset({"customer", "dimensions", "key", "meter", "value", "workload"})
_EXTENSION = re.compile(r"[a-z0-9]+")
_JSON_TYPE = re.compile(r"application/json|[\w.+-]+/[\w.+-]+\+json|text/json", re.ASCII | re.IGNORECASE)
_IN_DATA = {"customer", "dimensions", "value", "workload", "subject", "occurred_at"}


class CloudEvent(msgspec.Struct, frozen=True):
    """The attributes of a CloudEvent."""

    specversion: str
    id: Key
    source: str
    type: Name
    subject: Name | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    data_base64: str | None = None


class UsageData(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The data of a CloudEvent that is a usage event."""

    customer: Name | None = None
    value: Decimal | None = None
    dimensions: dict[DimensionName, DimensionValue] | None = None
    workload: Name | None = None
    subject: Name | None = None
    occurred_at: str | None = None


_envelope = msgspec.json.Decoder(CloudEvent)
_names = msgspec.json.Decoder(dict[str, msgspec.Raw])
_data = msgspec.json.Decoder(UsageData | None)


def from_json(raw: bytes | msgspec.Raw, *, place: int, now: datetime) -> SentEvent:
    """Read a CloudEvent in the JSON format. `now` is its time when it carries none."""
    try:
        event = _envelope.decode(raw)
        names = _names.decode(raw)
        repeated = repeated_field(bytes(raw))
    except msgspec.ValidationError as problem:
        return SentEvent(place, refusal_of(problem, key=_readable_id(raw)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        return SentEvent(place, Refusal("invalid_json", f"The event is not readable JSON: {problem}."))
    if repeated is not None:
        return SentEvent(place, repeated_refusal(repeated, key=event.id))
    return _sent(event, names, place=place, now=now)


def from_headers(headers: Mapping[str, str], body: bytes, *, content_type: str, now: datetime) -> SentEvent:
    """Read a CloudEvent in binary mode: attributes by name without `ce-`, the data as the body."""
    key = headers.get("id")
    attributes: dict[str, object] = {}
    for name, text in headers.items():
        decoded = _header_text(text)
        if decoded is None:
            return SentEvent(0, Refusal("invalid_text", f"The header ce-{name} is not UTF-8.", name, key))
        attributes[name] = decoded
    for name in ("data", "data_base64", "datacontenttype"):
        if name in attributes:
            message = (
                f"ce-{name} is no attribute in binary mode: the body is the data, Content-Type its type."
            )
            return SentEvent(0, Refusal("unknown_field", message, name, key))
    try:
        event = msgspec.convert(attributes, CloudEvent)
    except msgspec.ValidationError as problem:
        return SentEvent(0, refusal_of(problem, key=key))
    event = msgspec.structs.replace(
        event, data=msgspec.Raw(body or b"null"), datacontenttype=content_type or None
    )
    return _sent(event, attributes, place=0, now=now)


def _sent(event: CloudEvent, names: Iterable[str], *, place: int, now: datetime) -> SentEvent:
    """Give the usage event; a refusal where CloudEvents or usage events forbid what is sent."""
    refusal = _envelope_refusal(event, names)
    if refusal is not None:
        return SentEvent(place, refusal)
    data = _usage_data(event)
    found = data if isinstance(data, Refusal) else _usage_event(event, data, now=now)
    return SentEvent(place, found, event.source)


def _envelope_refusal(event: CloudEvent, names: Iterable[str]) -> Refusal | None:
    if event.specversion != "1.0":
        message = f"specversion: expected “1.0”, found {event.specversion[:20]!a}."
        return Refusal("invalid_specversion", message, "specversion", event.id)
    if not 1 <= len(event.source) <= MAX_SOURCE or not event.source.isprintable():
        message = f"source: expected 1 to {MAX_SOURCE} printable characters."
        return Refusal("invalid_source", message, "source", event.id)
    for name in sorted(set(names) - set(CloudEvent.__struct_fields__)):
        if name in MEANT_FOR_DATA:
            message = f"{name} is no attribute of a CloudEvent. Send it in data."
        elif not _EXTENSION.fullmatch(name):
            message = f"{name[:50]!a} is no name of a CloudEvents attribute: only a to z and digits are."
        else:
            continue
        return Refusal("unknown_field", message, name if is_storable(name) else None, event.id)
    return None


def _usage_data(event: CloudEvent) -> UsageData | Refusal:
    content_type = (event.datacontenttype or "application/json").partition(";")[0].strip()
    raw: bytes | msgspec.Raw = event.data
    if event.data_base64 is not None:
        try:
            raw = base64.b64decode(event.data_base64, validate=True)
        except (binascii.Error, ValueError):
            message = "data_base64: expected base64."
            return Refusal("invalid_data", message, "data_base64", event.id)
        if bytes(event.data) != b"null":
            message = "data and data_base64 are both sent. Send one of them."
            return Refusal("invalid_data", message, "data_base64", event.id)
    try:
        if bytes(raw) != b"null" and not _JSON_TYPE.fullmatch(content_type):
            message = f"data: expected JSON (application/json), found {content_type[:50]!a}."
            return Refusal("invalid_data", message, "datacontenttype", event.id)
        data = _data.decode(raw) or UsageData()
        repeated = repeated_field(bytes(raw))
    except msgspec.ValidationError as problem:
        return _within_data(refusal_of(problem, key=event.id))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        return Refusal("invalid_data", f"data is not readable JSON: {problem}.", "data", event.id)
    return data if repeated is None else repeated_refusal(f"data.{repeated}", key=event.id)


def _within_data(refusal: Refusal) -> Refusal:
    if refusal.field is None:
        return replace(refusal, code="invalid_data", message="data: expected an object.", field="data")
    if refusal.code == "unknown_field":
        fields = ", ".join(sorted(_IN_DATA))
        message = f"data.{refusal.field} is not a field of usage. Known fields: {fields}."
        return replace(refusal, message=message, field=f"data.{refusal.field}")
    return replace(refusal, message=f"data.{refusal.message}", field=f"data.{refusal.field}")


def _usage_event(event: CloudEvent, data: UsageData, *, now: datetime) -> IncomingEvent | Refusal:
    customer, subject = data.customer, data.subject
    if customer is None:
        customer = event.subject
    elif subject is None:
        subject = event.subject
    elif event.subject not in (None, subject):
        message = "subject and data.subject differ. Send one of them."
        return Refusal("ambiguous_subject", message, "subject", event.id)
    if customer is None:
        message = "The customer is missing. Send its code as subject, or as data.customer."
        return Refusal("customer_required", message, "subject", event.id)
    occurred_at = event.time if data.occurred_at is None else data.occurred_at
    shape = UndatedEvent if occurred_at is None else IncomingEvent
    return shape(
        key=event.id,
        meter=event.type,
        customer=customer,
        occurred_at=now.isoformat() if occurred_at is None else occurred_at,
        value=data.value,
        subject=subject,
        workload=data.workload,
        dimensions=data.dimensions,
    )


def _header_text(text: str) -> str | None:
    """Undo the percent-encoding of a header; servers hand headers over as Latin-1. None when it is no UTF-8."""
    try:
        return unquote(text.encode("latin-1").decode(), errors="strict")
    except UnicodeError:
        return None


def _readable_id(raw: bytes | msgspec.Raw) -> str | None:
    try:
        key = msgspec.json.decode(_names.decode(raw).get("id", b"null"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return key if isinstance(key, str) and is_storable(key) else None
