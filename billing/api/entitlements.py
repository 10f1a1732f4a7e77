"""`entitlements/CUSTOMER/METER/`: what may still be used, and reserving part of it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.entitling import entitlement, release_reservation, reserve, settle_reservation
from billing.formatting import amount_text
from billing.limiting import Standing
from billing.models import LimitKind, LimitSetter, Reservation
from customers.api.permissions import HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from customers.models import Customer, Scope
from metering.api.fields import QuantityTextField
from metering.api.texts import decimal_text, instant_text
from metering.models import Meter

SCOPES = {
    "read": (Scope.READ.value, Scope.MANAGE.value, Scope.INGEST.value),
    "write": (Scope.INGEST.value, Scope.MANAGE.value),
}


class LimitShape(serializers.Serializer[Any]):
    """One limit: of staff, or the customer's own. In units of the meter or in money; what is used is the same number
    as on the invoice of the period."""

    set_by = serializers.ChoiceField(choices=LimitSetter.choices)
    kind = serializers.ChoiceField(choices=LimitKind.choices)
    unit = serializers.ChoiceField(choices=["units", "money"])
    currency = serializers.CharField(allow_null=True, help_text="Null where the limit is in units.")
    limit = serializers.CharField()
    used = serializers.CharField()
    reserved = serializers.CharField()
    remaining = serializers.CharField()


class EntitlementShape(serializers.Serializer[Any]):
    allowed = serializers.BooleanField(help_text="False once a hard limit leaves nothing.")
    limit = serializers.CharField(
        allow_null=True, help_text="The tightest limit in units. Null where none is set."
    )
    kind = serializers.ChoiceField(choices=LimitKind.choices, allow_null=True)
    used = serializers.CharField(help_text="What the invoice of the period would carry now.")
    reserved = serializers.CharField()
    remaining = serializers.CharField(allow_null=True)
    resets_at = serializers.DateTimeField()
    limits = LimitShape(many=True, help_text="All limits, those in money too.")


class KeySerializer(StrictSerializer):
    key = serializers.CharField(max_length=255, help_text="Your own name for the reservation.")


class ReserveSerializer(KeySerializer):
    quantity = QuantityTextField()

    def validate_quantity(self, quantity: Decimal) -> Decimal:
        if quantity <= 0:
            raise serializers.ValidationError("Reserve more than 0.")
        return quantity


class ReservationShape(serializers.Serializer[Any]):
    reservation = serializers.CharField(help_text="Its key.")
    quantity = serializers.CharField()
    state = serializers.CharField()


JOB = OpenApiExample("A reservation", value={"key": "job-1"}, request_only=True)
RESERVED = OpenApiExample(
    "Held", value={"reservation": "job-1", "quantity": "2", "state": "held"}, response_only=True
)


class EntitlementView(StrictParameters, APIView):
    """What a customer may still use of a meter in the running billing period."""

    permission_classes = [HasScope]
    required_scopes = SCOPES
    schema_tag = "Outcomes"

    @extend_schema(
        operation_id="entitlement",
        summary="Read what may still be used",
        responses=EntitlementShape,
        examples=[
            OpenApiExample(
                "Hard limit",
                value={
                    "allowed": True,
                    "limit": "500",
                    "kind": "hard",
                    "used": "120",
                    "reserved": "2",
                    "remaining": "378",
                    "resets_at": "2026-11-01T04:00:00Z",
                    "limits": [
                        {
                            "set_by": "staff",
                            "kind": "hard",
                            "unit": "units",
                            "currency": None,
                            "limit": "500",
                            "used": "120",
                            "reserved": "2",
                            "remaining": "378",
                        },
                        {
                            "set_by": "customer",
                            "kind": "soft",
                            "unit": "money",
                            "currency": "USD",
                            "limit": "600.00",
                            "used": "240.00",
                            "reserved": "4.00",
                            "remaining": "356.00",
                        },
                    ],
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, customer: str, meter: str) -> Response:
        found = entitlement(*_named(customer, meter), now=timezone.now())
        return Response(
            {
                "allowed": found.allowed,
                "limit": None if found.limit is None else decimal_text(found.limit),
                "kind": found.kind,
                "used": decimal_text(found.used),
                "reserved": decimal_text(found.reserved),
                "remaining": None if found.remaining is None else decimal_text(found.remaining),
                "resets_at": instant_text(found.resets_at),
                "limits": [_limit_body(each) for each in found.limits],
            }
        )


class ReserveView(StrictParameters, APIView):
    """Sets part of a limit aside, before the work is begun. 409 when a hard limit leaves too little."""

    permission_classes = [HasScope]
    required_scopes = SCOPES
    schema_tag = "Outcomes"
    repeatable = False  # a reservation has its key

    @extend_schema(
        operation_id="reserve",
        summary="Reserve",
        request=ReserveSerializer,
        responses=ReservationShape,
        examples=[
            OpenApiExample("Two tickets", value={"key": "job-1", "quantity": "2"}, request_only=True),
            RESERVED,
        ],
    )
    def post(self, request: Request, customer: str, meter: str) -> Response:
        sent = ReserveSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        made = reserve(*_named(customer, meter), **sent.validated_data, now=timezone.now())
        return Response(_body(made))


class _EndView(StrictParameters, APIView):
    permission_classes = [HasScope]
    required_scopes = SCOPES
    schema_tag = "Outcomes"
    repeatable = False  # a reservation has its key
    end: Callable[..., Reservation]

    def post(self, request: Request, customer: str, meter: str) -> Response:
        sent = KeySerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        return Response(_body(type(self).end(*_named(customer, meter), key=sent.validated_data["key"])))


@extend_schema(
    summary="Settle a reservation",
    request=KeySerializer,
    responses=ReservationShape,
    examples=[JOB],
)
class SettleView(_EndView):
    """Ends a reservation after its usage was sent: the usage counts now, the reservation no longer."""

    end = staticmethod(settle_reservation)


@extend_schema(
    summary="Release a reservation",
    request=KeySerializer,
    responses=ReservationShape,
    examples=[JOB],
)
class ReleaseView(_EndView):
    """Ends a reservation of which nothing was used."""

    end = staticmethod(release_reservation)


def _named(customer: str, meter: str) -> tuple[Customer, Meter]:
    who = Customer.objects.filter(code=customer).first()
    if who is None:
        raise Http404(f"There is no customer “{customer}”.")
    what = Meter.objects.filter(code=meter).first()
    if what is None:
        raise Http404(f"There is no meter “{meter}”.")
    return who, what


def _limit_body(standing: Standing) -> dict[str, str | None]:
    limit = standing.limit

    def text(value: Decimal) -> str:
        return amount_text(value, standing.currency) if limit.is_money else decimal_text(value)

    return {
        "set_by": limit.set_by,
        "kind": limit.kind,
        "unit": "money" if limit.is_money else "units",
        "currency": standing.currency or None,
        "limit": text(limit.most),
        "used": text(standing.used),
        "reserved": text(standing.held),
        "remaining": text(standing.remaining),
    }


def _body(made: Reservation) -> dict[str, str]:
    return {"reservation": made.key, "quantity": decimal_text(made.quantity), "state": made.state}
