"""`POST events/`: the way in for usage. A thin view: no serializer and no model object per event."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.views import APIView

from customers.api.permissions import INGEST_SCOPES, HasScope
from customers.api.strictness import StrictParameters
from metering.api.batches import EXPECTED, Batch, EventBatchParser, read_batch
from metering.api.cloud_events import (
    CloudEventBatchParser,
    CloudEventParser,
    is_binary,
    read_binary,
    refuse_conflict,
    refuse_if_wrong,
)
from metering.api.lines import CsvParser, NdjsonParser
from metering.api.shapes import EVENTS_EXAMPLES, EVENTS_REQUEST, IDEMPOTENCY_KEY, BatchShape
from metering.bounds import time_bounds
from metering.event_results import BatchResult, EventResult, ResultStatus
from metering.ingesting import record_events
from metering.sources import SentResults, record_sent_events

LIST_ALL_UP_TO = 100
ACCEPTED = ResultStatus.ACCEPTED.value


class ResultBody(msgspec.Struct, omit_defaults=True, gc=False):
    """What became of one event. Code, message and field say why it was not accepted."""

    index: int
    key: str | None
    status: str
    code: str | None = None
    message: str | None = None
    field: str | None = None


class BatchBody(msgspec.Struct):
    accepted: int
    duplicates: int
    conflicts: int
    unmatched: int
    rejected: int
    results: list[ResultBody]


_encoder = msgspec.json.Encoder()


class EventsView(StrictParameters, APIView):
    """Takes one event, or a list of up to 10,000 in a body of up to 10 MiB, also packed with gzip.

    The answer comes after the events are stored, with a result for each: all results of a batch of up to 100 events,
    only those that are not `accepted` of a larger one. One bad event never costs the others. Sending the same events
    again is safe: they are `duplicate` and count once. Events may also come as lines of JSON, as CSV with a header, and
    as CloudEvents 1.0 (one, a batch, or in headers).
    """

    parser_classes = [EventBatchParser, NdjsonParser, CsvParser, CloudEventParser, CloudEventBatchParser]
    permission_classes = [HasScope]
    required_scopes = INGEST_SCOPES
    schema_tag = "Events and usage"
    repeatable = False  # each event has its key

    @extend_schema(
        operation_id="send_events",
        summary="Send events",
        parameters=[IDEMPOTENCY_KEY],
        request=EVENTS_REQUEST,
        responses={200: BatchShape},
        examples=EVENTS_EXAMPLES,
    )
    def post(self, request: Request) -> HttpResponse:
        holder: Any = request.auth
        batch = _batch(request)
        body = BatchBody(0, 0, 0, 0, 0, [])
        if batch.events:
            body = batch_body(_record(batch, source=holder.source))
        return HttpResponse(_encoder.encode(body), content_type="application/json")


def _record(batch: Batch, *, source: str) -> BatchResult | SentResults:
    now, bounds = timezone.now(), time_bounds()
    if batch.sent is None:
        return record_events(batch.events, source=source, now=now, bounds=bounds)
    if batch.status_tells:
        refuse_if_wrong(batch.events[0], now=now, bounds=bounds)
    result = record_sent_events(batch.sent, source=source, now=now, bounds=bounds)
    if batch.status_tells:
        refuse_conflict(result.results[0])
    return result


def _batch(request: Request) -> Batch:
    if is_binary(request):
        return read_binary(request)
    if request.stream is None:  # REST framework asks no parser about an empty body
        return read_batch(request)
    batch: Any = request.data
    if not isinstance(batch, Batch):
        raise ParseError(f"The body is empty. {EXPECTED}")
    return batch


def batch_body(result: BatchResult | SentResults) -> BatchBody:
    """Give the answer for a batch: every result of a small one, only what was not accepted of a large one."""
    counts = result.counts
    return BatchBody(
        accepted=counts[ResultStatus.ACCEPTED],
        duplicates=counts[ResultStatus.DUPLICATE],
        conflicts=counts[ResultStatus.CONFLICT],
        unmatched=counts[ResultStatus.UNMATCHED],
        rejected=counts[ResultStatus.REJECTED],
        results=_listed(result, list_all=counts.total() <= LIST_ALL_UP_TO),
    )


def _listed(result: BatchResult | SentResults, *, list_all: bool) -> list[ResultBody]:
    """Give the results to be told. Most are `accepted`, and nothing is built for those but the answer itself."""
    if isinstance(result, BatchResult):
        told = {place: _result_body(each) for place, each in sorted(result.exceptions.items())}
        if not list_all:
            return list(told.values())
        return [told.get(place) or ResultBody(place, key, ACCEPTED) for place, key in enumerate(result.keys)]
    return [
        _result_body(each) for each in result.results if list_all or each.status is not ResultStatus.ACCEPTED
    ]


def _result_body(result: EventResult) -> ResultBody:
    return ResultBody(
        result.index, result.key, result.status.value, result.code, result.message, result.field
    )
