"""Coupons, and the customers that hold them."""

from __future__ import annotations

from typing import Any

import django_filters
from django.core.exceptions import ValidationError as ModelInvalid
from django.db.models import Count, Q
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.amounts import price_text
from billing.api.fields import ExactDecimalField, validate_year
from billing.couponing import CouponTerms, archive_coupon, give_coupon, remove_coupon, save_coupon
from billing.discounting import uses_of
from billing.models import Coupon, CouponDuration, CouponType, CustomerCoupon
from customers.api.authors import author_of, empty_body
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from customers.api.views import CODE_IN_PATH
from customers.codes import validate_code
from customers.errors import AlreadyExists
from customers.models import Customer
from metering.api.texts import decimal_text

TAG = "Discounts, credits and tax"


class CouponSerializer(StrictSerializer):
    unchangeable = frozenset({"code"})

    code = serializers.CharField(max_length=200, validators=[validate_code])
    name = serializers.CharField(max_length=200, help_text="Printed on invoices.")
    kind = serializers.ChoiceField(choices=CouponType.choices)
    value = ExactDecimalField(help_text="Percent up to 100, or an amount in the currency.")
    currency = serializers.CharField(
        required=False, allow_blank=True, max_length=3, help_text="Of a fixed amount; a percentage has none."
    )
    duration = serializers.ChoiceField(choices=CouponDuration.choices, required=False)
    invoices = serializers.IntegerField(
        required=False, allow_null=True, help_text="On how many invoices, when repeating."
    )
    plan_codes = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        max_length=200,
        help_text="Empty: all plans.",
    )
    rates = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, max_length=200,
        help_text="Lines it is for: codes of meters, names of fees. Empty: all.",
    )  # fmt: skip
    valid_from = serializers.DateField(
        required=False, allow_null=True, validators=[validate_year], help_text="First day it can be given."
    )
    valid_until = serializers.DateField(
        required=False,
        allow_null=True,
        validators=[validate_year],
        help_text="First day it can no longer be given.",
    )
    max_redemptions = serializers.IntegerField(
        required=False, allow_null=True, help_text="To how many customers it can be given."
    )
    held = serializers.IntegerField(read_only=True, help_text="How many customers hold it.")
    created_at = serializers.DateTimeField(read_only=True)
    archived_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def to_representation(self, instance: Coupon) -> dict[str, Any]:
        body: dict[str, Any] = super().to_representation(instance)
        shown = decimal_text(instance.value)
        return body | {"value": price_text(instance.value, instance.currency) if instance.currency else shown}


class CustomerCouponSerializer(StrictSerializer):
    id = serializers.IntegerField(read_only=True)
    customer = serializers.SlugRelatedField[Customer](slug_field="code", queryset=Customer.objects.all())
    coupon = serializers.SlugRelatedField[Coupon](slug_field="code", queryset=Coupon.objects.all())
    start_on = serializers.DateField(
        required=False,
        allow_null=True,
        validators=[validate_year],
        help_text="It is on invoices whose period ends after the beginning of this day; today when left out.",
    )
    uses = serializers.SerializerMethodField()
    given_at = serializers.DateTimeField(read_only=True)
    given_by = serializers.CharField(read_only=True)
    removed_at = serializers.DateTimeField(read_only=True, allow_null=True)
    removed_by = serializers.CharField(read_only=True)

    def get_uses(self, held: CustomerCoupon) -> int:
        """On how many live invoices it took something off, drafts included."""
        counted = self.context["uses"] if "uses" in self.context else uses_of([held])
        return int(counted[held.pk].live) if held.pk in counted else 0


EXAMPLE = {
    "code": "welcome",
    "name": "Welcome: 10 % off",
    "kind": "percent",
    "value": "10",
    "duration": "once",
}
GIVE_EXAMPLE = {"customer": "acme", "coupon": "welcome"}


class CouponFilter(django_filters.FilterSet):  # type: ignore[misc]
    archived = django_filters.BooleanFilter(field_name="archived_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Coupon
        fields = ["kind", "duration", "archived"]


@extend_schema_view(
    list=extend_schema(summary="List coupons"),
    retrieve=extend_schema(summary="Read a coupon"),
)
class CouponViewSet(
    StrictParameters, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Coupon]
):
    """Discounts that can be given to customers. What a coupon takes off is fixed once a customer holds it."""

    queryset = Coupon.objects.annotate(held=Count("given", filter=Q(given__removed_at=None))).order_by("id")
    serializer_class = CouponSerializer
    filterset_class = CouponFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = TAG
    lookup_field = "code"
    lookup_value_regex = CODE_IN_PATH

    @extend_schema(
        summary="Make a coupon",
        examples=[OpenApiExample("10 % off the next invoice", value=EXAMPLE, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        if Coupon.objects.filter(code=sent.validated_data["code"]).exists():
            raise AlreadyExists(
                f"There is a coupon “{sent.validated_data['code']}” already. Choose another code."
            )
        return self._answer(_save(sent.validated_data).code, status=201)

    @extend_schema(summary="Change a coupon")
    def partial_update(self, request: Request, code: str) -> Response:
        """Its days and its limit; anything until the first customer holds it."""
        coupon = self.get_object()
        sent = self.get_serializer(coupon, data=request.data, partial=True)
        sent.is_valid(raise_exception=True)
        current = {name: getattr(coupon, name) for name in CouponTerms.__dataclass_fields__}
        row = Coupon.objects.get(pk=coupon.pk)
        return self._answer(_save({**current, **sent.validated_data}, coupon=row).code)

    @extend_schema(summary="Archive a coupon", request=None, responses={200: CouponSerializer})
    @action(detail=True, methods=["post"])
    def archive(self, request: Request, code: str) -> Response:
        """It can no longer be given; customers that hold it keep it. Doing it again changes nothing."""
        empty_body(request)
        archive_coupon(self.get_object(), now=timezone.now())
        return self._answer(code)

    def _answer(self, code: str, *, status: int = 200) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(code=code)).data, status=status)


def _save(values: dict[str, Any], *, coupon: Coupon | None = None) -> Coupon:
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    try:
        return save_coupon(CouponTerms(**given), coupon=coupon)
    except ModelInvalid as refused:
        raise ValidationError(refused.message_dict) from refused


class CustomerCouponFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="customer__code")
    coupon = django_filters.CharFilter(field_name="coupon__code")
    removed = django_filters.BooleanFilter(field_name="removed_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = CustomerCoupon
        fields = ["customer", "coupon", "removed"]


@extend_schema_view(
    list=extend_schema(summary="List the coupons that customers hold"),
    retrieve=extend_schema(summary="Read a customer's coupon"),
)
class CustomerCouponViewSet(
    StrictParameters, mixins.RetrieveModelMixin, viewsets.GenericViewSet[CustomerCoupon]
):
    """Coupons given to customers, with how often each was used."""

    queryset = CustomerCoupon.objects.select_related("customer", "coupon").order_by("id")
    serializer_class = CustomerCouponSerializer
    filterset_class = CustomerCouponFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = TAG
    lookup_value_regex = r"[0-9]{1,18}"

    def list(self, request: Request) -> Response:
        rows: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        context = {**self.get_serializer_context(), "uses": uses_of(rows)}
        return self.get_paginated_response(CustomerCouponSerializer(rows, many=True, context=context).data)

    @extend_schema(
        summary="Give a coupon to a customer",
        examples=[OpenApiExample("From today", value=GIVE_EXAMPLE, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        values = sent.validated_data
        held = give_coupon(
            values["customer"], values["coupon"], start_on=values.get("start_on"), by=author_of(request),
            now=timezone.now(),
        )  # fmt: skip
        return Response(self.get_serializer(held).data, status=201)

    @extend_schema(summary="Take a coupon away", request=None, responses={200: CustomerCouponSerializer})
    @action(detail=True, methods=["post"])
    def remove(self, request: Request, pk: str) -> Response:
        """It is on no later invoice; issued ones keep their discount. Doing it again changes nothing."""
        empty_body(request)
        held = self.get_object()
        remove_coupon(held, by=author_of(request), now=timezone.now())
        return Response(self.get_serializer(held).data)
