"""Budgets: what a workload, customer or plan may cost or bring in a month, where each stands, and its alarms."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import Any

import django_filters
from django.db.models import Prefetch
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import ExactDecimalField
from billing.budget_terms import MOST_EMAILS, MOST_THRESHOLDS, USUAL_THRESHOLDS, BudgetTerms
from billing.budgeting import save_budget
from billing.errors import InvalidBudget
from billing.formatting import amount_text
from billing.models import AlarmKind, Budget, BudgetAlarm, BudgetMeasure, BudgetPoint
from billing.rating.money import currency_digits, round_amount
from customers.api.authors import author_of
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from customers.models import Customer
from metering.api.texts import decimal_text
from metering.models import Workload

ALARMS_SHOWN = 100


class StandingShape(serializers.Serializer[Any]):
    on = serializers.DateField(help_text="The last day in the figures.")
    spent = serializers.CharField(allow_null=True, help_text="Of a month so far; null for a margin.")
    forecast = serializers.CharField(
        allow_null=True, help_text="The month at its pace so far; null before the third day and for a margin."
    )
    revenue = serializers.CharField(allow_null=True, help_text="Of a margin.")
    cost = serializers.CharField(allow_null=True, help_text="Of a margin.")
    percent = serializers.CharField(
        allow_null=True,
        help_text="Of the amount, or the margin; null where nothing was billed. Cut, not rounded.",
    )
    unknown = serializers.ListField(
        child=serializers.CharField(), help_text="What is not in the figures, because its cost is not known."
    )
    checked_at = serializers.DateTimeField()


class AlarmShape(serializers.Serializer[Any]):
    month = serializers.CharField()
    kind = serializers.ChoiceField(choices=AlarmKind.choices)
    threshold = serializers.IntegerField(allow_null=True)
    sentence = serializers.CharField()
    raised_at = serializers.DateTimeField()


class BudgetSerializer(StrictSerializer):
    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField(max_length=200)
    measure = serializers.ChoiceField(
        choices=BudgetMeasure.choices,
        help_text="cost: workload, customer. spend: customer, plan. margin: any.",
    )
    workload = serializers.SlugRelatedField[Workload](
        slug_field="code", queryset=Workload.objects.all(), required=False, allow_null=True,
        help_text="With all that are part of it. Name one workload, one customer or one plan.",
    )  # fmt: skip
    customer = serializers.SlugRelatedField[Customer](
        slug_field="code", queryset=Customer.objects.all(), required=False, allow_null=True
    )
    plan = serializers.CharField(source="plan_code", required=False, allow_blank=True, max_length=200)
    currency = serializers.CharField(max_length=3)
    amount = ExactDecimalField(
        required=False, allow_null=True, help_text="For a calendar month in UTC. A margin has none."
    )
    thresholds = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=1000), required=False, max_length=MOST_THRESHOLDS,
        help_text="Percentages of the amount at which an alarm is raised; 50, 80, 100 when left out.",
    )  # fmt: skip
    least_percent = ExactDecimalField(
        required=False, allow_null=True, help_text="Of a margin: an alarm is raised below it."
    )
    forecast_alarm = serializers.BooleanField(
        required=False, help_text="Raise an alarm as soon as the month is going to exceed the amount."
    )
    emails = serializers.ListField(
        child=serializers.EmailField(max_length=254), required=False, max_length=MOST_EMAILS
    )
    active = serializers.BooleanField(required=False)
    standing = serializers.SerializerMethodField()
    alarms = serializers.SerializerMethodField()

    @extend_schema_field(StandingShape(allow_null=True))
    def get_standing(self, budget: Budget) -> dict[str, Any] | None:
        points = list(budget.points.all())
        return _standing(budget, points[-1]) if points else None

    @extend_schema_field(AlarmShape(many=True))
    def get_alarms(self, budget: Budget) -> list[dict[str, Any]]:
        """Give what was raised, the latest first, at most a hundred."""
        return [
            {
                "month": f"{alarm.month:%Y-%m}",
                "kind": alarm.kind,
                "threshold": alarm.threshold or None,
                "sentence": alarm.sentence,
                "raised_at": alarm.raised_at,
            }
            for alarm in list(budget.alarms.all())[:ALARMS_SHOWN]
        ]

    def to_representation(self, instance: Budget) -> dict[str, Any]:
        body: dict[str, Any] = super().to_representation(instance)
        least = instance.least_percent
        return body | {
            "amount": None if instance.amount is None else amount_text(instance.amount, instance.currency),
            "least_percent": None if least is None else decimal_text(least),
        }


def _standing(budget: Budget, point: BudgetPoint) -> dict[str, Any]:
    def rounded(value: Decimal | None) -> str | None:
        if value is None:
            return None
        return amount_text(round_amount(value, currency_digits(budget.currency)), budget.currency)

    percent = point.percent
    return {
        "on": point.on,
        "spent": rounded(point.spent),
        "forecast": rounded(point.forecast),
        "revenue": rounded(point.revenue),
        "cost": rounded(point.cost),
        "percent": None if percent is None else f"{percent.quantize(Decimal('0.01'), ROUND_FLOOR):f}",
        "unknown": point.unknown,
        "checked_at": point.checked_at,
    }


class BudgetFilter(django_filters.FilterSet):  # type: ignore[misc]
    workload = django_filters.CharFilter(field_name="workload__code")
    customer = django_filters.CharFilter(field_name="customer__code")
    plan = django_filters.CharFilter(field_name="plan_code")

    class Meta:
        model = Budget
        fields = ["measure", "workload", "customer", "plan", "active"]


@extend_schema_view(
    list=extend_schema(summary="List budgets"),
    retrieve=extend_schema(summary="Read a budget"),
)
class BudgetViewSet(
    StrictParameters, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Budget]
):
    """Monthly budgets. The worker looks at them each hour and raises each alarm once."""

    queryset = (
        Budget.objects.select_related("workload", "customer")
        .prefetch_related(
            Prefetch("points", BudgetPoint.objects.order_by("budget_id", "-on").distinct("budget_id")),
            Prefetch("alarms", BudgetAlarm.objects.order_by("-raised_at", "-threshold", "-id")),
        )
        .order_by("id")
    )
    serializer_class = BudgetSerializer
    filterset_class = BudgetFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = "Workloads, cost, margin"
    lookup_value_regex = r"[0-9]{1,18}"

    @extend_schema(
        summary="Make a budget",
        examples=[
            OpenApiExample(
                "Cost of a workload",
                value={
                    "name": "Support bot", "measure": "cost", "workload": "support_bot", "currency": "USD",
                    "amount": "50.00", "thresholds": [50, 80, 100], "emails": ["anna@example.com"],
                },
                request_only=True,
            ),
            OpenApiExample(
                "Margin of a customer",
                value={
                    "name": "Acme", "measure": "margin", "customer": "acme", "currency": "USD", "least_percent": "70",
                },
                request_only=True,
            ),
        ],
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        """Its standing is null until the worker has looked at it."""
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        values = dict(sent.validated_data)
        if values["measure"] != BudgetMeasure.MARGIN:
            values.setdefault("thresholds", USUAL_THRESHOLDS)
        return self._answer(_save(BudgetTerms(**values), by=author_of(request)), status=201)

    @extend_schema(summary="Change a budget")
    def partial_update(self, request: Request, pk: str) -> Response:
        """When it allows something else, its alarms can be raised again."""
        budget = self.get_object()
        sent = self.get_serializer(budget, data=request.data, partial=True)
        sent.is_valid(raise_exception=True)
        current = {name: getattr(budget, name) for name in BudgetTerms.__dataclass_fields__}
        terms = BudgetTerms(**(current | sent.validated_data))
        return self._answer(_save(terms, budget=budget, by=author_of(request)))

    @extend_schema(summary="Delete a budget")
    def destroy(self, request: Request, pk: str) -> Response:
        """It goes with its alarms: it is no record of anything that was billed."""
        self.get_object().delete()
        return Response(status=204)

    def _answer(self, budget: Budget, *, status: int = 200) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=budget.pk)).data, status=status)


def _save(terms: BudgetTerms, *, by: str, budget: Budget | None = None) -> Budget:
    try:
        return save_budget(terms, budget=budget, by=by, now=timezone.now())
    except InvalidBudget as refused:
        named = {"plan" if name == "plan_code" else name: told for name, told in refused.fields.items()}
        raise InvalidBudget(refused.message, fields=named) from refused
