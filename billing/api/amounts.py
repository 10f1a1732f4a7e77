"""Money as the API writes it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from billing.rating import currency_digits
from metering.api.texts import decimal_text


def price_text(price: Decimal, currency: str) -> str:
    """Write a price exactly, with the digits of its currency at least: "2.00", "0.00001"."""
    text = decimal_text(price)
    digits = currency_digits(currency)
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(digits, '0')}" if decimals or digits else whole


def step_body(step: Mapping[str, Any]) -> dict[str, Any]:
    """Give a step of a working with its quantities in plain digits; prices and amounts keep theirs."""
    plain = {
        name: decimal_text(Decimal(str(step[name])))
        for name in ("quantity", "from", "up_to")
        if step.get(name) is not None
    }
    return {**step, **plain}
