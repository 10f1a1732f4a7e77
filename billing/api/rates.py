"""`POST rates/preview/`: what a rate charges for a quantity, before it stands in any plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.api.amounts import price_text, step_body
from billing.api.fields import ExactDecimalField, RateField, validate_billable
from billing.api.shapes import RATE_PREVIEW_EXAMPLES, RatePreviewShape
from billing.errors import InvalidRate
from billing.formatting import amount_text
from billing.rating import (
    RatingError,
    Step,
    TermsError,
    UsageRate,
    currency_digits,
    rate,
    round_amount,
    usage_of,
)
from billing.terms import parse_labelled
from customers.api.permissions import READ_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer

MAX_QUANTITIES = 10_000


class QuantitySerializer(StrictSerializer):
    dimensions = serializers.DictField(child=serializers.CharField(allow_blank=True), default=dict)
    quantity = ExactDecimalField()


class RatePreviewSerializer(StrictSerializer):
    rate = RateField()
    quantity = ExactDecimalField(required=False, help_text="How much was used.")
    quantities = QuantitySerializer(  # type: ignore[call-arg]  # many=True takes it
        many=True,
        required=False,
        allow_empty=False,
        max_length=MAX_QUANTITIES,
        help_text="Or: how much by dimensions. To a percentage of each event, one entry is one event.",
    )
    currency = serializers.CharField(default="USD", validators=[validate_billable])

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "quantity" in attrs and "quantities" in attrs:
            raise serializers.ValidationError({"quantities": ["Send quantity or quantities, not both."]})
        return attrs


class RatePreviewView(StrictParameters, APIView):
    """Rates a quantity and writes nothing."""

    permission_classes = [HasScope]
    required_scopes = READ_SCOPES

    @extend_schema(
        operation_id="preview_rate",
        summary="Preview a rate",
        request=RatePreviewSerializer,
        responses={200: RatePreviewShape},
        examples=RATE_PREVIEW_EXAMPLES,
    )
    def post(self, request: Request) -> Response:
        sent = RatePreviewSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        values = sent.validated_data
        amount, working = _rate(values)
        currency = values["currency"]
        return Response(
            {
                "currency": currency,
                "amount": price_text(amount, currency),
                "rounded": amount_text(round_amount(amount, currency_digits(currency)), currency),
                "working": [step_body(step.as_json()) for step in working],
            }
        )


def _rate(values: Mapping[str, Any]) -> tuple[Decimal, Sequence[Step]]:
    try:
        _, terms = parse_labelled(values["rate"])
    except TermsError as refused:
        fields = {f"rate.{path}" if path else "rate": text for path, text in refused.fields.items()}
        raise InvalidRate(refused.message, fields=fields) from refused
    sent = next((name for name in ("quantity", "quantities") if name in values), None)
    if not isinstance(terms, UsageRate):
        if sent is not None:
            raise ValidationError({sent: ["A fee does not depend on a quantity. Leave it out."]})
        return terms.amount, [Step(terms.label, "flat", Decimal(1), terms.amount, terms.amount)]
    if sent is None:
        raise ValidationError({"quantity": ["Send quantity, or quantities by dimensions."]})
    parts = values.get("quantities") or [{"dimensions": {}, "quantity": values["quantity"]}]
    try:
        given = [(part["dimensions"], part["quantity"]) for part in parts]
        rated = rate(terms, usage_of(given, dimensions=terms.dimensions))
    except RatingError as refused:
        raise ValidationError({sent: [refused.message]}) from refused
    return rated.amount, rated.working
