"""`POST events/{key}/void/` and `amend/`, and `GET events/{key}/`: correcting stored events, and their history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from customers.api.parsing import is_storable
from customers.api.permissions import HasScope
from customers.api.strictness import StrictParameters
from customers.models import ApiKey, Scope
from metering.api.correction_shapes import (
    AMEND_BODY,
    AMEND_EXAMPLE,
    VOID_BODY,
    VOID_EXAMPLE,
    AmendmentShape,
    CorrectionShape,
    EventWithHistoryShape,
)
from metering.api.texts import decimal_text, instant_text
from metering.bounds import time_bounds
from metering.correcting import (
    AMENDABLE,
    amend_event,
    correction_of,
    find_event,
    void_event,
)
from metering.errors import UnknownEvent
from metering.histories import event_history
from metering.models import Event, EventCorrection
from metering.storing import stored_contents

CORRECTION_SCOPES = {
    "read": (Scope.READ.value, Scope.MANAGE.value),
    "write": (Scope.INGEST.value, Scope.MANAGE.value),
}


SOURCE = OpenApiParameter(
    "source",
    OpenApiTypes.STR,
    description="The source the event came from; the API key's own when left out. For CloudEvents, their `source`.",
)


class _OneEvent(StrictParameters, APIView):
    """An event is named by its key and source: the API key's own source, unless the request names another."""

    permission_classes = [HasScope]
    required_scopes = CORRECTION_SCOPES
    repeatable = False  # an event is corrected once
    schema_tag = "Events and usage"
    parameters = frozenset({"source"})

    def event(self, request: Request, key: str) -> Event:
        holder: Any = request.auth
        source = request.query_params.get("source", holder.source)
        if not is_storable(key):
            raise Http404("There is no such event.")
        if request.method != "GET":
            _refuse_foreign(holder, source)
        try:
            return find_event(key, source=source)
        except UnknownEvent as unknown:
            raise Http404(
                f"The source “{source}” sent no event with the key “{key}”. Name another with ?source=; "
                "CloudEvents have a source of their own."
            ) from unknown


def _refuse_foreign(holder: Any, source: str) -> None:
    """Let no key correct what another key's integration sent, unless it may manage everything.

    Sources of CloudEvents belong to no key: whoever may send under them may correct them.
    """
    if source == holder.source or Scope.MANAGE.value in holder.scopes:
        return
    if ApiKey.objects.filter(source=source).exists():
        raise PermissionDenied(
            f"“{source}” is the source of another API key. Use that key, or one with the scope manage."
        )


class EventView(_OneEvent):
    """Answers one event with its history: when it came, was matched, refused a conflict, was voided or amended."""

    @extend_schema(
        operation_id="event", summary="Read an event", parameters=[SOURCE], responses=EventWithHistoryShape
    )
    def get(self, request: Request, key: str) -> Response:
        event = self.event(request, key)
        history = [
            {"at": instant_text(entry.at), "what": entry.what, "key": entry.key, "by": entry.by}
            | ({"reason": entry.reason} if entry.reason else {})
            for entry in event_history(event)
        ]
        return Response(_event_body(event) | {"history": history})


class VoidView(_OneEvent):
    """Takes an event out of every count. It stays readable, with the reason."""

    @extend_schema(
        operation_id="void_event",
        summary="Void an event",
        parameters=[SOURCE],
        request={"application/json": VOID_BODY},
        responses={200: CorrectionShape},
        examples=[VOID_EXAMPLE],
    )
    def post(self, request: Request, key: str) -> Response:
        reason, _ = _read(request.data, allowed=())
        correction = void_event(
            self.event(request, key), reason=reason, by=_author(request), now=timezone.now()
        )
        return Response(_correction_body(key, correction))


class AmendView(_OneEvent):
    """Replaces an event by one with other content, under the key of the old one with a number."""

    @extend_schema(
        operation_id="amend_event",
        summary="Amend an event",
        parameters=[SOURCE],
        request={"application/json": AMEND_BODY},
        responses={200: AmendmentShape},
        examples=[AMEND_EXAMPLE],
    )
    def post(self, request: Request, key: str) -> Response:
        reason, changes = _read(request.data, allowed=AMENDABLE)
        amended = amend_event(
            self.event(request, key),
            changes,
            reason=reason,
            by=_author(request),
            now=timezone.now(),
            bounds=time_bounds(),
        )
        replacement = {"key": amended.replacement.key, "status": amended.replacement.status.value}
        return Response(_correction_body(key, amended.correction) | {"replacement": replacement})


def _read(data: Any, *, allowed: tuple[str, ...]) -> tuple[str, Mapping[str, Any]]:
    """Give the reason and the other fields of a body; refuse what is unknown or no text."""
    if not isinstance(data, Mapping):
        raise ValidationError("Send a JSON object with a reason.")
    known = ", ".join(("reason", *allowed))
    problems = {
        name: [f"Unknown field. Known fields: {known}."] for name in sorted(set(data) - {"reason", *allowed})
    }
    reason = data.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        problems["reason"] = ["Say why, as text: the reason stays with the event."]
    if problems:
        raise ValidationError(problems)
    return str(reason), {name: value for name, value in data.items() if name != "reason"}


def _author(request: Request) -> str:
    holder: Any = request.auth
    return f"API key {holder.name} ({holder.prefix})"


def _event_body(event: Event) -> dict[str, Any]:
    content = stored_contents([event.pk.hex])[event.pk.hex]
    correction = correction_of(event)
    if event.voided_batch_id is not None:
        status = "amended" if correction is not None and correction.replacement_id is not None else "voided"
    else:
        status = "unmatched" if event.meter_id is None or event.customer_id is None else "accepted"
    return {
        "key": content.key,
        "source": event.source,
        "status": status,
        "meter": content.meter,
        "customer": content.customer,
        "value": None if content.value is None else decimal_text(content.value),
        "occurred_at": instant_text(content.occurred_at),
        "received_at": instant_text(event.received_at),
        "subject": content.subject,
        "workload": content.workload,
        "dimensions": content.dimensions or {},
    }


def _correction_body(key: str, correction: EventCorrection) -> dict[str, Any]:
    return {
        "key": key,
        "status": "amended" if correction.replacement_id is not None else "voided",
        "reason": correction.reason,
        "by": correction.by,
        "at": instant_text(correction.at),
    }
