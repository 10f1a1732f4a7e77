"""What a new version of a plan would mean: compare two, and move customers to the active one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.api.fields import validate_year
from billing.api.plan_versions import named_version, versions_of
from billing.formatting import amount_text
from billing.models import Plan, PlanStatus, Subscription
from billing.version_differences import compare_versions
from billing.versions import move, preview_move
from customers.api.permissions import MANAGE_SCOPES, READ_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer

MAX_CUSTOMERS = 10_000


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
        versions = versions_of(code)
        active = next((each for each in versions if each.status == PlanStatus.ACTIVE), versions[0])
        before = named_version(versions, request.query_params.get("from"), "from", default=active)
        after = named_version(versions, request.query_params.get("to"), "to", default=versions[-1])
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
        plan = next((each for each in versions_of(code) if each.status == PlanStatus.ACTIVE), None)
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
