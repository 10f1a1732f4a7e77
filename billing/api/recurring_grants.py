"""Credits granted anew in every period."""

from __future__ import annotations

from typing import Any

import django_filters
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.coupons import TAG
from billing.api.credits import GRANTABLE
from billing.api.fields import ExactDecimalField, validate_billable, validate_year
from billing.crediting import DEFAULT_PRIORITY
from billing.formatting import amount_text
from billing.models import CreditKind, GrantInterval, RecurringGrant
from billing.recurring import RecurringTerms, grant_regularly, stop_granting
from customers.api.authors import author_of, empty_body
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from customers.models import Customer


class RecurringGrantSerializer(StrictSerializer):
    id = serializers.IntegerField(read_only=True)
    customer = serializers.SlugRelatedField[Customer](slug_field="code", queryset=Customer.objects.all())
    currency = serializers.CharField(
        required=False, validators=[validate_billable], help_text="The customer's when left out."
    )
    kind = serializers.ChoiceField(choices=GRANTABLE, default=CreditKind.PROMOTIONAL.value)
    name = serializers.CharField(max_length=200, help_text="Shown to the customer and on invoices.")
    amount = ExactDecimalField(help_text="Granted in every period.")
    interval = serializers.ChoiceField(choices=GrantInterval.choices, default=GrantInterval.MONTH.value)
    start_on = serializers.DateField(
        required=False, validators=[validate_year],
        help_text="The first day of the first period, in the customer's time zone; today when left out, and no earlier "
        "than the first of this month.",
    )  # fmt: skip
    end_on = serializers.DateField(
        required=False, allow_null=True, validators=[validate_year],
        help_text="No period begins on this day or later.",
    )  # fmt: skip
    priority = serializers.IntegerField(default=DEFAULT_PRIORITY, help_text="Low numbers are used first.")
    expires = serializers.BooleanField(
        default=True, help_text="What is left expires at the end of its period."
    )
    rollover_limit = ExactDecimalField(
        required=False,
        allow_null=True,
        help_text="So much of what is left can still be used in the period after.",
    )


class RecurringGrantShape(RecurringGrantSerializer):
    """A recurring grant, and which period comes next."""

    next_on = serializers.DateField(help_text="First day of the next period that is granted.")
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    stopped_at = serializers.DateTimeField(allow_null=True)
    stopped_by = serializers.CharField()

    def to_representation(self, instance: RecurringGrant) -> dict[str, Any]:
        body: dict[str, Any] = super().to_representation(instance)
        for name in ("amount", "rollover_limit"):
            amount = getattr(instance, name)
            body[name] = None if amount is None else amount_text(amount, instance.currency)
        return body


class RecurringGrantFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="customer__code")
    stopped = django_filters.BooleanFilter(field_name="stopped_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = RecurringGrant
        fields = ["customer", "currency", "stopped"]


@extend_schema_view(
    list=extend_schema(summary="List recurring grants", responses=RecurringGrantShape(many=True)),
    retrieve=extend_schema(summary="Read a recurring grant", responses=RecurringGrantShape),
)
class RecurringGrantViewSet(
    StrictParameters,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[RecurringGrant],
):
    """Credits granted anew when a period begins, once each. Terms never change: stop it and make another."""

    queryset = RecurringGrant.objects.select_related("customer").order_by("id")
    serializer_class = RecurringGrantShape
    filterset_class = RecurringGrantFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = TAG
    lookup_value_regex = r"[0-9]{1,18}"

    @extend_schema(
        summary="Grant a credit regularly",
        request=RecurringGrantSerializer,
        responses={201: RecurringGrantShape},
        examples=[
            OpenApiExample(
                "50.00 a month, 20.00 of it roll over",
                value={
                    "customer": "acme",
                    "name": "Monthly credit",
                    "amount": "50.00",
                    "rollover_limit": "20.00",
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """What is due by now is granted at once, the rest when its period begins. `credit-grants/` has the credits."""
        sent = RecurringGrantSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        values = dict(sent.validated_data)
        customer = values.pop("customer")
        values.setdefault("currency", customer.currency)
        row = grant_regularly(customer, RecurringTerms(**values), by=author_of(request), now=timezone.now())
        row.refresh_from_db()
        return Response(RecurringGrantShape(row).data, status=201)

    @extend_schema(summary="Stop a recurring grant", request=None, responses={200: RecurringGrantShape})
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        """Nothing more is granted; what was granted stays, and can be voided by itself. 409 when it was stopped."""
        empty_body(request)
        row = stop_granting(self.get_object(), by=author_of(request), now=timezone.now())
        return Response(RecurringGrantShape(row).data)
