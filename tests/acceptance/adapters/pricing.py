"""The terms of a case, written as the API takes them. Nothing is priced here: `parse_rate` reads what is written."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from billing.rating import UsageRate, parse_rate
from tests.acceptance.adapters.registry import renamed

PRICES = "mode unit_amount tiers steps package_size package_price"
LIMITS = "free_units included_units minimum maximum"
TIER_NAMES = {
    "up_to": "up_to",
    "unit": "unit_amount",
    "flat": "flat_amount",
    "price": "flat_amount",
    "rate_percent": "percent",
}


def number(value: Any) -> Decimal:
    return Decimal(str(value))


def terms(model: str, **fields: Any) -> UsageRate:
    parsed = parse_rate({"kind": "usage", "meter": "case", "model": model, **fields})
    assert isinstance(parsed, UsageRate)
    return parsed


def tiers(rows: Iterable[dict[str, Any]], *, fill: str | None) -> list[dict[str, Any]]:
    """Rename the fields of tiers. A tier without any price is free: `fill` names the price to write."""
    named = [renamed(row, TIER_NAMES) for row in rows]
    stated = [{name: value for name, value in row.items() if value is not None} for row in named]
    return [row if fill is None or fill in row else row | {fill: "0"} for row in stated]


def price(mode: str | None, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give model and price fields of a case that states a price in one of the general shapes."""
    stated = [
        name for name in ("tiers", "steps", "package_size", "unit_amount") if given.get(name) is not None
    ]
    assert len(stated) == 1, f"A case states one price, not {stated}."
    match stated[0]:
        case "tiers":
            return mode or "graduated", {"tiers": tiers(given["tiers"], fill="unit_amount")}
        case "steps":
            return mode or "stairstep", {"tiers": tiers(given["steps"], fill=None)}
        case "package_size":
            sizes = {"package_size": given["package_size"], "package_amount": given["package_price"]}
            return mode or "package", sizes
    return mode or "per_unit", {"unit_amount": given["unit_amount"]}


def limits(
    *, free_units: Any = None, included_units: Any = None, minimum: Any = None, maximum: Any = None
) -> dict[str, Any]:
    return {
        "included_units": free_units if included_units is None else included_units,
        "minimum_amount": minimum,
        "maximum_amount": maximum,
    }


def stated_terms(mode: str | None, given: dict[str, Any], *, largest: Decimal, **more: Any) -> UsageRate:
    """Write the terms of a case with a price and limits; `largest` is the largest quantity they are to rate."""
    model, fields = price(mode, given)
    held = limits(**{name: value for name, value in given.items() if name in LIMITS.split()})
    return terms(model, **_open_ended(model, fields, largest=largest), **held, **more)


def _open_ended(model: str, fields: dict[str, Any], *, largest: Decimal) -> dict[str, Any]:
    """Write the open tier that a case leaves out: graduated tiers bill nothing beyond the last bound. Volume tiers
    have no price there, so such terms are left as they are, and are refused.
    """
    rows = fields.get("tiers", [])
    if model not in ("graduated", "volume") or any(row.get("up_to") is None for row in rows):
        return fields
    if model == "volume" and largest > max(number(row["up_to"]) for row in rows):
        return fields
    return {"tiers": [*rows, {"up_to": None, "unit_amount": "0"}]}
