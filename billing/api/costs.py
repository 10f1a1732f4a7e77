"""`GET costs/` and `GET margins/`: what internal work cost, and what is left of what was earned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.api.amounts import price_text
from billing.api.fields import validate_billable
from billing.costing import Unknown, costs, exact_decimal
from billing.invoice_margins import invoice_margins
from billing.margins import MARGIN_GROUPS, Margin, MarginReport, margins
from customers.api.permissions import READ_SCOPES, HasScope
from customers.api.strictness import check_parameters
from metering.api.spans import read_moment, running_month
from metering.api.texts import decimal_text, instant_text
from metering.errors import InvalidWindow

MAX_GROUPS = 10_000
MAX_YEARS = 5
PERCENT = Decimal("0.01")
BY_INVOICE = ("invoice", "line")

SPAN = [
    OpenApiParameter("from", OpenApiTypes.STR, description="A date in UTC or a time. Included."),
    OpenApiParameter("to", OpenApiTypes.STR, description="A date in UTC or a time. Not included."),
    OpenApiParameter(
        "currency", OpenApiTypes.STR, description="May be left out while all cost rates are in one."
    ),
]


class UnknownShape(serializers.Serializer[Any]):
    meter = serializers.CharField(allow_null=True)
    quantity = serializers.CharField()
    reason = serializers.CharField()


class CostGroupShape(serializers.Serializer[Any]):
    group = serializers.DictField(child=serializers.CharField(allow_blank=True))
    cost = serializers.CharField()
    quantity = serializers.CharField(
        allow_null=True, help_text="Null where meters with other units are in it."
    )


class UnassignedNameShape(serializers.Serializer[Any]):
    name = serializers.CharField(allow_blank=True, help_text="As events name it; empty: they name none.")
    cost = serializers.CharField()


class CostsShape(serializers.Serializer[Any]):
    currency = serializers.CharField()
    vars()["from"] = serializers.DateTimeField()
    to = serializers.DateTimeField()
    total = serializers.CharField(help_text="The sum of groups and unassigned.")
    groups = CostGroupShape(many=True)
    unassigned = serializers.CharField(help_text="Of the total, what has no value in the groups asked for.")
    unassigned_names = UnassignedNameShape(many=True)
    unknown = UnknownShape(many=True)


class MarginShape(serializers.Serializer[Any]):
    revenue = serializers.CharField()
    cost = serializers.CharField()
    margin = serializers.CharField()
    margin_percent = serializers.CharField(allow_null=True, help_text="Null where nothing was earned.")


class MarginGroupShape(MarginShape):
    group = serializers.DictField(child=serializers.CharField(allow_null=True, allow_blank=True))


class MarginsShape(serializers.Serializer[Any]):
    currency = serializers.CharField()
    vars()["from"] = serializers.DateField()
    to = serializers.DateField()
    total = MarginShape()
    groups = MarginGroupShape(many=True)
    unassigned = MarginShape(help_text="Of the total, what belongs to none of the groups.")
    unknown = UnknownShape(many=True)
    failures = serializers.ListField(
        child=serializers.CharField(), help_text="Customers whose usage cannot be priced: revenue is missing."
    )


class CostsView(APIView):
    """Answers what was used cost, in one currency. Never shown to customers."""

    permission_classes = [HasScope]
    required_scopes = READ_SCOPES
    schema_tag = "Cost and margin"

    @extend_schema(
        operation_id="costs",
        summary="Cost of usage",
        parameters=[
            *SPAN,
            OpenApiParameter(
                "group_by",
                OpenApiTypes.STR,
                many=True,
                description="Repeatable: workload, meter, customer, subject, day, month or a dimension.",
            ),
        ],
        responses=CostsShape,
    )
    def get(self, request: Request) -> Response:
        check_parameters(request, {"from", "to", "group_by", "currency"}, repeatable={"group_by"})
        start, end = _span(request.query_params)
        found = costs(
            start,
            end,
            group_by=request.query_params.getlist("group_by"),
            currency=_currency(request.query_params),
        )
        _refuse_too_many(len(found.groups))
        return Response(
            {
                "currency": found.currency,
                "from": instant_text(start),
                "to": instant_text(end),
                "total": _amount(found.total, found.currency),
                "groups": [
                    {
                        "group": found.named(values),
                        "cost": _amount(group.cost, found.currency),
                        "quantity": None
                        if group.quantity is None
                        else decimal_text(exact_decimal(group.quantity)),
                    }
                    for values, group in found.groups.items()
                ],
                "unassigned": _amount(found.unassigned, found.currency),
                "unassigned_names": [
                    {"name": name, "cost": _amount(group.cost, found.currency)}
                    for name, group in sorted(found.unassigned_names.items())
                ],
                "unknown": [_unknown(each) for each in found.unknown],
            }
        )


class MarginsView(APIView):
    """Answers revenue, cost and margin, the least profitable first. Never shown to customers."""

    permission_classes = [HasScope]
    required_scopes = READ_SCOPES
    schema_tag = "Cost and margin"

    @extend_schema(
        operation_id="margins",
        summary="Margins",
        parameters=[
            *SPAN,
            OpenApiParameter(
                "group_by",
                OpenApiTypes.STR,
                enum=[*MARGIN_GROUPS, *BY_INVOICE],
                description="By customer when it is left out.",
            ),
        ],
        responses=MarginsShape,
    )
    def get(self, request: Request) -> Response:
        check_parameters(request, {"from", "to", "group_by", "currency"})
        asked = request.query_params
        first, last = _days(asked)
        name = asked.get("group_by", "customer")
        currency, now = _currency(asked), timezone.now()
        if name in BY_INVOICE:
            found = invoice_margins(first, last, by_line=name == "line", now=now, currency=currency)
        else:
            if name not in MARGIN_GROUPS:
                message = f"Group by one of: {', '.join([*MARGIN_GROUPS, *BY_INVOICE])}."
                raise ValidationError({"group_by": [message]})
            found = margins(first, last, group_by=name, now=now, currency=currency)
        _refuse_too_many(len(found.groups))
        return Response(_margins_body(found))


def _margins_body(found: MarginReport) -> dict[str, Any]:
    return {
        "currency": found.currency,
        "from": found.first.isoformat(),
        "to": found.last.isoformat(),
        "total": _margin(found.whole, found.currency),
        "groups": [
            {"group": _named(found.names, values)} | _margin(group, found.currency)
            for values, group in found.groups.items()
        ],
        "unassigned": _margin(found.unassigned, found.currency),
        "unknown": [_unknown(each) for each in found.unknown],
        "failures": found.failures,
    }


def _named(names: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str | None]:
    """Name the values of a group; a previewed invoice has no number, and what is on no line has no line."""
    found: dict[str, str | None] = dict(zip(names, values, strict=True))
    return found | {name: None for name in BY_INVOICE if found.get(name) == ""}


def _margin(group: Margin, currency: str) -> dict[str, str | None]:
    percent = group.percent
    return {
        "revenue": _amount(group.revenue, currency),
        "cost": _amount(group.cost, currency),
        "margin": _amount(group.margin, currency),
        "margin_percent": None
        if percent is None
        else decimal_text(exact_decimal(percent).quantize(PERCENT, ROUND_HALF_UP)),
    }


def _amount(value: Fraction, currency: str) -> str:
    return price_text(exact_decimal(value), currency)


def _unknown(each: Unknown) -> dict[str, Any]:
    return {
        "meter": each.meter.code if each.meter else None,
        "quantity": decimal_text(exact_decimal(each.quantity)),
        "reason": each.reason,
    }


def _span(asked: Mapping[str, str]) -> tuple[datetime, datetime]:
    first, last = running_month(timezone.now(), "UTC")
    start = read_moment("from", asked["from"], zone="UTC") if "from" in asked else first
    end = read_moment("to", asked["to"], zone="UTC") if "to" in asked else last
    if start >= end:
        raise InvalidWindow(f"from ({instant_text(start)}) must lie before to ({instant_text(end)}).")
    if end.year - start.year > MAX_YEARS:
        raise InvalidWindow(f"That is more than {MAX_YEARS} years. Choose a shorter time.")
    return start, end


def _days(asked: Mapping[str, str]) -> tuple[date, date]:
    """Give the days asked for; an instant counts when it is a midnight in UTC."""
    found = []
    for name, instant in zip(("from", "to"), _span(asked), strict=True):
        moment = instant.astimezone(UTC)
        if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
            raise ValidationError({name: ["Margins are of whole days. Send a date such as 2026-10-01."]})
        found.append(moment.date())
    return found[0], found[1]


def _currency(asked: Mapping[str, str]) -> str | None:
    currency = asked.get("currency")
    if currency is not None:
        try:
            validate_billable(currency)
        except serializers.ValidationError as refused:
            raise ValidationError({"currency": refused.detail}) from refused
    return currency


def _refuse_too_many(count: int) -> None:
    if count > MAX_GROUPS:
        message = f"That is {count:,} groups, and an answer holds {MAX_GROUPS:,}. Ask for a shorter time."
        raise ValidationError({"group_by": [message]})
