"""What events and usage look like, for the OpenAPI description; a test holds real answers against it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import serializers

from metering.api.spans import INTERVALS
from metering.cloud_events import MAX_SOURCE, UsageData
from metering.event_results import ResultStatus
from metering.incoming import MAX_DIMENSIONS, MAX_KEY, MAX_TEXT

EVENT = {
    "key": "evt-1",
    "meter": "tickets_resolved",
    "customer": "acme",
    "value": "1",
    "occurred_at": "2026-10-03T10:00:00Z",
    "subject": "ticket-4711",
    "workload": "support_bot",
    "dimensions": {"channel": "email"},
}
NAME = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
RESULT_STATUSES = [status.value for status in ResultStatus]
EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["key", "meter", "customer", "occurred_at"],
    "additionalProperties": False,
    "properties": {
        "key": NAME
        | {
            "maxLength": MAX_KEY,
            "description": "Your own name for this event, for ever; UUIDs of version 7 are fastest. Only a single "
            "event with an Idempotency-Key header may leave it out.",
        },
        "meter": NAME | {"description": "The code of a meter."},
        "customer": NAME | {"description": "The code of a customer."},
        "value": {
            "anyOf": [{"type": "string", "format": "decimal"}, {"type": "number"}],
            "description": "An exact decimal. A count adds 1 when it is left out.",
        },
        "occurred_at": {"type": "string", "format": "date-time", "description": "RFC 3339 with a zone."},
        "subject": NAME | {"description": "What the event is about, such as a ticket."},
        "workload": NAME | {"description": "The internal system that did the work."},
        "dimensions": {
            "type": "object",
            "maxProperties": MAX_DIMENSIONS,
            "additionalProperties": {"type": "string", "maxLength": MAX_TEXT},
        },
    },
}
EVENTS_BODY: dict[str, Any] = {
    "oneOf": [
        EVENT_SCHEMA | {"required": ["meter", "customer", "occurred_at"]},
        {"type": "array", "items": EVENT_SCHEMA, "maxItems": 10_000},
    ]
}
CLOUD_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "description": "A CloudEvent 1.0. Extension attributes are allowed and not kept. A single one that is not stored, "
    "also in binary mode (ce- headers), is answered with 400.",
    "properties": {
        "specversion": {"type": "string", "enum": ["1.0"]},
        "id": NAME | {"description": "The key."},
        "source": NAME | {"maxLength": MAX_SOURCE, "description": "Where the key is unique."},
        "type": NAME | {"description": "The code of a meter."},
        "subject": NAME
        | {"description": "The customer; what the event is about where data names a customer."},
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "Left out: when it came here first.",
        },
        "data": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: EVENT_SCHEMA["properties"][name] for name in sorted(UsageData.__struct_fields__)
            },
        },
    },
}
EVENTS_REQUEST: dict[str, Any] = {
    "application/json": EVENTS_BODY,
    "application/x-ndjson": {"type": "string", "description": "One event in each line."},
    "text/csv": {"type": "string", "description": "A header, then one event in each line."},
    "application/cloudevents+json": CLOUD_EVENT,
    "application/cloudevents-batch+json": {"type": "array", "items": CLOUD_EVENT, "maxItems": 10_000},
}
EVENTS_EXAMPLES = [
    OpenApiExample("One event", value=EVENT, request_only=True, media_type="application/json"),
    OpenApiExample(
        "A list", value=[EVENT, EVENT | {"key": "evt-2"}], request_only=True, media_type="application/json"
    ),
    OpenApiExample(
        "Accepted",
        value={
            "accepted": 1,
            "duplicates": 0,
            "conflicts": 0,
            "unmatched": 0,
            "rejected": 0,
            "results": [{"index": 0, "key": "evt-1", "status": "accepted"}],
        },
        response_only=True,
    ),
    OpenApiExample(
        "Rejected",
        value={
            "accepted": 0,
            "duplicates": 0,
            "conflicts": 0,
            "unmatched": 0,
            "rejected": 1,
            "results": [
                {
                    "index": 0,
                    "key": "evt-1",
                    "status": "rejected",
                    "code": "unknown_field",
                    "message": "colour is not a field of an event. Remove or rename it.",
                    "field": "colour",
                }
            ],
        },
        response_only=True,
    ),
]
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The key of a single event that carries none itself.",
)


class ResultShape(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="The event's place in the list.")
    key = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=RESULT_STATUSES)
    code = serializers.CharField(required=False, help_text="Why it was not accepted.")
    message = serializers.CharField(required=False)
    field = serializers.CharField(required=False)


class BatchShape(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField(help_text="Sent before with the same content; counted once.")
    conflicts = serializers.IntegerField(help_text="Their key stands for other content; refused.")
    unmatched = serializers.IntegerField(help_text="Kept; they count once their meter and customer exist.")
    rejected = serializers.IntegerField(help_text="Not stored; correct them and send them again.")
    results = ResultShape(many=True)


class EventShape(serializers.Serializer[Any]):
    key = serializers.CharField()
    meter = serializers.CharField()
    customer = serializers.CharField()
    value = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    subject = serializers.CharField(allow_null=True)
    workload = serializers.CharField(allow_null=True)
    dimensions = serializers.DictField(child=serializers.CharField())


class PointShape(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    value = serializers.CharField()


class GroupShape(serializers.Serializer[Any]):
    group = serializers.DictField(child=serializers.CharField(allow_blank=True))
    total = serializers.CharField()
    points = PointShape(many=True)


class UsageShape(serializers.Serializer[Any]):
    meter = serializers.CharField()
    unit = serializers.CharField(allow_blank=True)
    customer = serializers.CharField(allow_null=True)
    to = serializers.DateTimeField()
    interval = serializers.ChoiceField(choices=INTERVALS, allow_null=True)
    timezone = serializers.CharField()
    groups = GroupShape(many=True)
    left_out = serializers.IntegerField(help_text="How many groups `top` left out.")

    def get_fields(self) -> dict[str, Any]:
        """Add `from`, which Python does not take as a name."""
        return {**super().get_fields(), "from": serializers.DateTimeField()}


def _parameter(name: str, description: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, **more)


USAGE_PARAMETERS = [
    _parameter("meter", "The code of a meter.", required=True),
    _parameter("customer", "The code of a customer; all customers when left out."),
    _parameter("from", "The first moment: RFC 3339, or a date. Left out: begin of the running month."),
    _parameter("to", "The moment after the last: RFC 3339, or a date. Left out: end of the running month."),
    _parameter("interval", "Give a point for each; totals only when left out.", enum=INTERVALS),
    _parameter(
        "group_by", "`customer`, `workload`, `subject` or a dimension of the meter; repeatable.", many=True
    ),
    _parameter(
        "filter.NAME", "Only events with this value of NAME, a name as in group_by; repeatable.", many=True
    ),
    _parameter("top", "Only so many groups, the largest: 1 to 1,000. Needs `group_by`."),
    _parameter("format", "`csv` gives a table: a row for each group and point.", enum=["json", "csv"]),
    _parameter("timezone", "Where days begin, such as Europe/Berlin. Left out: the customer's zone, or UTC."),
]
USAGE_EXAMPLE = OpenApiExample(
    "120 tickets in October",
    value={
        "meter": "tickets_resolved",
        "unit": "ticket",
        "customer": "acme",
        "from": "2026-10-01T00:00:00Z",
        "to": "2026-11-01T00:00:00Z",
        "interval": "month",
        "timezone": "UTC",
        "groups": [
            {
                "group": {"channel": "email"},
                "total": "120",
                "points": [{"start": "2026-10-01T00:00:00Z", "value": "120"}],
            }
        ],
        "left_out": 0,
    },
    response_only=True,
)
METER_EXAMPLE = OpenApiExample(
    "Tickets resolved",
    value={
        "code": "tickets_resolved",
        "label": "Tickets Resolved",
        "type": "count",
        "dimensions": ["channel"],
    },
    request_only=True,
)
CUSTOMER_EXAMPLE = OpenApiExample(
    "Acme",
    value={
        "code": "acme",
        "name": "Acme Inc.",
        "email": "billing@acme.example",
        "timezone": "America/New_York",
    },
    request_only=True,
)
WORKLOAD_EXAMPLE = OpenApiExample(
    "Support bot", value={"code": "support_bot", "name": "Support chatbot"}, request_only=True
)
