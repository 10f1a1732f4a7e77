"""Plans and subscriptions as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.models import AnchorRule, BillingPeriod, Plan, PlanStatus, Rate, Subscription
from billing.rating import currency_digits
from billing.rating.errors import UnknownCurrency
from customers.api.strictness import StrictSerializer
from customers.codes import code_from_label, validate_code
from customers.models import Customer

RATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["kind"],
    "description": "A rate; docs/rates.md explains every field.",
    "properties": {
        "kind": {"type": "string", "enum": ["usage", "subscription", "one_time"]},
        "label": {"type": "string", "maxLength": 200},
        "meter": {"type": "string", "description": "Usage rates: the code of a meter."},
        "model": {
            "type": "string",
            "description": "Usage rates: per_unit, graduated, volume, package and others.",
        },
        "unit_amount": {"anyOf": [{"type": "string", "format": "decimal"}, {"type": "number"}]},
        "tiers": {"type": "array", "items": {"type": "object"}},
        "rows": {"type": "array", "items": {"type": "object"}},
        "amount": {
            "anyOf": [{"type": "string", "format": "decimal"}, {"type": "number"}],
            "description": "Subscription and one-time rates.",
        },
    },
    "example": {"kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "2.00"},
}
MAX_RATES = 200
EARLIEST, LATEST = date(2000, 1, 1), date(2100, 1, 1)


@extend_schema_field(RATE_SCHEMA)
class RateField(serializers.Field[Any, Mapping[str, Any], dict[str, Any], Any]):
    """A rate as docs/api.md describes it; `billing.pricing` reads it and names what is wrong by path."""

    def to_internal_value(self, data: Any) -> Mapping[str, Any]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("A rate is an object.")
        return data

    def to_representation(self, value: Rate) -> dict[str, Any]:
        return {**value.terms, "label": value.label} if value.label else dict(value.terms)


class RatesField(serializers.ListField):
    child = RateField()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_RATES, **kwargs)

    def to_representation(self, data: Any) -> list[Any]:
        return [self.child.to_representation(rate) for rate in data.all()]


def validate_billable(currency: str) -> None:
    """Refuse a currency whose minor unit is not known."""
    try:
        currency_digits(currency)
    except UnknownCurrency as refused:
        raise serializers.ValidationError(refused.message) from refused


def validate_year(day: date) -> None:
    """Refuse days so far away that periods around them have no dates."""
    if not EARLIEST <= day < LATEST:
        raise serializers.ValidationError(f"Choose a day from {EARLIEST} to before {LATEST}.")


class PlanSerializer(StrictSerializer):
    """One version of a plan. Code, version and status are not changed by writing them."""

    code = serializers.CharField(
        required=False,
        max_length=200,
        validators=[validate_code],
        help_text="Made from the name when left out.",
    )
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, default="", max_length=10_000)
    currency = serializers.CharField(default="USD", validators=[validate_billable])
    billing_period = serializers.ChoiceField(choices=BillingPeriod.choices, default=BillingPeriod.MONTHLY)
    rates = RatesField(default=list, help_text="In the order of the lines on the invoice.")
    version = serializers.IntegerField(read_only=True)
    status = serializers.ChoiceField(choices=PlanStatus.choices, read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    activated_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "code" not in attrs and not self.partial:
            attrs["code"] = code_from_label(attrs["name"])
            if not attrs["code"]:
                message = "No code can be made from this name. Send a code of letters and digits."
                raise serializers.ValidationError({"code": [message]})
        return attrs


class DraftSerializer(StrictSerializer):
    """What may be changed on a draft, and on the new draft that `versions/` makes."""

    name = serializers.CharField(required=False, max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    rates = RatesField(required=False, help_text="Replaces all rates.")


class NothingSerializer(StrictSerializer):
    """A body without fields."""


class PlanByCodeField(serializers.CharField):
    """The active version of a plan, by its code."""

    def to_internal_value(self, data: Any) -> Plan:  # type: ignore[override]
        code = super().to_internal_value(data)
        versions = {plan.status: plan for plan in Plan.objects.filter(code=code).order_by("version")}
        if not versions:
            raise serializers.ValidationError(f"There is no plan “{code}”.")
        return versions.get(PlanStatus.ACTIVE) or next(iter(versions.values()))

    def to_representation(self, value: Plan) -> str:  # type: ignore[override]
        return value.code


class SubscriptionSerializer(StrictSerializer):
    unchangeable = frozenset({"customer", "plan", "start_on", "anchor"})
    neutral: ClassVar = {"overrides": (None, {}, [])}

    id = serializers.IntegerField(read_only=True)
    customer = serializers.SlugRelatedField[Customer](slug_field="code", queryset=Customer.objects.all())
    plan = PlanByCodeField(help_text="The plan's code; its active version is assigned.")
    plan_version = serializers.IntegerField(source="plan.version", read_only=True)
    start_on = serializers.DateField(
        validators=[validate_year], help_text="First day that is billed, in the customer's time zone."
    )
    end_on = serializers.DateField(
        required=False,
        allow_null=True,
        validators=[validate_year],
        help_text="First day that is no longer billed; null while the plan goes on.",
    )
    anchor = serializers.ChoiceField(choices=AnchorRule.choices, default=AnchorRule.CALENDAR)
    timezone = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)

    class Meta:
        model = Subscription
