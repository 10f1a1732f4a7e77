"""What corrections and an event's history look like, for the OpenAPI description."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from metering.api.shapes import EVENT_SCHEMA, RESULT_STATUSES
from metering.correcting import AMENDABLE

CORRECTED = ["amended", "voided"]
STATES = ["accepted", "unmatched", *CORRECTED]
REASON = {"type": "string", "minLength": 1, "description": "Stays with the event."}
VOID_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["reason"],
    "additionalProperties": False,
    "properties": {"reason": REASON},
}
AMEND_BODY: dict[str, Any] = VOID_BODY | {
    "properties": {"reason": REASON} | {name: EVENT_SCHEMA["properties"][name] for name in AMENDABLE},
}
VOID_EXAMPLE = OpenApiExample(
    "Not resolved", value={"reason": "The ticket was closed by mistake."}, request_only=True
)
AMEND_EXAMPLE = OpenApiExample(
    "Another day",
    value={"reason": "The clock of the bot was wrong.", "occurred_at": "2026-10-04T10:00:00Z"},
    request_only=True,
)


class CorrectionShape(serializers.Serializer[Any]):
    key = serializers.CharField()
    status = serializers.ChoiceField(choices=CORRECTED)
    reason = serializers.CharField()
    by = serializers.CharField(help_text="The person or the API key.")
    at = serializers.DateTimeField()


class ReplacementShape(serializers.Serializer[Any]):
    key = serializers.CharField()
    status = serializers.ChoiceField(choices=RESULT_STATUSES)


class AmendmentShape(CorrectionShape):
    replacement = ReplacementShape()


class HistoryShape(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    what = serializers.CharField()
    key = serializers.CharField()
    by = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(required=False)


class EventWithHistoryShape(serializers.Serializer[Any]):
    key = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # the name in the answer
    status = serializers.ChoiceField(choices=STATES)
    meter = serializers.CharField()
    customer = serializers.CharField()
    value = serializers.CharField(allow_null=True)
    occurred_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    subject = serializers.CharField(allow_null=True)
    workload = serializers.CharField(allow_null=True)
    dimensions = serializers.DictField(child=serializers.CharField())
    history = HistoryShape(many=True)
