"""Below which credit balance a customer is told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import django_filters
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from billing.alerting import add_alert, alerts_with_balance, set_alert
from billing.api.coupons import TAG
from billing.api.fields import ExactDecimalField, validate_billable
from billing.formatting import amount_text
from billing.models import CreditAlert
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from customers.models import Customer


class CreditAlertSerializer(StrictSerializer):
    unchangeable = frozenset({"customer", "currency"})

    id = serializers.IntegerField(read_only=True)
    customer = serializers.SlugRelatedField[Customer](slug_field="code", queryset=Customer.objects.all())
    currency = serializers.CharField(
        required=False, validators=[validate_billable], help_text="The customer's when left out."
    )
    threshold = ExactDecimalField(help_text="The customer is told once the balance is below it.")


class CreditAlertShape(CreditAlertSerializer):
    """An alert, and the balance it is about."""

    balance = serializers.SerializerMethodField(help_text="What can be used now.")
    notified_at = serializers.DateTimeField(
        allow_null=True, help_text="When it was told; null again once the balance was above the threshold."
    )

    def get_balance(self, alert: Any) -> str:
        left: Decimal = alert.left
        return amount_text(left, alert.currency)

    def to_representation(self, instance: CreditAlert) -> dict[str, Any]:
        body: dict[str, Any] = super().to_representation(instance)
        return body | {"threshold": amount_text(instance.threshold, instance.currency)}


class CreditAlertFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="customer__code")

    class Meta:
        model = CreditAlert
        fields = ["customer", "currency"]


@extend_schema_view(
    list=extend_schema(summary="List balance alerts", responses=CreditAlertShape(many=True)),
    retrieve=extend_schema(summary="Read a balance alert", responses=CreditAlertShape),
)
class CreditAlertViewSet(
    StrictParameters, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[CreditAlert]
):
    """Tells a customer, by mail and webhook, that its credits run low. One for each customer and currency."""

    queryset = CreditAlert.objects.all()
    serializer_class = CreditAlertShape
    filterset_class = CreditAlertFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = TAG
    lookup_value_regex = r"[0-9]{1,18}"

    def get_queryset(self) -> Any:
        return alerts_with_balance(now=timezone.now()).select_related("customer").order_by("id")

    @extend_schema(
        summary="Add a balance alert",
        request=CreditAlertSerializer,
        responses={201: CreditAlertShape},
        examples=[
            OpenApiExample("Below 20.00", value={"customer": "acme", "threshold": "20.00"}, request_only=True)
        ],
    )
    def create(self, request: Request) -> Response:
        """409 where the customer has one in this currency: change that."""
        sent = CreditAlertSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        values = sent.validated_data
        customer = values["customer"]
        currency = values.get("currency", customer.currency)
        alert = add_alert(customer, currency=currency, threshold=values["threshold"])
        return Response(CreditAlertShape(self.get_queryset().get(pk=alert.pk)).data, status=201)

    @extend_schema(
        summary="Change a balance alert",
        request=CreditAlertSerializer(partial=True),
        responses=CreditAlertShape,
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Another threshold, told anew where the balance is below it."""
        alert = self.get_object()
        sent = CreditAlertSerializer(alert, data=request.data, partial=True)
        sent.is_valid(raise_exception=True)
        if "threshold" in sent.validated_data:
            set_alert(alert.customer, currency=alert.currency, threshold=sent.validated_data["threshold"])
        return Response(CreditAlertShape(self.get_queryset().get(pk=alert.pk)).data)

    @extend_schema(summary="Delete a balance alert", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        alert = self.get_object()
        set_alert(alert.customer, currency=alert.currency, threshold=None)
        return Response(status=204)
