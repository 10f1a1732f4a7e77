"""Fields of plans and subscriptions as they are sent, and what days and currencies may be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.api.rate_schema import DECIMAL, OVERRIDES_SCHEMA, RATE_SCHEMA
from billing.examples import MAX_EXAMPLES, written_example
from billing.models import Plan, PlanStatus, Rate, Subscription
from billing.overriding import written_overrides
from billing.rating import currency_digits
from billing.rating.decimals import exact_decimal
from billing.rating.errors import UnknownCurrency

MAX_RATES = 200


EARLIEST, LATEST = date(2000, 1, 1), date(2100, 1, 1)


@extend_schema_field(DECIMAL)
class ExactDecimalField(serializers.Field[Any, Any, Any, Any]):
    """A decimal as exact as it was sent."""

    def to_internal_value(self, data: Any) -> Decimal:
        try:
            return exact_decimal(data)
        except ValueError as refused:
            raise serializers.ValidationError(str(refused)) from refused

    def to_representation(self, value: Decimal) -> str:
        return f"{value:f}"


@extend_schema_field(OpenApiTypes.OBJECT)
class ObjectField(serializers.Field[Any, Mapping[str, Any], Any, Any]):
    """An object that the services read themselves, naming what is wrong by path."""

    def to_internal_value(self, data: Any) -> Mapping[str, Any]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("Send an object with fields.")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class ExamplesField(serializers.ListField):
    child = ObjectField()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_EXAMPLES, **kwargs)

    def to_representation(self, data: Any) -> list[Any]:
        return [written_example(example) for example in data.all()]


@extend_schema_field(RATE_SCHEMA)
class RateField(serializers.Field[Any, Mapping[str, Any], dict[str, Any], Any]):
    """A rate as docs/api.md describes it; `billing.pricing` reads it and names what is wrong by path."""

    def to_internal_value(self, data: Any) -> Mapping[str, Any]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("A rate is an object.")
        return data

    def to_representation(self, value: Rate) -> dict[str, Any]:
        named = {"label": value.label, "tax_category": value.tax_category}
        return {**value.terms, **{name: text for name, text in named.items() if text}}


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


def validate_instant(instant: datetime) -> None:
    """Refuse instants as far away as days that are refused."""
    validate_year(instant.date())


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


@extend_schema_field(OVERRIDES_SCHEMA)
class OverridesField(serializers.Field[Any, Any, Any, Any]):
    """A list of overrides; null and an empty object are none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="*", **kwargs)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if data in (None, {}):
            return {"overrides": []}
        if not isinstance(data, list) or not all(isinstance(each, Mapping) for each in data):
            raise serializers.ValidationError("Send a list of objects with rate and terms.")
        if len(data) > MAX_RATES:
            raise serializers.ValidationError(f"Send {MAX_RATES} overrides at most.")
        return {"overrides": data}

    def to_representation(self, value: Subscription) -> list[dict[str, object]]:
        return written_overrides(value) if value.overrides else []
