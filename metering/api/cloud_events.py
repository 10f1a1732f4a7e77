"""CloudEvents 1.0 for `POST events/`: structured, batched and binary, told apart as their HTTP binding says."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any

from django.utils import timezone
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from customers.api.bodies import TooLarge, read_body
from metering import catalog
from metering.api.batches import Batch, read_objects
from metering.cloud_events import from_headers, from_json
from metering.errors import EventRefused
from metering.event_results import EventResult, ResultStatus
from metering.incoming import IncomingEvent, Refusal, TimeBounds, check_event
from metering.requirements import requirement_refusal
from metering.sources import SentEvent

STRUCTURED = "application/cloudevents"
HEADER = "ce-"
TELLING_HEADERS = ("HTTP_CE_SPECVERSION", "HTTP_CE_ID", "HTTP_CE_SOURCE", "HTTP_CE_TYPE")
MAX_SOURCES = 100
ONE = "Send one CloudEvent, which is a JSON object."
LIST = "Send a list of CloudEvents, also for a single one."


class CloudEventParser(BaseParser):
    """Parses one CloudEvent in the JSON format."""

    media_type = "application/cloudevents+json"

    def parse(  # type: ignore[override]  # the view alone reads what comes out
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Batch:
        assert parser_context is not None
        found = read_objects(parser_context["request"], expected=ONE)
        if not isinstance(found, bytes):
            raise ParseError(f"The body is a list. {ONE} A list is application/cloudevents-batch+json.")
        return _single(from_json(found, place=0, now=timezone.now()))


class CloudEventBatchParser(BaseParser):
    """Parses a list of CloudEvents in the JSON batch format."""

    media_type = "application/cloudevents-batch+json"

    def parse(  # type: ignore[override]  # the view alone reads what comes out
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Batch:
        assert parser_context is not None
        found = read_objects(parser_context["request"], expected=LIST)
        if isinstance(found, bytes):
            raise ParseError(f"The body is one object. {LIST}")
        now = timezone.now()
        sent = [from_json(raw, place=place, now=now) for place, raw in enumerate(found)]
        if len({each.source for each in sent}) > MAX_SOURCES:
            raise TooLarge(
                f"A batch comes from {MAX_SOURCES} sources at most. Send the rest in further batches."
            )
        return Batch([each.event for each in sent], single=False, sent=sent)


def is_binary(request: Request) -> bool:
    """Tell whether the attributes of a CloudEvent stand in the headers."""
    if str(request.content_type or "").lower().startswith(STRUCTURED):
        return False
    return not request.META.keys().isdisjoint(TELLING_HEADERS)


def read_binary(request: Request) -> Batch:
    """Give the CloudEvent of a request in binary mode."""
    attributes = {
        name.lower().removeprefix(HEADER): text
        for name, text in request.headers.items()
        if name.lower().startswith(HEADER)
    }
    body = read_body(request).removeprefix(codecs.BOM_UTF8).strip(b" \t\r\n")
    content_type = str(request.headers.get("Content-Type", ""))
    return _single(from_headers(attributes, body, content_type=content_type, now=timezone.now()))


def refuse_if_wrong(event: IncomingEvent | Refusal, *, now: datetime, bounds: TimeBounds) -> None:
    """Raise EventRefused before anything is written: who sends a single CloudEvent reads the status only."""
    refusal = event if isinstance(event, Refusal) else _refusal(event, now=now, bounds=bounds)
    if refusal is not None:
        raise EventRefused(refusal.message, code=refusal.code, field=refusal.field)


def _refusal(event: IncomingEvent, *, now: datetime, bounds: TimeBounds) -> Refusal | None:
    checked = check_event(event, now=now, bounds=bounds)
    if isinstance(checked, Refusal):
        return checked
    meter = catalog.meters.find([event.meter]).get(event.meter)
    return requirement_refusal(meter, event) if meter else None


def refuse_conflict(result: EventResult) -> None:
    """Raise EventRefused for an event whose key stands for another; staff see both."""
    if result.status in {ResultStatus.CONFLICT, ResultStatus.REJECTED}:
        raise EventRefused(result.message or "", code=result.code or "", field=result.field)


def _single(sent: SentEvent) -> Batch:
    return Batch([sent.event], single=True, sent=[sent], status_tells=True)
