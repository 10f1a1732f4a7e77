"""`GET reconciliation/`: every event of a time accounted for, from its arrival to an invoice."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.reconciling import Reconciliation, reconcile
from customers.api.permissions import READ_SCOPES, HasScope
from customers.api.strictness import check_parameters
from customers.errors import UnknownCustomer
from customers.models import Customer
from metering.api.spans import read_moment, running_month
from metering.api.texts import instant_text
from metering.arrivals import Intake
from metering.errors import InvalidWindow
from metering.models import Meter
from metering.standings import Standings

OUTCOMES = ("received", "accepted", "duplicates", "conflicts", "unmatched", "rejected", "released")
STANDINGS = (
    "accepted",
    "billed",
    "not_yet_billed",
    "free",
    "voided",
    "waived",
    "signals",
    "reversed",
    "repeated",
    "unproven",
    "voided_after_billing",
    "reversed_after_billing",
    "billed_twice",
)


class ArrivalsShape(serializers.Serializer[Any]):
    """By the time of receipt. Of one customer, what is null is known for all its source's events only."""

    received = serializers.IntegerField(allow_null=True)
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField(allow_null=True)
    conflicts = serializers.IntegerField()
    unmatched = serializers.IntegerField()
    rejected = serializers.IntegerField(allow_null=True)
    released = serializers.IntegerField(help_text="Of the unmatched, accepted since.")
    difference = serializers.IntegerField()


class SourceArrivalsShape(ArrivalsShape):
    source = serializers.CharField()  # type: ignore[assignment]  # the name in the answer


class StandingsShape(serializers.Serializer[Any]):
    """By the time the events occurred. An outcome is billed by the invoice of the period in which it settles."""

    accepted = serializers.IntegerField()
    billed = serializers.IntegerField()
    not_yet_billed = serializers.IntegerField()
    free = serializers.IntegerField()
    voided = serializers.IntegerField()
    waived = serializers.IntegerField(help_text="Of the free; staff decided not to bill them.")
    signals = serializers.IntegerField(help_text="Of the free; they reverse or confirm an outcome.")
    reversed = serializers.IntegerField(help_text="Of the free; outcomes that were reversed.")
    repeated = serializers.IntegerField(help_text="Of the free; their subject counts by another outcome.")
    unproven = serializers.IntegerField(help_text="Of the free; outcomes without the activity asked for.")
    voided_after_billing = serializers.IntegerField(
        help_text="Of the voided; a later invoice takes them back."
    )
    reversed_after_billing = serializers.IntegerField(
        help_text="Of the reversed, repeated and unproven; a later invoice takes them back."
    )
    billed_twice = serializers.IntegerField(help_text="Always 0, or there is a difference.")
    difference = serializers.IntegerField()


class MeterStandingsShape(StandingsShape):
    meter = serializers.CharField()
    customer = serializers.CharField(required=False)


class MismatchShape(serializers.Serializer[Any]):
    batch = serializers.UUIDField()
    source = serializers.CharField()  # type: ignore[assignment]  # the name in the answer
    ledger = serializers.IntegerField()
    rows = serializers.IntegerField()


class ReconciliationShape(serializers.Serializer[Any]):
    vars()["from"] = serializers.DateTimeField()
    to = serializers.DateTimeField()
    customer = serializers.CharField(allow_null=True)
    difference = serializers.IntegerField(help_text="0 when every event is accounted for exactly once.")
    arrivals = ArrivalsShape()
    sources = SourceArrivalsShape(many=True)
    standings = StandingsShape()
    meters = MeterStandingsShape(many=True)
    mismatched_rows = serializers.IntegerField(help_text="Rows missing or too many, against the ledger.")
    mismatches = MismatchShape(many=True)


class ReconciliationView(APIView):
    """Accounts for every event of a time, of all customers or of one; without times, of the running month in UTC."""

    permission_classes = [HasScope]
    required_scopes = READ_SCOPES
    schema_tag = "Events and usage"

    @extend_schema(
        operation_id="reconciliation",
        summary="Reconciliation of events and invoices",
        parameters=[
            OpenApiParameter("from", OpenApiTypes.STR, description="A date in UTC or a time. Included."),
            OpenApiParameter("to", OpenApiTypes.STR, description="A date in UTC or a time. Not included."),
            OpenApiParameter("customer", OpenApiTypes.STR, description="The code of a customer."),
            OpenApiParameter(
                "group_by", OpenApiTypes.STR, enum=["customer"], description="Meters of each customer apart."
            ),
        ],
        responses=ReconciliationShape,
    )
    def get(self, request: Request) -> Response:
        check_parameters(request, {"from", "to", "customer", "group_by"})
        asked = request.query_params
        first, last = running_month(timezone.now(), "UTC")
        start = read_moment("from", asked["from"], zone="UTC") if "from" in asked else first
        end = read_moment("to", asked["to"], zone="UTC") if "to" in asked else last
        if start >= end:
            raise InvalidWindow(f"from ({instant_text(start)}) must lie before to ({instant_text(end)}).")
        if asked.get("group_by", "customer") != "customer":
            raise ValidationError({"group_by": ["Group by customer, or leave it out."]})
        customer = _customer(asked["customer"]) if "customer" in asked else None
        found = reconcile(start, end, customer=customer, by_customer="group_by" in asked)
        return Response(_answer(found))


def _customer(code: str) -> Customer:
    customer = Customer.objects.filter(code=code).first()
    if customer is None:
        raise UnknownCustomer(f"There is no customer “{code}”.")
    return customer


def _answer(found: Reconciliation) -> dict[str, Any]:
    meters = dict(Meter.objects.values_list("id", "code"))
    ids = {each.customer_id for each in found.standings if each.customer_id is not None}
    customers = dict(Customer.objects.filter(pk__in=ids).values_list("id", "code"))
    return {
        "from": instant_text(found.start),
        "to": instant_text(found.end),
        "customer": found.customer.code if found.customer else None,
        "difference": found.difference,
        "arrivals": _arrivals(found.arrived),
        "sources": [{"source": each.source} | _arrivals(each) for each in found.arrivals],
        "standings": {name: found.standing(name) for name in (*STANDINGS, "difference")},
        "meters": [_meter(each, meters, customers) for each in found.standings],
        "mismatched_rows": found.mismatched_rows,
        "mismatches": [
            {"batch": str(each.batch), "source": each.source, "ledger": each.ledger, "rows": each.rows}
            for each in found.mismatches
        ],
    }


def _arrivals(intake: Intake) -> dict[str, Any]:
    return {name: getattr(intake, name) for name in (*OUTCOMES, "difference")}


def _meter(standings: Standings, meters: dict[int, str], customers: dict[int, str]) -> dict[str, Any]:
    names = {"meter": meters[standings.meter_id]}
    if standings.customer_id is not None:
        names["customer"] = customers[standings.customer_id]
    return names | {name: getattr(standings, name) for name in (*STANDINGS, "difference")}
