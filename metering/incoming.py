"""What an event must look like: decoding and checking one event, without the database.

`decode_event` turns JSON text into an `IncomingEvent` or a `Refusal`; `check_event` holds the rules that need no
catalog.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from metering.meter_types import Signal
from metering.refusal_words import what_to_send
from metering.repeated_fields import are_names_as_many, repeated_field

MAX_KEY = 255
MAX_TEXT = 255
MAX_DIMENSIONS = 50
MAX_INTEGER_DIGITS = 20
MAX_SCALE = 18

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)]
DimensionName = Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
DimensionValue = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
# Beyond microseconds digits are cut off, never rounded: rounding could carry an event into the next month.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,12})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Target(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """The outcome that a signal is about: the event of a key of the same source, or all outcomes of a subject."""

    key: Key | None = None
    subject: Name | None = None


class IncomingEvent(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """One event as an integration sends it. `value` is exact; None means that none was sent.

    `reverses` and `confirms` make it a signal about an outcome, in place of a value. `dated` tells that the sender
    said when it happened; without that, `occurred_at` is when it came here first.
    """

    dated: ClassVar[bool] = True

    meter: Name
    customer: Name
    occurred_at: str
    key: Key | None = None
    value: Decimal | None = None
    subject: Name | None = None
    workload: Name | None = None
    dimensions: dict[DimensionName, DimensionValue] | None = None
    reverses: Target | None = None
    confirms: Target | None = None

    @property
    def signal(self) -> tuple[Signal, Target] | None:
        """What the event says about an outcome, and about which; None when it is no signal."""
        if self.reverses is not None:
            return Signal.REVERSES, self.reverses
        if self.confirms is not None:
            return Signal.CONFIRMS, self.confirms
        return None


class UndatedEvent(IncomingEvent, frozen=True, gc=False):
    """An event whose sender did not say when it happened. Sent again, it is the same event in spite of its time."""

    dated: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one event is not stored. `key` is given back where it could be read."""

    code: str
    message: str
    field: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """How far from the clock an event may lie; the clock is in UTC."""

    max_age: timedelta
    max_ahead: timedelta

    def refusal(self, occurred_at: datetime, now: datetime) -> tuple[str, str] | None:
        """Give code and sentence when an instant is out of bounds."""
        if occurred_at < now - self.max_age:
            return "too_old", (
                f"occurred_at is more than {self.max_age.days} days ago; "
                f"the earliest accepted is {now - self.max_age:%Y-%m-%dT%H:%M:%SZ}."
            )
        if occurred_at > now + self.max_ahead:
            hours = self.max_ahead.total_seconds() / 3600
            return "too_far_ahead", (
                f"occurred_at is more than {hours:g} {'hour' if hours == 1 else 'hours'} ahead; "
                f"the latest accepted is {now + self.max_ahead:%Y-%m-%dT%H:%M:%SZ}."
            )
        return None


_decoder = msgspec.json.Decoder(IncomingEvent)
_list_decoder = msgspec.json.Decoder(list[IncomingEvent])
_key_decoder = msgspec.json.Decoder(dict[str, object])
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
# The two upper bits of this digit are the variant, always 10; the lower two are kept.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_PATH = re.compile(r" - at (?P<name>`key` in )?`\$(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")


def decode_event(raw: bytes | msgspec.Raw) -> IncomingEvent | Refusal:
    """Decode one JSON object strictly: a field that is unknown, missing, of another type or sent twice is a refusal."""
    try:
        event = _decoder.decode(raw)
    except msgspec.ValidationError as problem:
        return refusal_of(problem, key=_readable_key(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        return Refusal("invalid_json", f"The event is not readable JSON: {problem}.")
    text = bytes(raw)
    if not are_names_as_many(text, (event,)) and (name := repeated_field(text)) is not None:
        return repeated_refusal(name, key=event.key)
    return event


def decode_events(raw: bytes) -> list[IncomingEvent] | None:
    """Decode a JSON list at once when `decode_event` refuses none of its elements; else give None."""
    try:
        events = _list_decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return events if are_names_as_many(raw, events) else None


def parse_instant(text: str) -> datetime | None:
    """Read an RFC 3339 time with a zone; None when it is not one."""
    if not _INSTANT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:  # the shape is right but there is no such day or hour
        return None


def event_id(source: str, key: str) -> str:
    """Give the primary key of an event as 32 hexadecimal digits.

    It is the key itself where that is a UUID, else made of SHA-256 of source and key: version 8 of RFC 9562, a UUID of
    our own making.
    """
    if len(key) == 36 and _UUID.fullmatch(key):
        return key.replace("-", "").lower()
    digest = hashlib.sha256(b"%d:%b%b" % (len(source), source.encode(), key.encode())).hexdigest()
    return f"{digest[:12]}8{digest[13:16]}{_VARIANT[digest[16]]}{digest[17:32]}"


def check_event(event: IncomingEvent, *, now: datetime, bounds: TimeBounds) -> datetime | Refusal:
    """Give the event's instant, or the first reason why it cannot be stored whatever meters and customers exist."""
    if event.key is None:
        return Refusal(
            "key_required",
            "key is missing. Send a key of your own that names this event for ever.",
            "key",
        )
    # Plain text is told by one look at all of it together.
    if not _plain(f"{event.key}{event.meter}{event.customer}{event.subject}{event.workload}"):
        for field in ("key", "meter", "customer", "subject", "workload"):
            if is_storable(getattr(event, field) or ""):
                continue
            return Refusal(
                "invalid_text",
                f"{field} contains a character that cannot be stored.",
                field,
                event.key,
            )
    occurred_at = parse_instant(event.occurred_at)
    if occurred_at is None:
        message = "occurred_at: expected an RFC 3339 time with a zone, such as 2026-10-03T10:00:00Z."
        return Refusal("invalid_occurred_at", message, "occurred_at", event.key)
    out_of_bounds = bounds.refusal(occurred_at, now)
    if out_of_bounds is not None:
        return Refusal(*out_of_bounds, "occurred_at", event.key)
    if event.value is not None:
        problem = _value_problem(event.value)
        if problem is not None:
            return Refusal("invalid_value", problem, "value", event.key)
    refusal = _dimensions_refusal(event) if event.dimensions else None
    if refusal is None and (event.reverses is not None or event.confirms is not None):
        refusal = _signal_refusal(event)
    return refusal or occurred_at


def _signal_refusal(event: IncomingEvent) -> Refusal | None:
    """Give the reason why a reversal or confirmation is none."""
    if event.reverses is not None and event.confirms is not None:
        message = "An event reverses or confirms an outcome, not both. Send two events."
        return Refusal("invalid_confirms", message, "confirms", event.key)
    assert event.signal is not None
    name, target = event.signal
    if event.value is not None:
        message = f"An event that {name} an outcome carries no value. Leave it out."
        return Refusal("invalid_value", message, "value", event.key)
    if (target.key is None) == (target.subject is None):
        message = (
            f'{name}: name one outcome by {{"key": "evt-1"}}, or those of a {{"subject": "ticket-4711"}}.'
        )
        return Refusal(f"invalid_{name}", message, str(name), event.key)
    if not is_storable(target.key or target.subject or ""):
        return Refusal(
            "invalid_text", f"{name} contains a character that cannot be stored.", str(name), event.key
        )
    if target.subject is not None and event.subject not in (None, target.subject):
        message = f"subject is “{event.subject}”, but {name} names another. Leave one of them out."
        return Refusal("invalid_subject", message, "subject", event.key)
    return None


def _dimensions_refusal(event: IncomingEvent) -> Refusal | None:
    dimensions = event.dimensions or {}
    if len(dimensions) > MAX_DIMENSIONS:
        message = f"An event carries {MAX_DIMENSIONS} dimensions at most; this one has {len(dimensions)}."
        return Refusal("too_many_dimensions", message, "dimensions", event.key)
    for name, value in dimensions.items():
        if not (is_storable(name) and is_storable(value)):
            message = f"dimensions.{name!a} contains a character that cannot be stored."
            return Refusal("invalid_text", message, "dimensions", event.key)
    return None


def _plain(text: str) -> bool:
    return text.isascii() and "\x00" not in text


def is_storable(text: str) -> bool:
    if "\x00" in text:
        return False
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _value_problem(value: Decimal) -> str | None:
    if not value.is_finite():
        return "value must be a number; NaN and infinity cannot be counted."
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if -exponent > MAX_SCALE:
        return f"value has more than {MAX_SCALE} decimal places."
    if value and len(digits) + exponent > MAX_INTEGER_DIGITS:
        return f"value has more than {MAX_INTEGER_DIGITS} digits before the decimal point."
    return None


def _readable_key(raw: bytes | msgspec.Raw) -> str | None:
    try:
        key = _key_decoder.decode(raw).get("key")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return key if isinstance(key, str) and is_storable(key) else None


def refusal_of(problem: msgspec.ValidationError, *, key: str | None) -> Refusal:
    """Say what is wrong with an event whose fields are not what an event has."""
    text = str(problem)
    unknown = _UNKNOWN.search(text)
    if unknown:
        name = unknown["name"]
        return Refusal(
            "unknown_field",
            f"{name} is not a field of an event. Remove or rename it.",
            name,
            key,
        )
    missing = _MISSING.search(text)
    if missing:
        name = missing["name"]
        return Refusal(f"{name}_required", f"{name} is missing.", name, key)
    path = _PATH.search(text)
    field = path["path"].lstrip(".").split("[")[0].split(".")[0] if path else ""
    if path is None or not field:
        return Refusal("invalid_event", "An event is a JSON object with named fields.", None, key)
    reason = what_to_send(field, _PATH.sub("", text), is_name=path["name"] is not None)
    return Refusal(f"invalid_{field}", f"{field}: {reason}.", field, key)


def repeated_refusal(path: str, *, key: str | None) -> Refusal:
    """Say which field an event has twice."""
    field = path if is_storable(path) and len(path) <= MAX_TEXT else path.split(".", maxsplit=1)[0]
    return Refusal("repeated_field", f"{field} is sent twice. Send it once.", field, key)
