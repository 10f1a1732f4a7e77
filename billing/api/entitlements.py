"""`entitlements/CUSTOMER/METER/`: what may still be used, and reserving part of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.entitling import entitlement
from billing.formatting import amount_text
from billing.limiting import Standing
from billing.models import LimitKind, LimitSetter, Reservation
from billing.reserving import held_reservations, release_reservation, reserve, settle_reservation
from customers.api.permissions import HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from customers.models import Customer, Scope
from metering.api.fields import QuantityTextField
from metering.api.texts import decimal_text, instant_text
from metering.models import Meter

MOST_SECONDS = 31 * 24 * 60 * 60
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
    expires_in_seconds = serializers.IntegerField(
        required=False, min_value=1, max_value=MOST_SECONDS, allow_null=True,
        help_text="After so long it is no longer counted, as when the work died. Else it is held until the billing "
        "period ends.",
    )  # fmt: skip

    def validate_quantity(self, quantity: Decimal) -> Decimal:
        if quantity <= 0:
            raise serializers.ValidationError("Reserve more than 0.")
        return quantity


class ReservationShape(serializers.Serializer[Any]):
    reservation = serializers.CharField(help_text="Its key.")
    quantity = serializers.CharField()
    state = serializers.CharField()
    made_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="Null: it is held until the billing period ends."
    )


class ReservationsShape(serializers.Serializer[Any]):
    results = ReservationShape(many=True)


JOB = OpenApiExample("A reservation", value={"key": "job-1"}, request_only=True)
HELD = {
    "reservation": "job-1", "quantity": "2", "state": "held", "made_at": "2026-10-20T12:00:00Z",
    "expires_at": "2026-10-20T12:15:00Z",
}  # fmt: skip
RESERVED = OpenApiExample("Held", value=HELD, response_only=True)


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
            OpenApiExample(
                "Two tickets, for at most 15 minutes",
                value={"key": "job-1", "quantity": "2", "expires_in_seconds": 900},
                request_only=True,
            ),
            RESERVED,
        ],
    )
    def post(self, request: Request, customer: str, meter: str) -> Response:
        sent = ReserveSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        asked = dict(sent.validated_data)
        seconds = asked.pop("expires_in_seconds", None)
        expires_in = None if seconds is None else timedelta(seconds=seconds)
        made = reserve(*_named(customer, meter), **asked, expires_in=expires_in, now=timezone.now())
        return Response(_body(made))


class ReservationsView(StrictParameters, APIView):
    """What is held of the running billing period: where work died, its reservation stands here."""

    permission_classes = [HasScope]
    required_scopes = SCOPES
    schema_tag = "Outcomes"

    @extend_schema(
        operation_id="reservations",
        summary="List what is held",
        responses=ReservationsShape,
        examples=[OpenApiExample("One", value={"results": [HELD]}, response_only=True)],
    )
    def get(self, request: Request, customer: str, meter: str) -> Response:
        held = held_reservations(*_named(customer, meter), now=timezone.now())
        return Response({"results": [_body(each) for each in held]})


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


def _body(made: Reservation) -> dict[str, str | None]:
    return {
        "reservation": made.key,
        "quantity": decimal_text(made.quantity),
        "state": made.state,
        "made_at": instant_text(made.made_at),
        "expires_at": None if made.expires_at is None else instant_text(made.expires_at),
    }
