"""Cells of CSV files that people open in a spreadsheet."""

from __future__ import annotations

from decimal import Decimal


def csv_cell(value: object) -> str:
    """Give a value for a CSV file; text that a spreadsheet would run as a formula is marked as text."""
    text = "" if value is None else str(value)
    risky = text[:1] in "=+-@\t\r\n" and not isinstance(value, Decimal | int)
    return f"'{text}" if text and risky else text
