"""Fields that serializers of every app use."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from metering.api.texts import decimal_text

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
