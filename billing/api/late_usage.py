"""Late usage of closed periods over HTTP: listed with what it comes to, and billed, credited or waived."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from django.db.models.functions import Abs
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import ExactDecimalField
from billing.deciding import MAX_REASON, bill_seen_late_usage, find_late_usage, waive_late_usage
from billing.formatting import amount_text
from billing.late_credits import credit_late_usage
from billing.late_states import LateState, state_of, waiting
from billing.models import ChangedLine
from customers.api.authors import author_of, empty_body
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from metering.api.texts import decimal_text, instant_text

MAX_LINES = 1_000
DIRECTIONS = (("bill", "to bill"), ("return", "to pay back"), ("none", "no difference"))


class LateUsageFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="line__invoice__customer__code")
    invoice = django_filters.CharFilter(field_name="line__invoice__number")
    direction = django_filters.ChoiceFilter(choices=DIRECTIONS, method="by_direction")
    waiting = django_filters.BooleanFilter(
        method="by_waiting", help_text="Waits for a decision, or does not."
    )

    class Meta:
        model = ChangedLine
        fields: ClassVar = ["customer", "invoice", "direction", "waiting"]

    def by_direction(self, rows: QuerySet[ChangedLine], name: str, value: str) -> QuerySet[ChangedLine]:
        wanted = {"bill": "effect_amount__gt", "return": "effect_amount__lt", "none": "effect_amount"}
        return rows.filter(**{wanted[value]: 0})

    def by_waiting(self, rows: QuerySet[ChangedLine], name: str, value: bool) -> QuerySet[ChangedLine]:
        return rows.filter(waiting()) if value else rows.exclude(waiting())


class LateUsageShape(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    customer = serializers.CharField()
    invoice = serializers.CharField(help_text="The issued invoice that stays as it is.")
    n = serializers.IntegerField(help_text="The number of its line.")
    meter = serializers.CharField()
    description = serializers.CharField()
    period_start = serializers.DateField()
    period_end = serializers.DateField()
    quantity = serializers.CharField(allow_null=True, help_text="The difference. Null: being computed.")
    unit = serializers.CharField()
    amount = serializers.CharField(
        allow_null=True, help_text="The difference before tax: above zero to bill, below zero to pay back."
    )
    currency = serializers.CharField()
    state = serializers.ChoiceField(choices=LateState.choices)
    found_at = serializers.DateTimeField()


class SeenSerializer(StrictSerializer):
    id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    amount = ExactDecimalField(help_text="The amount you were shown; another one by now refuses everything.")


class DecisionSerializer(StrictSerializer):
    decision = serializers.ChoiceField(
        choices=["bill", "credit", "waive"],
        help_text="bill: on the next invoice, without waiting. credit: pay back now by a credit note. waive: neither.",
    )
    lines = SeenSerializer(many=True, allow_empty=False)
    reason = serializers.CharField(
        required=False,
        max_length=MAX_REASON,
        help_text="Needed to credit or waive; printed on a credit note.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        ids = [line["id"] for line in attrs["lines"]]
        if len(ids) > MAX_LINES:
            raise serializers.ValidationError({"lines": [f"Decide about at most {MAX_LINES} lines at once."]})
        if len(set(ids)) < len(ids):
            raise serializers.ValidationError({"lines": ["Name each line once."]})
        if attrs["decision"] == "bill" and "reason" in attrs:
            raise serializers.ValidationError({"reason": ["Billing needs no reason; leave it out."]})
        if attrs["decision"] != "bill" and "reason" not in attrs:
            raise serializers.ValidationError({"reason": ["Say in a sentence why it is credited or waived."]})
        return attrs


class DecidedShape(serializers.Serializer[Any]):
    decision = serializers.CharField()
    lines = serializers.IntegerField(help_text="How many were decided.")
    credit_notes = serializers.ListField(child=serializers.CharField(), help_text="Their numbers.")


class LookedShape(serializers.Serializer[Any]):
    computed = serializers.IntegerField(help_text="How many lines changed since the last look.")


EXAMPLES = [
    OpenApiExample(
        "Pay back now",
        value={
            "decision": "credit",
            "lines": [{"id": 17, "amount": "-4.00"}],
            "reason": "Two tickets were reopened.",
        },
        request_only=True,
    ),
    OpenApiExample(
        "Bill", value={"decision": "bill", "lines": [{"id": 17, "amount": "8.00"}]}, request_only=True
    ),
    OpenApiExample(
        "Waive",
        value={"decision": "waive", "lines": [{"id": 17, "amount": "8.00"}], "reason": "Agreed by phone."},
        request_only=True,
    ),
]


@extend_schema_view(
    list=extend_schema(
        summary="List late usage", responses=LateUsageShape(many=True), operation_id="late_usage_list"
    ),
    look=extend_schema(summary="Look for late usage now", request=None, responses=LookedShape),
    decide=extend_schema(
        summary="Decide about late usage",
        request=DecisionSerializer,
        responses=DecidedShape,
        examples=EXAMPLES,
    ),
)
class LateUsageViewSet(StrictParameters, viewsets.GenericViewSet[ChangedLine]):
    """Lines of issued invoices whose events changed since: the difference goes on the next invoice by itself."""

    queryset = ChangedLine.objects.select_related("line__invoice__customer", "line__meter").order_by(
        Abs("effect_amount").desc(nulls_first=True), "pk"
    )
    filterset_class = LateUsageFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = "Invoices"

    def list(self, request: Request) -> Response:
        found: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([late_usage_body(change) for change in found])

    @action(detail=False, methods=["post"])
    def look(self, request: Request) -> Response:
        """Find and compute what changed since the worker looked, which it does every five minutes."""
        empty_body(request)
        return Response({"computed": find_late_usage(now=timezone.now())})

    @action(detail=False, methods=["post"])
    def decide(self, request: Request) -> Response:
        """Bill, credit or waive all lines named, or none: 409 when an amount is no longer the one you were shown."""
        body = DecisionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        sent = body.validated_data
        shown: dict[int, Decimal] = {line["id"]: line["amount"] for line in sent["lines"]}
        now, notes = timezone.now(), []
        if sent["decision"] == "bill":
            bill_seen_late_usage(shown, by=None, now=now)
        elif sent["decision"] == "waive":
            waive_late_usage(shown, reason=sent["reason"], by=author_of(request), now=now)
        else:
            notes = credit_late_usage(shown, reason=sent["reason"], by=author_of(request), now=now)
        numbers = [note.number for note in notes]
        return Response({"decision": sent["decision"], "lines": len(shown), "credit_notes": numbers})


def late_usage_body(change: ChangedLine) -> dict[str, Any]:
    """Give a changed line as the API shows it."""
    line = change.line
    invoice = line.invoice
    assert line.meter is not None  # only usage lines are flagged
    known = change.effect_amount is not None and change.effect_quantity is not None
    return {
        "id": change.pk,
        "customer": invoice.customer.code,
        "invoice": invoice.number,
        "n": line.n,
        "meter": line.meter.code,
        "description": line.description,
        "period_start": line.period_start.isoformat(),
        "period_end": line.period_end.isoformat(),
        "quantity": decimal_text(change.effect_quantity) if known else None,
        "unit": line.unit,
        "amount": amount_text(change.effect_amount, invoice.currency) if known else None,
        "currency": invoice.currency,
        "state": state_of(change).value,
        "found_at": instant_text(change.found_at),
    }
