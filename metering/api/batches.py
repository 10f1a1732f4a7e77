"""The body of `POST events/`: one event or a list, read without building anything per field."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, NoReturn

import msgspec
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from customers.api.bodies import TooLarge, read_body
from customers.api.parsing import is_storable
from metering.incoming import MAX_KEY, IncomingEvent, Refusal, decode_event, decode_events
from metering.sources import SentEvent

EXPECTED = "Send one event, which is an object, or a list of events."
# Many times the commas that a body of events can need: more is a list of far too many tiny values,
# refused before memory is spent on each of them.
MAX_COMMAS = 1_000_000


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_list = msgspec.json.Decoder(list[msgspec.Raw])
_plain = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=str, parse_int=str)
_any = msgspec.json.Decoder(msgspec.Raw)  # checks that it is JSON and builds nothing


@dataclass(frozen=True, slots=True)
class Batch:
    """What was sent, decoded one by one; `single` when it was one event and not a list.

    `sent` names places and sources of the events where they are not simply 0, 1, 2 and the sender's.
    `status_tells` says that the sender reads no answer, only its status.
    """

    events: list[IncomingEvent | Refusal]
    single: bool
    sent: list[SentEvent] | None = None
    status_tells: bool = False


class EventBatchParser(BaseParser):
    """Parses a JSON body into a `Batch`."""

    media_type = "application/json"

    def parse(  # type: ignore[override]  # the view alone reads what comes out
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Batch:
        assert parser_context is not None
        return read_batch(parser_context["request"])


def read_batch(request: Request) -> Batch:
    """Give the event or list of events sent. Raises ParseError for what is neither, TooLarge for too many.

    An event that is wrong by itself becomes a `Refusal` in its place and leaves the others alone.
    """
    body = _text_of(request, expected=EXPECTED)
    # No more than so many can become events: a list of tiny elements fails at the first.
    if body.startswith(b"[") and body.count(b'"occurred_at"') <= settings.EVENT_BATCH_MAX:
        events = decode_events(body)
        if events is not None and len(events) <= settings.EVENT_BATCH_MAX:
            return Batch([*events], single=False)
    found = _objects(body, expected=EXPECTED)
    if isinstance(found, bytes):
        return Batch([_with_header_key(decode_event(found), request)], single=True)
    return Batch([decode_event(raw) for raw in found], single=False)


def read_objects(request: Request, *, expected: str) -> bytes | Sequence[msgspec.Raw | bytes]:
    """Give the text of one JSON object, or the texts of the elements of a list. Raises ParseError or TooLarge."""
    return _objects(_text_of(request, expected=expected), expected=expected)


def _text_of(request: Request, *, expected: str) -> bytes:
    body = read_body(request).removeprefix(codecs.BOM_UTF8).strip(b" \t\r\n")
    if not body:
        raise ParseError(f"The body is empty. {expected}")
    if not _is_utf8(body):
        raise ParseError("The body is not UTF-8 text. Send JSON in UTF-8.")
    return body


def _objects(body: bytes, *, expected: str) -> bytes | Sequence[msgspec.Raw | bytes]:
    try:
        if body.startswith(b"["):
            return _elements(body)
        _check(body)
    except RecursionError as broken:
        raise ParseError(f"The body is nested too deeply. {expected}") from broken
    except ValueError as broken:
        raise ParseError(f"The body is not readable JSON: {broken}. {expected}") from broken
    if not body.startswith(b"{"):
        raise ParseError(f"The body is JSON, but not an event. {expected}")
    return body


def _elements(body: bytes) -> Sequence[msgspec.Raw | bytes]:
    limit = settings.EVENT_BATCH_MAX
    too_many = TooLarge(f"A batch holds {limit:,} events at most. Send the rest in further batches.")
    if len(body) > MAX_COMMAS and body.count(b",") > MAX_COMMAS:
        raise too_many
    elements: Sequence[msgspec.Raw | bytes]
    try:
        elements = _list.decode(body)
    except msgspec.DecodeError:
        elements = _split(body.decode())
    if len(elements) > limit:
        raise too_many
    return elements


def _check(body: bytes) -> None:
    try:
        _any.decode(body)
    except msgspec.DecodeError:
        _plain.decode(body.decode())


def _split(text: str) -> list[bytes]:
    """Cut a list into its elements, slower but laxer: half a surrogate pair is the fault of its own event only.

    Raises ValueError when the text is not a JSON list.
    """
    elements = []
    place = _skip(text, 1)
    while text[place : place + 1] != "]":
        _, end = _plain.raw_decode(text, place)
        elements.append(text[place:end].encode())
        place = _skip(text, end)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
            if text[place : place + 1] != "]":
                continue
        elif text[place : place + 1] == "]":
            break
        raise json.JSONDecodeError("Expecting ',' and another event, or ']'", text, place)
    if _skip(text, place + 1) != len(text):
        raise json.JSONDecodeError("Extra data", text, place + 1)
    return elements


def _skip(text: str, place: int) -> int:
    while text[place : place + 1] in {" ", "\t", "\r", "\n"}:
        place += 1
    return place


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _with_header_key(event: IncomingEvent | Refusal, request: Request) -> IncomingEvent | Refusal:
    """Give a single event without a key the one of its Idempotency-Key header."""
    header = request.headers.get("Idempotency-Key")
    if header is None or not isinstance(event, IncomingEvent) or event.key is not None:
        return event
    key = _header_text(header.strip())
    if key is None or not 1 <= len(key) <= MAX_KEY or not key.isprintable() or not is_storable(key):
        message = f"The Idempotency-Key header must be 1 to {MAX_KEY} printable characters."
        return Refusal("invalid_key", message, "key")
    return msgspec.structs.replace(event, key=key)


def _header_text(header: str) -> str | None:
    """Read a header as UTF-8; servers hand headers over as Latin-1. None when it is neither."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeEncodeError:
        return header
    except UnicodeDecodeError:
        return None
