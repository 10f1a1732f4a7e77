"""Bodies of lines for `POST events/`: newline-delimited JSON and CSV."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from customers.api.bodies import TooLarge, read_body
from metering.api.batches import Batch
from metering.lines import LineReader, csv_reader, read_json_line
from metering.sources import SentEvent


class NdjsonParser(BaseParser):
    """Parses one JSON object per line."""

    media_type = "application/x-ndjson"

    def parse(  # type: ignore[override]  # the view alone reads what comes out
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Batch:
        return _batch(_lines(parser_context), read_json_line)


class CsvParser(BaseParser):
    """Parses a header and one event per line below it."""

    media_type = "text/csv"

    def parse(  # type: ignore[override]  # the view alone reads what comes out
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Batch:
        header, *lines = _lines(parser_context)
        return _batch(lines, csv_reader(header))


def _lines(context: Mapping[str, Any] | None) -> list[bytes]:
    assert context is not None
    request: Request = context["request"]
    body = read_body(request).removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
    if not body.strip():
        raise ParseError("The body is empty. Send one event on each line.")
    # One line is the header, and empty ones are left out later; far more are refused before they take memory.
    if body.count(b"\n") > 10 * settings.EVENT_BATCH_MAX:
        raise _too_many()
    return body.split(b"\n")


def _batch(lines: list[bytes], read: LineReader) -> Batch:
    """Read each line; an event's place is that of its line, empty ones counted, a header not."""
    events = [
        SentEvent(place, event) for place, line in enumerate(lines) if (event := read(line)) is not None
    ]
    if len(events) > settings.EVENT_BATCH_MAX:
        raise _too_many()
    return Batch([each.event for each in events], single=False, sent=events)


def _too_many() -> TooLarge:
    return TooLarge(
        f"A batch holds {settings.EVENT_BATCH_MAX:,} events at most. Send the rest in further batches."
    )
