"""`GET outcomes/`: what became of each result, and why."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from billing.outcomes import invoices_of, outcomes_of
from customers.api.pages import Pages
from customers.api.permissions import READ_SCOPES, HasScope
from customers.api.strictness import StrictParameters
from customers.models import Customer
from metering.api.texts import instant_text
from metering.incoming import parse_instant
from metering.models import Meter
from metering.outcomes import OutcomeState
from metering.settling import OutcomePage, StoredOutcome, outcome_events

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class OutcomeShape(serializers.Serializer[Any]):
    """One outcome. `kind` is its dimension of that name; `invoice` the number of the invoice that billed it."""

    key = serializers.CharField()
    subject = serializers.CharField(allow_null=True)
    meter = serializers.CharField()
    customer = serializers.CharField()
    kind = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(choices=[state.value for state in OutcomeState])
    occurred_at = serializers.DateTimeField()
    settles_at = serializers.DateTimeField()
    reason = serializers.CharField()
    invoice = serializers.CharField(allow_null=True)


EXAMPLE = {
    "next": None,
    "results": [
        {
            "key": "evt-1",
            "subject": "ticket-4711",
            "meter": "tickets_resolved",
            "customer": "acme",
            "kind": None,
            "state": "pending",
            "occurred_at": "2026-10-03T10:00:00Z",
            "settles_at": "2026-10-06T10:00:00Z",
            "reason": "Pending until 2026-10-06 10:00 UTC, unless it is reversed before.",
            "invoice": None,
        }
    ],
}


class OutcomesShape(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="The address of the following page.")
    results = OutcomeShape(many=True)


class OutcomesView(StrictParameters, APIView):
    """The outcomes of outcome meters, the latest first, each with its state and the reason for it.

    `pending` until its window is over, then `settled`; `reversed` when it was taken back, `repeated` when its subject
    counted before, `unproven` without evidence. Asked for one state, a page may be short and still have a `next`.
    """

    permission_classes = [HasScope]
    required_scopes = READ_SCOPES
    schema_tag = "Outcomes"
    parameters = frozenset({"customer", "meter", "subject", "state", "cursor", "page_size"})

    @extend_schema(
        operation_id="outcomes_list",
        summary="List outcomes",
        parameters=[
            OpenApiParameter("customer", str, description="The code of a customer."),
            OpenApiParameter("meter", str, description="The code of an outcome meter."),
            OpenApiParameter("subject", str, description="For example a ticket."),
            OpenApiParameter("state", str, enum=[state.value for state in OutcomeState]),
            OpenApiParameter("cursor", str, description="Where a page goes on; part of `next`."),
            OpenApiParameter("page_size", int),
        ],
        responses=OutcomesShape,
        examples=[OpenApiExample("Pending", value=EXAMPLE, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params
        events = outcome_events(
            customer=_named(Customer, "customer", asked.get("customer")),
            meter=_named(Meter, "meter", asked.get("meter")),
            subject=asked.get("subject"),
        )
        limit = Pages().get_page_size(request)
        page = outcomes_of(
            events,
            now=timezone.now(),
            state=_state(asked.get("state")),
            after=_cursor(asked.get("cursor")),
            limit=limit,
        )
        invoices = invoices_of(page.outcomes)
        return Response(
            {
                "next": _next(request, page),
                "results": [_body(each, invoices.get(each.event.pk)) for each in page.outcomes],
            }
        )


def _named(model: Any, name: str, code: str | None) -> Any:
    if code is None:
        return None
    row = model.objects.filter(code=code).first()
    if row is None:
        raise ValidationError({name: [f"There is no {name} “{code}”."]})
    return row


def _state(text: str | None) -> OutcomeState | None:
    if text is None:
        return None
    try:
        return OutcomeState(text)
    except ValueError:
        raise ValidationError({"state": [f"Choose one of: {', '.join(OutcomeState)}."]}) from None


def _cursor(text: str | None) -> tuple[datetime, UUID] | None:
    if text is None:
        return None
    at, _, event = text.partition("~")
    instant = parse_instant(at)
    if instant is None or not _UUID.fullmatch(event):
        raise ValidationError({"cursor": ["Not a place in the list. Follow `next` as it was given."]})
    return instant, UUID(event)


def _next(request: Request, page: OutcomePage) -> str | None:
    if page.after is None:
        return None
    at, event = page.after
    return replace_query_param(request.build_absolute_uri(), "cursor", f"{at.isoformat()}~{event}")


def _body(outcome: StoredOutcome, invoice: str | None) -> dict[str, Any]:
    event = outcome.event
    assert event.meter is not None  # held by outcome_events
    assert event.customer is not None
    return {
        "key": event.key,
        "subject": event.subject,
        "meter": event.meter.code,
        "customer": event.customer.code,
        "kind": (event.dimensions or {}).get("kind"),
        "state": outcome.state.value,
        "occurred_at": instant_text(event.occurred_at),
        "settles_at": instant_text(outcome.settlement.settles_at),
        "reason": outcome.reason,
        "invoice": invoice,
    }
