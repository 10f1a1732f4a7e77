"""`usage-limits/`: the most a customer may use of a meter in a billing period, what is used of it, and its history."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import django_filters
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import ExactDecimalField
from billing.formatting import amount_text
from billing.limiting import Standing, known_standings
from billing.models import LimitKind, LimitSetter, UsageLimit
from billing.restricting import (
    MOST_REMINDERS,
    USUAL_REMINDERS,
    LimitTerms,
    add_limit,
    change_limit,
    remove_limit,
)
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from customers.models import Customer
from metering.api.fields import QuantityTextField
from metering.api.texts import decimal_text, instant_text
from metering.models import Meter

ACTIONS = {"+": "set", "~": "changed", "-": "removed"}


class UsageLimitSerializer(StrictSerializer):
    unchangeable = frozenset({"customer", "meter"})

    id = serializers.IntegerField(read_only=True)
    customer = serializers.SlugRelatedField[Customer](slug_field="code", queryset=Customer.objects.all())
    meter = serializers.SlugRelatedField[Meter](slug_field="code", queryset=Meter.objects.all())
    quantity = QuantityTextField(
        required=False, allow_null=True,
        help_text="Units of the meter in one billing period. Give this or `amount`; null takes it back.",
    )  # fmt: skip
    amount = ExactDecimalField(
        required=False, allow_null=True,
        help_text="What they may cost in one billing period, in the customer's currency, before coupons and tax.",
    )  # fmt: skip
    kind = serializers.ChoiceField(
        choices=LimitKind.choices, required=False, help_text="Hard when left out: no more is allowed."
    )
    remind_at = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=1000), required=False, max_length=MOST_REMINDERS,
        help_text="Percentages at which mail, webhook and portal tell it, once in a period; 50, 80, 100 when left "
        "out, none when empty.",
    )  # fmt: skip
    set_by = serializers.ChoiceField(choices=LimitSetter.choices, read_only=True)

    def to_representation(self, instance: UsageLimit) -> dict[str, Any]:
        return _terms(instance, instance.customer.currency) | {
            "id": instance.pk,
            "customer": instance.customer.code,
            "meter": instance.meter.code,
            "set_by": instance.set_by,
        }


class LimitStandingShape(serializers.Serializer[Any]):
    """What is used in the running period: the number of its invoice, of entitlements, reminders and portal."""

    used = serializers.CharField()
    reserved = serializers.CharField()
    remaining = serializers.CharField()
    percent = serializers.IntegerField(help_text="Full percents that are used.")
    currency = serializers.CharField(allow_null=True, help_text="Null where the limit is in units.")
    period_start = serializers.DateTimeField()
    resets_at = serializers.DateTimeField()


class UsageLimitShape(UsageLimitSerializer):
    standing = serializers.SerializerMethodField()

    @extend_schema_field(LimitStandingShape(allow_null=True))
    def get_standing(self, limit: Any) -> dict[str, Any] | None:
        """Null where the limit is in money and usage has no price."""
        found: Standing | None = limit.standing
        return None if found is None else _standing(found)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return super().to_representation(instance) | {"standing": self.get_standing(instance)}


class LimitChangeShape(serializers.Serializer[Any]):
    """What a limit said from a moment on."""

    at = serializers.DateTimeField()
    by = serializers.CharField(help_text="The person or API key, or the customer.")
    action = serializers.ChoiceField(choices=list(ACTIONS.values()))
    quantity = serializers.CharField(allow_null=True)
    amount = serializers.CharField(allow_null=True)
    kind = serializers.ChoiceField(choices=LimitKind.choices)
    remind_at = serializers.ListField(child=serializers.IntegerField())


class LimitHistoryShape(serializers.Serializer[Any]):
    results = LimitChangeShape(many=True)


class LimitFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="customer__code")
    meter = django_filters.CharFilter(field_name="meter__code")

    class Meta:
        model = UsageLimit
        fields = ["customer", "meter", "kind", "set_by"]


UNITS = {
    "customer": "acme",
    "meter": "tickets_resolved",
    "quantity": "500",
    "kind": "hard",
    "remind_at": [80, 100],
}
SHOWN = {
    "id": 7, "customer": "acme", "meter": "tickets_resolved", "set_by": "staff", "quantity": "500", "amount": None,
    "kind": "hard", "remind_at": [80, 100],
    "standing": {
        "used": "120", "reserved": "2", "remaining": "378", "percent": 24, "currency": None,
        "period_start": "2026-10-01T04:00:00Z", "resets_at": "2026-11-01T04:00:00Z",
    },
}  # fmt: skip


@extend_schema_view(
    list=extend_schema(summary="List limits", responses=UsageLimitShape(many=True)),
    retrieve=extend_schema(summary="Read a limit", responses=UsageLimitShape),
)
class LimitViewSet(
    StrictParameters, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[UsageLimit]
):
    """The most a customer may use of a meter in a billing period. Limits that the customer set are listed too."""

    queryset = UsageLimit.objects.select_related("customer", "meter").order_by("id")
    serializer_class = UsageLimitShape
    filterset_class = LimitFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = "Outcomes"
    lookup_value_regex = r"[0-9]{1,18}"

    def paginate_queryset(self, queryset: Any) -> Any:
        """Measure what a page is about together, not one by one."""
        return _with_standings(list(super().paginate_queryset(queryset) or []))

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self.get_object())

    @extend_schema(
        summary="Set a limit",
        request=UsageLimitSerializer,
        responses={200: UsageLimitShape, 201: UsageLimitShape},
        examples=[
            OpenApiExample("In units", value=UNITS, request_only=True),
            OpenApiExample("Set", value=SHOWN, response_only=True),
        ],
    )
    def create(self, request: Request) -> Response:
        """One of yours for a customer and meter: the same again is answered with 200, another one with 409."""
        sent = UsageLimitSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        values = {"kind": LimitKind.HARD, "remind_at": USUAL_REMINDERS} | sent.validated_data
        limit, is_new = add_limit(values.pop("customer"), values.pop("meter"), LimitTerms(**values))
        return self._answer(limit, status=201 if is_new else 200)

    @extend_schema(
        summary="Change a limit",
        request=UsageLimitSerializer(partial=True),
        responses=UsageLimitShape,
        examples=[
            OpenApiExample("More", value={"quantity": "800"}, request_only=True),
            OpenApiExample(
                "In money from now on", value={"quantity": None, "amount": "600.00"}, request_only=True
            ),
        ],
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """409 for a limit that the customer set."""
        limit = self.get_object()
        sent = UsageLimitSerializer(limit, data=request.data, partial=True)
        sent.is_valid(raise_exception=True)
        changes = {
            name: value for name, value in sent.validated_data.items() if name not in ("customer", "meter")
        }
        return self._answer(change_limit(limit, changes))

    @extend_schema(summary="Take a limit away", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Everything is allowed then. Its history stays."""
        limit = self.get_object()
        if not remove_limit(limit.customer, limit.meter, set_by=limit.set_by):
            raise Http404(f"There is no limit {pk}.")
        return Response(status=204)

    @extend_schema(summary="Read how a limit was changed", responses=LimitHistoryShape)
    @action(detail=True, pagination_class=None, filterset_class=None)
    def history(self, request: Request, pk: str) -> Response:
        """The latest first; also of a limit that was taken away."""
        rows = (
            UsageLimit.history.filter(id=pk)
            .select_related("history_user", "customer")
            .order_by("-history_id")
        )
        changes = [_change(row) for row in rows]
        if not changes:
            raise Http404(f"There is no limit {pk}.")
        return Response({"results": changes})

    def _answer(self, limit: UsageLimit, *, status: int = 200) -> Response:
        (shown,) = _with_standings([self.get_queryset().get(pk=limit.pk)])
        return Response(UsageLimitShape(shown).data, status=status)


def _with_standings(limits: list[Any]) -> list[Any]:
    for limit, standing in zip(limits, known_standings(limits, now=timezone.now()), strict=True):
        limit.standing = standing
    return limits


def _terms(row: Any, currency: str) -> dict[str, Any]:
    return {
        "quantity": None if row.quantity is None else decimal_text(row.quantity),
        "amount": None if row.amount is None else amount_text(row.amount, currency),
        "kind": row.kind,
        "remind_at": row.remind_at,
    }


def _standing(found: Standing) -> dict[str, Any]:
    def text(value: Decimal) -> str:
        return amount_text(value, found.currency) if found.limit.is_money else decimal_text(value)

    return {
        "used": text(found.used),
        "reserved": text(found.held),
        "remaining": text(found.remaining),
        "percent": found.percent,
        "currency": found.currency or None,
        "period_start": instant_text(found.period.start),
        "resets_at": instant_text(found.period.end),
    }


def _change(row: Any) -> dict[str, Any]:
    by = row.history_user.get_username() if row.history_user else row.history_change_reason
    if not by:
        by = "the customer" if row.set_by == LimitSetter.CUSTOMER else "Reckoner"
    at = instant_text(row.history_date)
    return {"at": at, "by": by, "action": ACTIONS[row.history_type]} | _terms(row, row.customer.currency)
