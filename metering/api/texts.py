"""Quantities and instants as the API writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal


def decimal_text(value: Decimal) -> str:
    """Write a decimal in plain digits without needless zeros: 120.00 gives "120", 0.50 gives "0.5"."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def instant_text(instant: datetime) -> str:
    """Write an instant in UTC as RFC 3339, with fractions of a second only where there are some."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
