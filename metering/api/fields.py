"""Fields that serializers of every app use."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from metering.api.texts import decimal_text
from metering.meter_types import Rounding
from metering.models import MAX_DIGITS

ROUNDING_FORM = '{"function": "half_up", "digits": 0}'
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)


class QuantityTextField(serializers.DecimalField):
    """An exact decimal, read from text or from the text of a JSON number, written without needless zeros."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_digits": 38, "decimal_places": 18, **kwargs})

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or (isinstance(data, str) and not NUMBER.fullmatch(data)):
            self.fail("invalid")
        return super().to_internal_value(data)

    def quantize(self, value: Decimal) -> Decimal:
        return value

    def to_representation(self, value: Any) -> str:
        return decimal_text(Decimal(value))


class FiltersField(serializers.JSONField):
    """Allowed values by dimension; one value may stand without its list, and null filters nothing."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is None or data == []:
            data = {}
        if isinstance(data, dict):
            data = {name: [value] if isinstance(value, str) else value for name, value in data.items()}
        return super().run_validation(data)


@extend_schema_field(
    {
        "type": "object",
        "nullable": True,
        "properties": {
            "function": {"type": "string", "enum": Rounding.values},
            "digits": {"type": "integer", "minimum": -MAX_DIGITS, "maximum": MAX_DIGITS, "default": 0},
        },
        "required": ["function"],
    }
)
class RoundingField(serializers.Field[Any, Any, Any, Any]):
    """`{"function": "half_up" | "up" | "down", "digits": 0}`; null keeps all digits. Two columns of the meter."""

    def __init__(self, **options: Any) -> None:
        super().__init__(source="*", required=False, allow_null=True, **options)

    def to_internal_value(self, data: Any) -> dict[str, object]:
        if not isinstance(data, dict):
            raise serializers.ValidationError(f"Send an object such as {ROUNDING_FORM}, or null.")
        if unknown := sorted(set(data) - {"function", "digits"}):
            raise serializers.ValidationError(
                {unknown[0]: ["Unknown field. Known fields: digits, function."]}
            )
        function, digits = data.get("function"), data.get("digits", 0)
        if function not in Rounding.values:
            known = ", ".join(Rounding.values)
            raise serializers.ValidationError({"function": [f"Choose one of: {known}."]})
        if not isinstance(digits, int) or isinstance(digits, bool) or abs(digits) > MAX_DIGITS:
            raise serializers.ValidationError(
                {"digits": [f"A whole number from -{MAX_DIGITS} to {MAX_DIGITS}."]}
            )
        return {"rounding_function": function, "rounding_digits": digits}

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        """Null, or an empty object, turns the rounding off."""
        if data in (None, "", "none", {}):
            return True, {"rounding_function": "", "rounding_digits": 0}
        return super().validate_empty_values(data)

    def to_representation(self, meter: Any) -> Any:
        if not meter.rounding_function:
            return None
        return {"function": meter.rounding_function, "digits": meter.rounding_digits}
