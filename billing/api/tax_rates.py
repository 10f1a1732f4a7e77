"""Tax rates by country, region and category."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.coupons import TAG
from billing.api.fields import ExactDecimalField, validate_year
from billing.models import TaxCategory, TaxRate
from billing.tax_setup import save_tax_rate
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from metering.api.texts import decimal_text

TAXABLE = [choice for choice in TaxCategory.choices if choice[0] != TaxCategory.EXEMPT]


class TaxRateSerializer(StrictSerializer):
    id = serializers.IntegerField(read_only=True)
    country = serializers.CharField(max_length=2, help_text="Two capital letters.")
    region = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=10,
        help_text="A state or province; empty: the whole country.",
    )
    category = serializers.ChoiceField(choices=TAXABLE, required=False)
    name = serializers.CharField(max_length=60, help_text="Printed on invoices: VAT, GST.")
    percent = ExactDecimalField()
    inclusive = serializers.BooleanField(required=False, help_text="Prices include it.")
    on_top = serializers.BooleanField(
        required=False, help_text="A region's tax charged beside its country's instead of in its place."
    )
    valid_from = serializers.DateField(required=False, validators=[validate_year])
    valid_until = serializers.DateField(
        required=False,
        allow_null=True,
        validators=[validate_year],
        help_text="The first day it no longer holds.",
    )
    source = serializers.CharField(  # type: ignore[assignment]  # the name in the contract
        required=False, allow_blank=True, max_length=200, help_text="Where it was looked up."
    )
    created_at = serializers.DateTimeField(read_only=True)

    def to_representation(self, instance: TaxRate) -> dict[str, Any]:
        body: dict[str, Any] = super().to_representation(instance)
        return body | {"percent": decimal_text(instance.percent)}


class TaxRateFilter(django_filters.FilterSet):  # type: ignore[misc]
    class Meta:
        model = TaxRate
        fields = ["country", "region", "category"]


@extend_schema_view(
    list=extend_schema(summary="List tax rates"), retrieve=extend_schema(summary="Read a tax rate")
)
class TaxRateViewSet(
    StrictParameters, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[TaxRate]
):
    """What tax customers in a country pay. To change a rate from a day on, end it and add the next."""

    queryset = TaxRate.objects.order_by("id")
    serializer_class = TaxRateSerializer
    filterset_class = TaxRateFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = TAG
    lookup_value_regex = r"[0-9]{1,18}"

    @extend_schema(
        summary="Add a tax rate",
        examples=[
            OpenApiExample(
                "German VAT", value={"country": "DE", "name": "VAT", "percent": "19"}, request_only=True
            )
        ],
    )
    def create(self, request: Request) -> Response:
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        return Response(self.get_serializer(save_tax_rate(sent.validated_data)).data, status=201)

    @extend_schema(summary="Change a tax rate")
    def partial_update(self, request: Request, pk: str) -> Response:
        """Issued invoices keep the tax they were issued with."""
        rate = self.get_object()
        sent = self.get_serializer(rate, data=request.data, partial=True)
        sent.is_valid(raise_exception=True)
        return Response(self.get_serializer(save_tax_rate(sent.validated_data, rate=rate)).data)
