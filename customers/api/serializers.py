"""Customers as JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from rest_framework import serializers

from customers.api.strictness import StrictSerializer
from customers.codes import code_from_label, validate_code
from customers.families import family_problems
from customers.models import Customer
from customers.tax_treatment import tax_problems


class CodedSerializer(StrictSerializer, serializers.ModelSerializer[Any]):
    """Something with a code, made from `code_source` where none is sent, and never changed."""

    unchangeable = frozenset({"code"})
    code_source: ClassVar[str] = "name"
    # The model's own check for uniqueness would answer 400; a code that is taken is a conflict.
    code = serializers.CharField(
        required=False,
        max_length=200,
        validators=[validate_code],
        help_text="Made from the name when left out. It cannot be changed later.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is None and "code" not in attrs:
            attrs["code"] = code_from_label(attrs[self.code_source])
            if not attrs["code"]:
                message = (
                    f"No code can be made from this {self.code_source}. Send a code of letters and digits."
                )
                raise serializers.ValidationError({"code": [message]})
        return attrs


class TraitsField(serializers.JSONField):
    """An object of whatever names and values the integration likes."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Send an object, such as {}.")
        return super().to_internal_value(_as_json(data))


class CustomerSerializer(CodedSerializer):
    parent: Any = serializers.SlugRelatedField(
        slug_field="code",
        queryset=Customer.objects.all(),
        required=False,
        allow_null=True,
        default=None,
        help_text="The code of the customer it belongs to. One level: a parent has no parent itself.",
        error_messages={"does_not_exist": "There is no customer “{value}”. Create the parent first."},
    )
    traits = TraitsField(required=False, default=dict, help_text="Anything you want to remember, by name.")

    class Meta:
        model = Customer
        fields = [
            "code",
            "name",
            "email",
            "timezone",
            "currency",
            "address",
            "country",
            "region",
            "tax_id",
            "tax_treatment",
            "tax_exempt_reason",
            "payment_days",
            "locale",
            "parent",
            "bill_to",
            "traits",
            "created_at",
        ]
        read_only_fields = ["created_at"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        problems = tax_problems({**self._current(), **attrs})
        if problems and problems.keys() & attrs.keys() | ({"country", "tax_treatment"} & attrs.keys()):
            raise serializers.ValidationError({name: [text] for name, text in problems.items()})
        if {"parent", "bill_to", "currency"} & attrs.keys():
            known = self.instance or Customer()
            family = {
                name: attrs.get(name, getattr(known, name)) for name in ("parent", "bill_to", "currency")
            }
            if refused := family_problems(self.instance, **family):
                raise serializers.ValidationError({name: [text] for name, text in refused.items()})
        return attrs

    def _current(self) -> dict[str, Any]:
        names = ("country", "tax_id", "tax_treatment", "tax_exempt_reason")
        return {} if self.instance is None else {name: getattr(self.instance, name) for name in names}


def _as_json(value: Any) -> Any:
    """Give a value without Decimals; one that JSON's numbers cannot hold exactly is refused."""
    if isinstance(value, dict):
        return {name: _as_json(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_as_json(part) for part in value]
    if isinstance(value, Decimal):
        number = float(value)
        if Decimal(repr(number)) != value:
            raise serializers.ValidationError("A number is too long to be kept exactly. Send it as text.")
        return number
    return value
