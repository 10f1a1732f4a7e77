"""Comparing expected figures with what came out: exact, or within the tolerance of the case."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any


def differences(expected: Any, actual: Any, *, tolerance: Decimal = Decimal(0), at: str = "") -> list[str]:
    """Name every place where the two differ; empty when they agree."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return [f"{at}: expected an object, got {actual!r}"]
        found = []
        for name, value in expected.items():
            path = f"{at}.{name}" if at else name
            if name not in actual:
                found.append(f"{path}: the adapter gives no such figure")
            else:
                found += differences(value, actual[name], tolerance=tolerance, at=path)
        return found
    if isinstance(expected, list):
        if not isinstance(actual, (list, tuple)) or len(actual) != len(expected):
            return [f"{at}: expected {expected!r}, got {actual!r}"]
        pairs = enumerate(zip(expected, actual, strict=True))
        return [
            text for i, (e, a) in pairs for text in differences(e, a, tolerance=tolerance, at=f"{at}[{i}]")
        ]
    return [] if _agree(expected, actual, tolerance) else [f"{at}: expected {expected}, got {actual}"]


def _agree(expected: Any, actual: Any, tolerance: Decimal) -> bool:
    if isinstance(actual, Fraction):
        # A share that no decimal can hold is published with so many digits: compare those.
        number = Decimal(str(expected))
        unit = Fraction(1, 10 ** max(-int(number.as_tuple().exponent), 0))
        return abs(Fraction(number) - actual) <= max(unit / 2, Fraction(tolerance))
    if isinstance(expected, bool) or isinstance(actual, (bool, str)):
        return type(expected) is type(actual) and bool(expected == actual)
    try:
        difference = Fraction(Decimal(str(expected))) - Fraction(Decimal(str(actual)))
    except InvalidOperation:
        return bool(expected == actual)
    return abs(difference) <= Fraction(tolerance)
