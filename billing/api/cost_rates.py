"""Set-up of cost rates: what a unit of a meter costs us, and what a workload costs each month."""

from __future__ import annotations

from typing import Any

import django_filters
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.amounts import price_text
from billing.api.fields import validate_billable, validate_year
from billing.api.rate_schema import COST_RATE_SCHEMA, USAGE_TERMS
from billing.cost_rates import Validity, add_cost_rate, withdraw_cost_rate
from billing.models import CostRate, CostRateKind
from customers.api.authors import empty_body
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer

EXAMPLE: dict[str, Any] = {
    "kind": "usage",
    "meter": "llm_tokens",
    "model": "per_unit",
    "per": "1000000",
    "dimensions": ["type"],
    "rows": [
        {"match": {"type": "input"}, "unit_amount": "0.50"},
        {"match": {"type": "output"}, "unit_amount": "2.50"},
    ],
    "unmatched": "listed",
    "currency": "USD",
    "effective_from": "2026-01-01",
    "label": "provider prices Jan 2026",
}
FIXED_EXAMPLE = {"kind": "fixed", "workload": "support_bot", "amount": "30.00"}


class ValiditySerializer(StrictSerializer):
    currency = serializers.CharField(default="USD", validators=[validate_billable])
    label = serializers.CharField(default="", allow_blank=True, max_length=200)  # type: ignore[assignment]
    effective_from = serializers.DateField(default=None, allow_null=True, validators=[validate_year])
    effective_until = serializers.DateField(default=None, allow_null=True, validators=[validate_year])


class DescribedField(serializers.Field[Any, Any, Any, Any]):
    """A field of an answer that is there for some, as a schema describes it."""

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__(required=False)
        extend_schema_field(schema)(self)  # type: ignore[type-var]  # of an instance, as of a class


class CostRateShape(serializers.Serializer[Any]):
    """The terms of a usage cost stand beside these fields, as they do in the body of a request."""

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=CostRateKind.choices)
    meter = serializers.CharField(allow_null=True)
    workload = serializers.CharField(allow_null=True)
    amount = serializers.CharField(allow_null=True, help_text="Of a fixed cost: for one month.")
    currency = serializers.CharField()
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]  # the name in the answer
    effective_from = serializers.DateField(allow_null=True, help_text="Null: from the beginning.")
    effective_until = serializers.DateField(allow_null=True, help_text="The first day it no longer holds.")
    created_at = serializers.DateTimeField()
    withdrawn_at = serializers.DateTimeField(allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        terms = {name: DescribedField(each) for name, each in USAGE_TERMS.items() if name != "meter"}
        return {**super().get_fields(), **terms}

    def to_representation(self, instance: CostRate) -> dict[str, Any]:
        row = instance
        return {
            **row.terms,
            "id": row.pk,
            "kind": row.kind,
            "meter": row.meter.code if row.meter else None,
            "workload": row.workload.code if row.workload else None,
            "amount": None if row.amount is None else price_text(row.amount, row.currency),
            "currency": row.currency,
            "label": row.label,
            "effective_from": row.effective_from,
            "effective_until": row.effective_until,
            "created_at": row.created_at,
            "withdrawn_at": row.withdrawn_at,
        }


class CostRateFilter(django_filters.FilterSet):  # type: ignore[misc]
    meter = django_filters.CharFilter(field_name="meter__code")
    workload = django_filters.CharFilter(field_name="workload__code")

    class Meta:
        model = CostRate
        fields = ["kind", "meter", "workload", "currency"]


@extend_schema_view(
    list=extend_schema(summary="List cost rates"), retrieve=extend_schema(summary="Read a cost rate")
)
class CostRateViewSet(
    StrictParameters, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[CostRate]
):
    """What internal work costs. Customers never see it. A rate is replaced from a later day, or withdrawn."""

    queryset = CostRate.objects.select_related("meter", "workload").order_by("id")
    serializer_class = CostRateShape
    filterset_class = CostRateFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = "Cost and margin"
    lookup_value_regex = r"[0-9]{1,18}"

    @extend_schema(
        summary="Add a cost rate",
        request={"application/json": COST_RATE_SCHEMA},
        responses={201: CostRateShape},
        examples=[
            OpenApiExample("By dimensions", value=EXAMPLE, request_only=True),
            OpenApiExample("Fixed each month", value=FIXED_EXAMPLE, request_only=True),
        ],
    )
    def create(self, request: Request) -> Response:
        """The rate that holds on `effective_from` ends on that day."""
        if not isinstance(request.data, dict):
            raise ValidationError("Send an object: a usage rate, or a fixed cost.")
        names = ValiditySerializer().fields.keys()
        sent = ValiditySerializer(data={name: request.data[name] for name in names if name in request.data})
        sent.is_valid(raise_exception=True)
        terms = {name: value for name, value in request.data.items() if name not in names}
        row = add_cost_rate(terms, Validity(**sent.validated_data))
        return Response(CostRateShape(row).data, status=201)

    @extend_schema(
        summary="Withdraw a cost rate",
        request=None,
        responses={200: CostRateShape},
    )
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """It no longer prices any day and stays readable. Doing it again changes nothing."""
        empty_body(request)
        withdraw_cost_rate(self.get_object(), now=timezone.now())
        return Response(CostRateShape(self.get_object()).data)
