"""Credits of customers, and their ledger."""

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
from billing.api.fields import ExactDecimalField, validate_billable, validate_instant
from billing.crediting import DEFAULT_PRIORITY, CreditTerms, grant_credit
from billing.formatting import amount_text
from billing.models import CreditEntry, CreditEntryKind, CreditGrant, CreditKind
from billing.moving import void_credit
from customers.api.authors import author_of
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from customers.models import Customer

GRANTABLE = [(kind.value, kind.label) for kind in (CreditKind.PREPAID, CreditKind.PROMOTIONAL)]


class CreditGrantSerializer(StrictSerializer):
    id = serializers.IntegerField(read_only=True)
    customer = serializers.SlugRelatedField[Customer](slug_field="code", queryset=Customer.objects.all())
    currency = serializers.CharField(
        required=False, validators=[validate_billable], help_text="The customer's when left out."
    )
    kind = serializers.ChoiceField(choices=GRANTABLE, default=CreditKind.PROMOTIONAL.value)
    name = serializers.CharField(max_length=200, help_text="Shown to the customer and on invoices.")
    amount = ExactDecimalField()
    priority = serializers.IntegerField(
        default=DEFAULT_PRIORITY,
        help_text="Low numbers are used first; then what expires soonest; then the oldest.",
    )
    effective_at = serializers.DateTimeField(
        required=False, allow_null=True, validators=[validate_instant], help_text="At once when left out."
    )
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, validators=[validate_instant], help_text="Null: it does not expire."
    )
    rollover_limit = ExactDecimalField(
        required=False,
        allow_null=True,
        help_text="So much of what is left goes on into a new credit at expiry.",
    )
    rollover_days = serializers.IntegerField(
        required=False, allow_null=True, help_text="How long the new one lasts; null: it does not expire."
    )
    reference = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=200,
        help_text="For example the payment it was bought by.",
    )


class CreditGrantShape(CreditGrantSerializer):
    """A credit with what is left of it."""

    kind = serializers.ChoiceField(choices=CreditKind.choices)
    balance = serializers.CharField(help_text="What is left; the sum of its entries in the ledger.")
    invoice = serializers.CharField(
        source="source_invoice.number",
        default=None,
        allow_null=True,
        help_text="The invoice it was carried over from.",
    )
    payment = serializers.IntegerField(
        source="source_payment_id",
        allow_null=True,
        help_text="The entry that moved it off an invoice's credit balance.",
    )
    rolled_from = serializers.IntegerField(
        source="rolled_from_id", allow_null=True, help_text="The credit it goes on with."
    )
    granted_at = serializers.DateTimeField()
    granted_by = serializers.CharField()
    voided_at = serializers.DateTimeField(allow_null=True)
    voided_by = serializers.CharField()
    void_reason = serializers.CharField()

    def to_representation(self, instance: CreditGrant) -> dict[str, Any]:
        body: dict[str, Any] = super().to_representation(instance)
        for name in ("amount", "balance", "rollover_limit"):
            amount = getattr(instance, name)
            body[name] = None if amount is None else amount_text(amount, instance.currency)
        return body


class VoidSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=200, help_text="The customer reads it in the ledger.")


class CreditEntryShape(serializers.Serializer[Any]):
    """One movement: above 0 what comes, below 0 what goes. It never changes."""

    id = serializers.IntegerField()
    grant = serializers.IntegerField(source="grant_id")
    customer = serializers.CharField(source="grant.customer.code")
    currency = serializers.CharField(source="grant.currency")
    kind = serializers.ChoiceField(choices=CreditEntryKind.choices)
    amount = serializers.SerializerMethodField()
    invoice = serializers.CharField(source="invoice.number", default=None, allow_null=True)
    at = serializers.DateTimeField()
    reason = serializers.CharField()
    by = serializers.CharField()

    def get_amount(self, entry: CreditEntry) -> str:
        return amount_text(entry.amount, entry.grant.currency)


EXAMPLE = {
    "customer": "acme",
    "name": "Welcome credit",
    "amount": "50.00",
    "expires_at": "2027-06-30T00:00:00Z",
}
PREPAID_EXAMPLE = {
    "customer": "acme",
    "kind": "prepaid",
    "name": "Prepaid 2027",
    "amount": "1000.00",
    "reference": "Wire transfer 4711",
}


class CreditGrantFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="customer__code")
    left = django_filters.BooleanFilter(
        method="with_balance", help_text="true: credits of which something is left; false: used up ones."
    )

    class Meta:
        model = CreditGrant
        fields = ["customer", "currency", "kind", "left"]

    def with_balance(self, rows: Any, name: str, wanted: bool) -> Any:
        return rows.filter(balance__gt=0) if wanted else rows.filter(balance=0)


@extend_schema_view(
    list=extend_schema(summary="List credits", responses=CreditGrantShape(many=True)),
    retrieve=extend_schema(summary="Read a credit", responses=CreditGrantShape),
)
class CreditGrantViewSet(
    StrictParameters, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[CreditGrant]
):
    """Prepaid and promotional credits. They pay invoices when these are issued."""

    queryset = CreditGrant.objects.select_related("customer", "source_invoice").order_by("id")
    serializer_class = CreditGrantShape
    filterset_class = CreditGrantFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = TAG
    lookup_value_regex = r"[0-9]{1,18}"

    @extend_schema(
        summary="Grant a credit",
        request=CreditGrantSerializer,
        responses={201: CreditGrantShape},
        examples=[
            OpenApiExample("Promotional", value=EXAMPLE, request_only=True),
            OpenApiExample("Prepaid", value=PREPAID_EXAMPLE, request_only=True),
        ],
    )
    def create(self, request: Request) -> Response:
        sent = CreditGrantSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        values = dict(sent.validated_data)
        customer = values.pop("customer")
        values.setdefault("currency", customer.currency)
        grant = grant_credit(customer, CreditTerms(**values), by=author_of(request), now=timezone.now())
        return Response(CreditGrantShape(grant).data, status=201)

    @extend_schema(
        summary="Take back what is left of a credit",
        request=VoidSerializer,
        responses={200: CreditGrantShape},
        examples=[
            OpenApiExample("By mistake", value={"reason": "Granted twice by mistake"}, request_only=True)
        ],
    )
    @action(detail=True, methods=["post"])
    def void(self, request: Request, pk: str) -> Response:
        """What was used stays used. 409 when nothing is left. A moved balance goes back to its invoice, if unused."""
        sent = VoidSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        grant = void_credit(
            self.get_object(), reason=sent.validated_data["reason"], by=author_of(request), now=timezone.now()
        )
        return Response(CreditGrantShape(grant).data)


class CreditEntryFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="grant__customer__code")
    grant = django_filters.NumberFilter(field_name="grant_id", min_value=1, max_value=10**18)
    invoice = django_filters.CharFilter(field_name="invoice__number")

    class Meta:
        model = CreditEntry
        fields = ["customer", "grant", "invoice", "kind"]


@extend_schema_view(list=extend_schema(summary="Read the ledger of credits"))
class CreditEntryViewSet(StrictParameters, mixins.ListModelMixin, viewsets.GenericViewSet[CreditEntry]):
    """Every movement of every credit, the oldest first. The sum of a credit's entries is its balance."""

    queryset = CreditEntry.objects.select_related("grant__customer", "invoice").order_by("id")
    serializer_class = CreditEntryShape
    filterset_class = CreditEntryFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = TAG
