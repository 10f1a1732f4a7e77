"""Pricing past usage by a version of a plan: any draft or active version beside the issued invoices."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.api.plan_changes import MAX_CUSTOMERS
from billing.api.plan_versions import named_version, versions_of
from billing.api.previews import read_period
from billing.formatting import amount_text
from billing.models import PlanStatus
from billing.months import Month
from billing.simulating import CustomerOutcome, Outcome, Simulation, last_months, simulate
from customers.api.permissions import READ_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer

MONTHS = 12


class SimulateSerializer(StrictSerializer):
    version = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="The draft, else the active one."
    )
    first_month = serializers.CharField(required=False, help_text="2026-01; twelve months ago when left out.")
    last_month = serializers.CharField(required=False, help_text="2026-10; the last month that is over.")
    customers = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, max_length=MAX_CUSTOMERS
    )
    instead_of = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        max_length=100,
        help_text="Codes of the plans it takes the place of; the same code when left out.",
    )


class OutcomeShape(serializers.Serializer[Any]):
    then = serializers.CharField(help_text="What the issued invoices came to.")
    now = serializers.CharField(help_text="What they would have been.")
    difference = serializers.CharField()
    percent = serializers.CharField(allow_null=True)


class MonthOutcomeShape(OutcomeShape):
    month = serializers.CharField()


class CustomerOutcomeShape(OutcomeShape):
    customer = serializers.CharField()
    worst_month = MonthOutcomeShape(allow_null=True)


class FailureShape(serializers.Serializer[Any]):
    customer = serializers.CharField()
    problem = serializers.CharField()


class SimulationShape(OutcomeShape):
    plan = serializers.CharField()
    version = serializers.IntegerField()
    currency = serializers.CharField()
    dearer = serializers.IntegerField(help_text="How many customers would have paid more.")
    cheaper = serializers.IntegerField()
    months = MonthOutcomeShape(many=True)
    customers = CustomerOutcomeShape(many=True)
    failures = FailureShape(many=True)


class PlanSimulateView(StrictParameters, APIView):
    permission_classes = [HasScope]
    required_scopes = READ_SCOPES

    @extend_schema(
        summary="Price past usage by a version",
        description="Any draft or active version over real past usage, beside the issued invoices. Writes nothing.",
        request=SimulateSerializer,
        responses=SimulationShape,
        examples=[
            OpenApiExample(
                "October", value={"first_month": "2026-10", "last_month": "2026-10"}, request_only=True
            )
        ],
    )
    def post(self, request: Request, code: str) -> Response:
        sent = SimulateSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        asked, now = sent.validated_data, timezone.now()
        versions = versions_of(code)
        running = {each.status: each for each in versions}
        default = running.get(PlanStatus.DRAFT) or running.get(PlanStatus.ACTIVE) or versions[-1]
        number = asked.get("version")
        plan = named_version(versions, None if number is None else str(number), "version", default=default)
        first, last = last_months(MONTHS, now=now)
        if "first_month" in asked:
            first = read_month(asked["first_month"], "first_month").first
        if "last_month" in asked:
            last = read_month(asked["last_month"], "last_month").following
        if first >= last:
            raise ValidationError({"first_month": ["It must not lie after the last month."]})
        result = simulate(
            plan,
            first=first,
            last=last,
            now=now,
            customers=asked.get("customers", []),
            instead_of=asked.get("instead_of", []),
        )
        return Response(_simulation_body(result))


def _simulation_body(result: Simulation) -> dict[str, Any]:
    currency = result.plan.currency
    return {
        "plan": result.plan.code,
        "version": result.plan.version,
        "currency": currency,
        **_outcome_body(result.whole, currency),
        "dearer": len(result.dearer),
        "cheaper": len(result.cheaper),
        "months": [_month_body(month, each, currency) for month, each in result.months.items()],
        "customers": [_customer_body(each, currency) for each in result.customers],
        "failures": [
            {"customer": customer.code, "problem": problem} for customer, problem in result.failures
        ],
    }


def _customer_body(outcome: CustomerOutcome, currency: str) -> dict[str, Any]:
    worst = outcome.worst_month
    return {
        "customer": outcome.customer.code,
        **_outcome_body(outcome.whole, currency),
        "worst_month": None if worst is None else _month_body(*worst, currency),
    }


def _month_body(month: date, outcome: Outcome, currency: str) -> dict[str, Any]:
    return {"month": f"{month:%Y-%m}", **_outcome_body(outcome, currency)}


def _outcome_body(outcome: Outcome, currency: str) -> dict[str, Any]:
    return {
        "then": amount_text(outcome.then, currency),
        "now": amount_text(outcome.now, currency),
        "difference": amount_text(outcome.difference, currency),
        "percent": None if outcome.percent is None else f"{outcome.percent:f}",
    }


def read_month(text: str, name: str) -> Month:
    try:
        found = read_period(text)
    except ValidationError:
        found = None
    if not isinstance(found, Month):
        raise ValidationError({name: ["Expected a month such as 2026-10."]})
    return found
