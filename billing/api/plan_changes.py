"""What a new version of a plan would mean: compare, move customers, and price past usage by it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.api.previews import read_period
from billing.api.serializers import validate_year
from billing.formatting import amount_text
from billing.models import Plan, PlanStatus, Subscription
from billing.months import Month
from billing.simulating import CustomerOutcome, Outcome, Simulation, last_months, simulate
from billing.version_differences import compare_versions
from billing.versions import move, preview_move
from customers.api.permissions import MANAGE_SCOPES, READ_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer

MAX_CUSTOMERS = 10_000
MONTHS = 12


class DifferenceShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    before = serializers.CharField(allow_blank=True)
    after = serializers.CharField(allow_blank=True)
    change = serializers.CharField(help_text="same, changed, added or removed.")


class CompareShape(serializers.Serializer[Any]):
    before = serializers.IntegerField()
    after = serializers.IntegerField()
    differences = DifferenceShape(many=True)


class MoveSerializer(StrictSerializer):
    customers = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        max_length=MAX_CUSTOMERS,
        help_text="Codes; everybody on another version when left out. Who is not named stays.",
    )
    on = serializers.DateField(
        required=False,
        allow_null=True,
        validators=[validate_year],
        help_text="The first day on the active version; the next period of the fees when left out.",
    )
    preview = serializers.BooleanField(default=True, help_text="true shows the effect and moves nobody.")


class MoveRowShape(serializers.Serializer[Any]):
    customer = serializers.CharField()
    from_version = serializers.IntegerField()
    moves_on = serializers.DateField(allow_null=True)
    before = serializers.CharField(allow_null=True, help_text="The last full period as it is priced now.")
    after = serializers.CharField(allow_null=True, help_text="The same usage on the new version.")
    lost_overrides = serializers.ListField(child=serializers.CharField())
    problem = serializers.CharField(allow_blank=True)


class MoveShape(serializers.Serializer[Any]):
    preview = serializers.BooleanField()
    version = serializers.IntegerField()
    moved = serializers.IntegerField()
    customers = MoveRowShape(many=True)


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


class PlanCompareView(StrictParameters, APIView):
    permission_classes = [HasScope]
    required_scopes = READ_SCOPES
    parameters = frozenset({"from", "to"})

    @extend_schema(
        summary="Compare two versions of a plan",
        parameters=[
            OpenApiParameter("from", int, description="A version; the active one when left out."),
            OpenApiParameter("to", int, description="A version; the newest when left out."),
        ],
        responses=CompareShape,
    )
    def get(self, request: Request, code: str) -> Response:
        versions = _versions(code)
        active = next((each for each in versions if each.status == PlanStatus.ACTIVE), versions[0])
        before = _version(versions, request.query_params.get("from"), "from", default=active)
        after = _version(versions, request.query_params.get("to"), "to", default=versions[-1])
        differences = [
            {"name": each.name, "before": each.before, "after": each.after, "change": each.change}
            for each in compare_versions(before, after)
        ]
        return Response({"before": before.version, "after": after.version, "differences": differences})


class PlanMoveView(StrictParameters, APIView):
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES

    @extend_schema(
        summary="Move customers to the active version",
        description="Shows the effect on the last full period, or moves each customer in one transaction.",
        request=MoveSerializer,
        responses=MoveShape,
        examples=[
            OpenApiExample(
                "Show the effect", value={"customers": ["acme"], "preview": True}, request_only=True
            )
        ],
    )
    def post(self, request: Request, code: str) -> Response:
        sent = MoveSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        asked, now = sent.validated_data, timezone.now()
        plan = next((each for each in _versions(code) if each.status == PlanStatus.ACTIVE), None)
        if plan is None:
            raise ValidationError({"plan": ["This plan has no active version yet. Activate one first."]})
        chosen = _subscriptions(plan, asked.get("customers"))
        on = asked.get("on")
        effects = preview_move(chosen, to=plan, on=on, now=now)
        problems = [each.problem for each in effects]
        moved = 0
        if not asked["preview"]:
            done = move(chosen, to=plan, on=on, now=now)
            problems = [each.problem for each in done]
            moved = sum(1 for each in done if each.following is not None)
        rows = [
            {
                "customer": each.subscription.customer.code,
                "from_version": each.subscription.plan.version,
                "moves_on": each.moves_on if not problem else None,
                "before": None if each.before is None else amount_text(each.before, plan.currency),
                "after": None if each.after is None else amount_text(each.after, plan.currency),
                "lost_overrides": list(each.lost),
                "problem": problem,
            }
            for each, problem in zip(effects, problems, strict=True)
        ]
        return Response(
            {"preview": asked["preview"], "version": plan.version, "moved": moved, "customers": rows}
        )


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
        versions = _versions(code)
        running = {each.status: each for each in versions}
        default = running.get(PlanStatus.DRAFT) or running.get(PlanStatus.ACTIVE) or versions[-1]
        number = asked.get("version")
        plan = _version(versions, None if number is None else str(number), "version", default=default)
        first, last = last_months(MONTHS, now=now)
        if "first_month" in asked:
            first = _month(asked["first_month"], "first_month").first
        if "last_month" in asked:
            last = _month(asked["last_month"], "last_month").following
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


def _month(text: str, name: str) -> Month:
    try:
        found = read_period(text)
    except ValidationError:
        found = None
    if not isinstance(found, Month):
        raise ValidationError({name: ["Expected a month such as 2026-10."]})
    return found


def _versions(code: str) -> list[Plan]:
    versions = list(Plan.objects.filter(code=code).order_by("version"))
    if not versions:
        raise Http404(f"There is no plan “{code}”.")
    return versions


def _version(versions: Sequence[Plan], number: str | None, name: str, *, default: Plan) -> Plan:
    if number is None:
        return default
    for plan in versions:
        if str(plan.version) == number:
            return plan
    raise ValidationError({name: [f"This plan has the versions 1 to {versions[-1].version}."]})


def _subscriptions(plan: Plan, customers: Sequence[str] | None) -> list[Subscription]:
    """Give what runs or will run on another version, one or more for each customer named."""
    rows = (
        Subscription.objects.filter(plan__code=plan.code, moved_to=None)
        .exclude(plan=plan)
        .select_related("customer", "plan")
        .order_by("customer__code", "start_on")
    )
    today = timezone.now().date()
    rows = rows.exclude(end_on__lte=today)
    if customers is None:
        return list(rows)
    found = list(rows.filter(customer__code__in=customers))
    known = set(
        Subscription.objects.filter(plan__code=plan.code, customer__code__in=customers).values_list(
            "customer__code", flat=True
        )
    )
    missing = sorted(set(customers) - known)
    if missing:
        raise ValidationError({"customers": [f"These customers do not have the plan: {', '.join(missing)}."]})
    return found
