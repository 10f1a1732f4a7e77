"""A command that sends one event as a meter wants it, for people who send their first."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.conf import settings

from metering.meter_types import Need, need_of
from metering.models import Meter


def curl_line(meter: Meter, *, customer_code: str = "acme", now: datetime, at: datetime | None = None) -> str:
    """Give a command that sends one event which counts on the meter; the key is for the reader to fill in.

    The event happened `at` that instant, now when none is given.
    """
    event = example_event(meter, customer_code=customer_code, now=now, at=at or now)
    return (
        f"curl -X POST {settings.PUBLIC_URL}/api/v1/events/ \\\n"
        "  -H 'Authorization: Bearer YOUR_KEY' -H 'Content-Type: application/json' \\\n"
        f"  -d '{json.dumps(event)}'"
    )


def example_event(meter: Meter, *, customer_code: str, now: datetime, at: datetime) -> dict[str, Any]:
    """Give an event that the meter takes and counts: with the subject and the dimensions that it asks for."""
    key = f"test-{now:%Y%m%d%H%M%S}"
    event: dict[str, Any] = {
        "key": key,
        "meter": meter.code,
        "customer": customer_code,
        "value": "1",
        "occurred_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
    }
    need = need_of(meter.type, meter.value_dimension, meter.once_per_subject)
    if need is Need.SUBJECT or meter.evidence_meter_id is not None:
        event["subject"] = key
    dimensions = {name: values[0] for name, values in meter.filters.items()}
    if need is Need.DIMENSION:
        dimensions.setdefault(meter.value_dimension, "example")
    if dimensions:
        event["dimensions"] = dimensions
    return event
