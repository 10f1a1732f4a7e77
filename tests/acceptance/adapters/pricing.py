"""The terms of a case, written as the API takes them. Nothing is priced here: `parse_rate` reads what is written."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from billing.rating import UsageRate, parse_rate
from metering.models import Meter
from metering.quantities import converted, rounded
from tests.acceptance.adapters.registry import NoAdapterError, renamed

PRICES = "mode unit_amount tiers steps package_size package_price"
LIMITS = "free_units included_units minimum maximum"
CONVERSIONS = "transform_quantity unit_config round"
CAPS = ("cap", "flat_cap")
TIER_NAMES = {
    "up_to": "up_to",
    "to_value": "up_to",
    "bound": "up_to",
    "unit": "unit_amount",
    "unit_amount": "unit_amount",
    "unit_price": "unit_amount",
    "per_unit_amount": "unit_amount",
    "flat": "flat_amount",
    "flat_amount": "flat_amount",
    "flat_fee": "flat_amount",
    "price": "flat_amount",
    "rate_percent": "percent",
    "rate": "percent",
}
# How systems name our models.
MODES = {
    "standard": "per_unit",
    "unit": "per_unit",
    "flat_fee": "per_unit",
    "slab": "graduated",
    "tiered": "graduated",
    "stairstep_tiers": "stairstep",
}
ROUNDINGS = {
    "up": "up",
    "ceil": "up",
    "ceiling": "up",
    "down": "down",
    "floor": "down",
    "half_up": "half_up",
    "none": "",
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
    """Give model and price fields of a case that states a price in one of the general shapes.

    A package has one price, so a case of that mode may state it as its unit amount.
    """
    mode = MODES.get(mode or "", mode)
    if mode == "package" and given.get("package_price") is None:
        given = {**given, "package_price": given.get("unit_amount"), "unit_amount": None}
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


def as_metered(given: dict[str, Any]) -> tuple[Meter, dict[str, Any]]:
    """Take out of a case how its units become those that are billed: our meters convert and round them, before
    anything is priced. Packages that are not rounded up are a price for each full package.
    """
    found: dict[str, Any] = {name: given[name] for name in CONVERSIONS.split() if given.get(name) is not None}
    left = {name: value for name, value in given.items() if name not in CONVERSIONS.split()}
    stated = {name for name, value in left.items() if value is not None}
    if any("package_size" in row for row in left.get("tiers") or []):
        return _in_packages(left, found)
    if not found or (found.keys() == {"round"} and "package_size" in stated and _way(found["round"]) == "up"):
        return Meter(), left
    if len(found) > 1:
        raise NoAdapterError(f"A case converts its units in one way, not by {sorted(found)}.")
    size = left.get("package_size")
    if "unit_config" in found:
        config = dict(found["unit_config"])
        scale = {"multiply": "factor", "divide": "divisor"}[config.pop("operation")]
        return _a_meter(**{scale: config.pop("conversion_factor")}, **config), left
    if "transform_quantity" in found:
        whole = renamed(found["transform_quantity"], {"divide_by": "divisor", "round": "rounding"})
        return _a_meter(**whole), left
    if size is not None and not stated & {"free_units", "included_units"}:
        amount = left.pop("package_price", None) or left.pop("unit_amount")
        of_full = {name: value for name, value in left.items() if name != "package_size"}
        return _a_meter(divisor=size, rounding=found["round"]), of_full | {
            "unit_amount": amount,
            "mode": "per_unit",
        }
    raise NoAdapterError(f"No adapter converts units by {found}.")


def _in_packages(given: dict[str, Any], found: dict[str, Any]) -> tuple[Meter, dict[str, Any]]:
    """Count in started packages where every tier has packages of one size and ends with a full one: then the
    packages of the tiers are those of the sum. Prices and bounds become those of packages.
    """
    rows = given["tiers"]
    sizes = {number(row.get("package_size") or 1) for row in rows}
    bounds = [number(row["up_to"]) for row in rows if row["up_to"] is not None]
    if found or len(sizes) != 1 or any(bound % min(sizes) for bound in bounds):
        raise NoAdapterError("No adapter takes tiers with packages of several sizes, or with parts of them.")
    (size,) = sizes
    counted = [
        {name: each for name, each in row.items() if name != "package_size"}
        | ({} if row["up_to"] is None else {"up_to": number(row["up_to"]) / size})
        for row in rows
    ]
    return _a_meter(divisor=size, rounding="up"), given | {"tiers": counted}


def _a_meter(*, factor: Any = 1, divisor: Any = 1, rounding: str | None = None, precision: Any = 0) -> Meter:
    return Meter(
        factor=number(factor),
        divisor=number(divisor),
        rounding_function=_way(rounding or "none"),
        rounding_digits=int(precision),
    )


def _way(name: str) -> str:
    way = name.lower().removeprefix("round_")
    if way not in ROUNDINGS:
        raise NoAdapterError(f"No meter rounds by {name!r}; they know {sorted(ROUNDINGS)}.")
    return ROUNDINGS[way]


def billed(meter: Meter, quantity: Any) -> Decimal:
    return rounded(meter, converted(meter, number(quantity)))


def limits(
    *, free_units: Any = None, included_units: Any = None, minimum: Any = None, maximum: Any = None
) -> dict[str, Any]:
    if free_units is not None and included_units is not None:
        raise NoAdapterError("A case states its free units twice.")
    return {
        "included_units": free_units if included_units is None else included_units,
        "minimum_amount": minimum,
        "maximum_amount": maximum,
    }


def stated_terms(mode: str | None, given: dict[str, Any], *, largest: Decimal, **more: Any) -> UsageRate:
    """Write the terms of a case with a price and limits; `largest` is the largest quantity they are to rate."""
    given = without_caps(given)
    model, fields = price(mode, given)
    held = limits(**{name: value for name, value in given.items() if name in LIMITS.split()})
    return terms(model, **open_ended(model, fields, largest=largest), **held, **more)


def without_caps(given: dict[str, Any]) -> dict[str, Any]:
    """Write the cap of an only tier as the maximum that it is. Of several tiers none has a cap of its own with us."""
    rows = given.get("tiers") or []
    caps = [row[name] for row in rows for name in CAPS if row.get(name) is not None]
    if not caps:
        return given
    if len(rows) > 1 or given.get("maximum") is not None:
        raise NoAdapterError("No adapter takes a cap on one of several tiers, or beside a maximum.")
    (row,) = rows
    return given | {
        "tiers": [{name: each for name, each in row.items() if name not in CAPS}],
        "maximum": caps[0],
    }


def open_ended(model: str, fields: dict[str, Any], *, largest: Decimal) -> dict[str, Any]:
    """Write the open tier that a case leaves out: graduated tiers bill nothing beyond the last bound. Volume tiers
    have no price there, so such terms are left as they are, and are refused. So are terms without any tier.
    """
    rows = fields.get("tiers", [])
    free = {"graduated": "unit_amount", "volume": "unit_amount", "graduated_percentage": "percent"}.get(model)
    if not free or not rows or any(row.get("up_to") is None for row in rows):
        return fields
    if model == "volume" and largest > max(number(row["up_to"]) for row in rows):
        return fields
    return {"tiers": [*rows, {"up_to": None, free: "0"}]}
