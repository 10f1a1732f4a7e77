"""`GET usage/`: what was measured, over time and by groups, with the function that invoices use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from customers.api.negotiation import OwnFormat, wants_table
from customers.api.permissions import READ_SCOPES, HasScope
from customers.api.strictness import check_parameters
from customers.errors import UnknownCustomer
from customers.models import Customer
from metering.api.shapes import USAGE_EXAMPLE, USAGE_PARAMETERS, UsageShape
from metering.api.spans import INTERVALS, LENGTHS, read_moment, read_zone, running_month
from metering.api.texts import decimal_text, instant_text
from metering.api.usage_table import usage_table
from metering.errors import InvalidWindow, UndeclaredDimension, UnknownMeter
from metering.measuring import ALWAYS_GROUPABLE, MAX_WINDOWS, Series, measure_series
from metering.models import Meter
from metering.periods import Interval

PARAMETERS = frozenset(
    {"meter", "customer", "from", "to", "interval", "group_by", "timezone", "top", "format"}
)
FILTER = "filter."
MAX_GROUPS_BY = 5
MAX_TOP = 1_000
MAX_VALUES = 250_000


class UsageView(APIView):
    """Answers the usage of one meter, of one customer or all, in total and by interval."""

    permission_classes = [HasScope]
    required_scopes = READ_SCOPES
    content_negotiation_class = OwnFormat
    schema_tag = "Events and usage"

    @extend_schema(
        operation_id="usage",
        summary="Usage of a meter",
        parameters=USAGE_PARAMETERS,
        responses={(200, "application/json"): UsageShape, (200, "text/csv"): OpenApiTypes.STR},
        examples=[USAGE_EXAMPLE],
    )
    def get(self, request: Request) -> Response | HttpResponse:
        asked = request.query_params
        filters = [name for name in asked if name.startswith(FILTER) and len(name) > len(FILTER)]
        check_parameters(request, {*PARAMETERS, *filters}, repeatable={"group_by", *filters})
        meter = _meter(asked.get("meter", ""))
        customer = _customer(asked["customer"]) if "customer" in asked else None
        zone = (
            read_zone(asked["timezone"]) if "timezone" in asked else customer.timezone if customer else "UTC"
        )
        start, end = _span(asked, zone)
        interval = _interval(asked.get("interval"))
        _refuse_too_many_points(start, end, interval)
        _check_filters(meter, filters)
        group_by = _group_by(asked.getlist("group_by"))
        top = _top(asked.get("top"), group_by)
        as_table = wants_table(request)
        measured = partial(
            measure_series,
            meter,
            start=start,
            end=end,
            zone=zone,
            customer_id=customer.pk if customer else None,
            group_by=group_by,
            filters={name.removeprefix(FILTER): asked.getlist(name) for name in filters},
        )
        series = measured(interval=None)
        left_out = max(0, len(series) - top) if top else 0
        # Each group has all the points, so the groups are counted before any point is measured.
        _refuse_too_many_groups(len(series) - left_out, start, end, interval)
        series = measured(interval=interval, top=top) if interval else series[:top]
        if as_table:
            return usage_table(meter, series, group_by=group_by, interval=interval)
        return Response(
            {
                "meter": meter.code,
                "unit": meter.unit,
                "customer": customer.code if customer else None,
                "from": instant_text(start),
                "to": instant_text(end),
                "interval": interval,
                "timezone": zone,
                "groups": [_group(each) for each in series],
                "left_out": left_out,
            }
        )


def _top(text: str | None, group_by: Sequence[str]) -> int | None:
    if text is None:
        return None
    if not group_by:
        raise ValidationError({"top": ["It chooses the largest groups: say group_by too."]})
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_TOP):
        raise ValidationError({"top": [f"Expected a number from 1 to {MAX_TOP:,}."]})
    return int(text)


def _meter(code: str) -> Meter:
    if not code:
        raise ValidationError({"meter": ["Name the meter, such as meter=tickets_resolved."]})
    meter = Meter.objects.filter(code=code).first()
    if meter is None:
        raise UnknownMeter(f"There is no meter “{code}”.")
    return meter


def _customer(code: str) -> Customer:
    customer = Customer.objects.filter(code=code).first()
    if customer is None:
        raise UnknownCustomer(f"There is no customer “{code}”.")
    return customer


def _span(asked: Any, zone: str) -> tuple[datetime, datetime]:
    """Give the half-open time asked for; what is left out is the running month's."""
    first, last = running_month(timezone.now(), zone)
    start = read_moment("from", asked["from"], zone=zone) if "from" in asked else first
    end = read_moment("to", asked["to"], zone=zone) if "to" in asked else last
    if start >= end:
        raise InvalidWindow(
            f"from ({instant_text(start)}) must lie before to ({instant_text(end)}); "
            "one that is left out is that of the running month."
        )
    return start, end


def _interval(text: str | None) -> Interval | None:
    if text is None:
        return None
    if text not in INTERVALS:
        raise ValidationError({"interval": [f"Expected one of: {', '.join(INTERVALS)}."]})
    return Interval(text)


def _refuse_too_many_points(start: datetime, end: datetime, interval: Interval | None) -> None:
    if interval is not None and (end - start) / LENGTHS[interval] > MAX_WINDOWS:
        raise InvalidWindow(
            f"That is more than {MAX_WINDOWS:,} points. Choose a shorter time or a longer interval."
        )


def _refuse_too_many_groups(count: int, start: datetime, end: datetime, interval: Interval | None) -> None:
    points = 1 if interval is None else math.ceil((end - start) / LENGTHS[interval])
    if count * points > MAX_VALUES:
        told = (
            f"That is {count:,} groups of {points:,} points, and an answer holds {MAX_VALUES:,} points at most. "
            "Name a customer, filter, or choose a shorter time or a longer interval."
        )
        raise ValidationError({"group_by": [told]})


def _group_by(names: Sequence[str]) -> list[str]:
    if len(names) > MAX_GROUPS_BY or len(set(names)) < len(names):
        raise ValidationError({"group_by": [f"Group by up to {MAX_GROUPS_BY} different names."]})
    return list(names)


def _check_filters(meter: Meter, filters: Sequence[str]) -> None:
    known = [*ALWAYS_GROUPABLE, *meter.dimensions]
    for parameter in filters:
        if parameter.removeprefix(FILTER) not in known:
            message = f"{meter.label} has no such dimension. Filter by one of: {', '.join(known)}."
            raise UndeclaredDimension(message, field=parameter)


def _group(series: Series) -> dict[str, Any]:
    return {
        "group": dict(series.group),
        "total": decimal_text(series.total),
        "points": [
            {"start": instant_text(point.start), "value": decimal_text(point.value)}
            for point in series.points
        ],
    }
