"""`POST events/`: the way in for usage. A thin view: no serializer and no model object per event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.views import APIView

from customers.api.permissions import INGEST_SCOPES, HasScope
from customers.api.strictness import StrictParameters
from metering.api.batches import EXPECTED, Batch, EventBatchParser, read_batch
from metering.incoming import TimeBounds
from metering.ingesting import BatchResult, EventResult, ResultStatus, record_events

LIST_ALL_UP_TO = 100


class ResultBody(msgspec.Struct, omit_defaults=True):
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
    """Takes one event or up to 10,000 and answers what became of each, after they are stored."""

    parser_classes = [EventBatchParser]
    permission_classes = [HasScope]
    required_scopes = INGEST_SCOPES

    def post(self, request: Request) -> HttpResponse:
        holder: Any = request.auth
        batch = _batch(request)
        body = BatchBody(0, 0, 0, 0, 0, [])
        if batch.events:
            result = record_events(
                batch.events, source=holder.source, now=timezone.now(), bounds=time_bounds()
            )
            body = batch_body(result)
        return HttpResponse(_encoder.encode(body), content_type="application/json")


def _batch(request: Request) -> Batch:
    if request.stream is None:  # REST framework asks no parser about an empty body
        return read_batch(request)
    batch: Any = request.data
    if not isinstance(batch, Batch):
        raise ParseError(f"The body is empty. {EXPECTED}")
    return batch


def time_bounds() -> TimeBounds:
    """How far from the clock events may lie, by the settings."""
    return TimeBounds(
        max_age=timedelta(days=settings.EVENT_MAX_AGE_DAYS),
        max_ahead=timedelta(hours=settings.EVENT_MAX_AHEAD_HOURS),
    )


def batch_body(result: BatchResult) -> BatchBody:
    """Give the answer for a batch: every result of a small one, only what was not accepted of a large one."""
    counts, results = result.counts, result.results
    if len(results) > LIST_ALL_UP_TO:
        results = [each for each in results if each.status is not ResultStatus.ACCEPTED]
    return BatchBody(
        accepted=counts[ResultStatus.ACCEPTED],
        duplicates=counts[ResultStatus.DUPLICATE],
        conflicts=counts[ResultStatus.CONFLICT],
        unmatched=counts[ResultStatus.UNMATCHED],
        rejected=counts[ResultStatus.REJECTED],
        results=[_result_body(each) for each in results],
    )


def _result_body(result: EventResult) -> ResultBody:
    return ResultBody(
        result.index, result.key, result.status.value, result.code, result.message, result.field
    )
