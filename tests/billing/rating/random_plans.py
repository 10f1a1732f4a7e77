"""Random usage rates in the wire form, and usages that like to sit on the bounds of their tiers."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

MODELS = (
    "per_unit",
    "graduated",
    "volume",
    "package",
    "stairstep",
    "percentage",
    "graduated_percentage",
    "dynamic",
)
REGIONS = ("eu", "us", "ap", "")
KINDS = ("input", "output")


def random_decimal(random: Random, largest: int = 1000) -> str:
    decimals = random.choice((0, 0, 1, 2, 6))
    return str(Decimal(random.randint(0, largest * 10**decimals)).scaleb(-decimals))


def random_rate(random: Random) -> dict[str, Any]:
    """Give the terms of a usage rate, every field of its model now and then."""
    model = random.choice(MODELS)
    terms: dict[str, Any] = {"kind": "usage", "meter": "m", "model": model}
    if model in ("per_unit", "graduated", "volume") and random.random() < 0.3:
        terms["per"] = random.choice(("1000", "1000000", "1024", "8"))
    terms |= _limits(random)
    if random.random() < 0.5:
        return terms | _price(random, model) | _included(random, model)
    terms |= {"dimensions": ["region", "kind"], "rows": _rows(random, model)}
    if random.random() < 0.5:
        terms["tiers_apply"] = random.choice(("per_group", "pooled"))
    if not any(row["match"] == {} for row in terms["rows"]):
        terms["unmatched"] = "free"
    if not all(set(row) & {"unit_amount", "tiers", "package_size", "percent"} for row in terms["rows"]):
        terms |= _price(random, model)
    return terms


def random_quantity(random: Random, terms: dict[str, Any]) -> Decimal:
    """Give 0, a bound of the rate or just beside it, or any number."""
    parts = [terms, *terms.get("rows", [])]
    bounds = [t["up_to"] for part in parts for t in part.get("tiers", []) if t.get("up_to")]
    bounds += [part["included_units"] for part in parts if part.get("included_units")]
    if bounds and random.random() < 0.4:
        beside = random.choice(("0", "0", "0.000001", "-0.000001", "1"))
        return max(Decimal(random.choice(bounds)) + Decimal(beside), Decimal(0))
    return Decimal(random.choice(("0", random_decimal(random), random_decimal(random, 5000))))


def _limits(random: Random) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if random.random() < 0.2:
        limits["minimum_amount"] = random_decimal(random, 200)
    if random.random() < 0.2:
        limits["maximum_amount"] = str(
            Decimal(limits.get("minimum_amount", "0")) + Decimal(random_decimal(random, 500))
        )
    return limits


def _included(random: Random, model: str) -> dict[str, Any]:
    if model in ("percentage", "graduated_percentage", "dynamic") or random.random() < 0.6:
        return {}
    return {"included_units": random_decimal(random, 50)}


def _rows(random: Random, model: str) -> list[dict[str, Any]]:
    matches: list[dict[str, str]] = [{}] if random.random() < 0.7 else []
    for _ in range(random.randint(1, 5)):
        match = {}
        if random.random() < 0.7:
            match["region"] = random.choice(REGIONS)
        if random.random() < 0.5:
            match["kind"] = random.choice(KINDS)
        if match not in matches:
            matches.append(match)
    random.shuffle(matches)
    rows = []
    for match in matches:
        price = _price(random, model) if random.random() < 0.8 else {}
        rows.append({"match": match} | price | _limits(random) | _included(random, model))
    return rows


def _price(random: Random, model: str) -> dict[str, Any]:
    match model:
        case "per_unit":
            return {"unit_amount": random_decimal(random, 5)}
        case "package":
            size = str(Decimal(random_decimal(random, 100)) + 1)
            return {"package_size": size, "package_amount": random_decimal(random, 20)}
        case "percentage":
            return _percentage(random)
        case "dynamic":
            return {}
        case _:
            return {"tiers": _tiers(random, model)}


def _tiers(random: Random, model: str) -> list[dict[str, Any]]:
    bounds: list[str | None] = []
    bound = Decimal(0)
    for _ in range(random.randint(0, 5)):
        bound += Decimal(random_decimal(random, 200)) + Decimal("0.01")
        bounds.append(str(bound))
    tiers = []
    for up_to in [*bounds, None]:
        tier: dict[str, Any] = {"up_to": up_to}
        if model == "stairstep":
            tier["flat_amount"] = random_decimal(random, 100)
        else:
            tier["percent" if model == "graduated_percentage" else "unit_amount"] = random_decimal(random, 5)
            if random.random() < 0.3:
                tier["flat_amount"] = random_decimal(random, 50)
        tiers.append(tier)
    return tiers


def _percentage(random: Random) -> dict[str, Any]:
    price: dict[str, Any] = {"percent": random_decimal(random, 10)}
    if random.random() < 0.5:
        price["fixed_amount"] = random_decimal(random, 2)
    if random.random() < 0.4:
        price["free_events"] = random.randint(0, 5)
    if random.random() < 0.4:
        price["free_amount"] = random_decimal(random, 300)
    if random.random() < 0.3:
        price["per_event_minimum"] = random_decimal(random, 5)
    if random.random() < 0.3:
        low = Decimal(price.get("per_event_minimum", "0"))
        price["per_event_maximum"] = str(low + Decimal(random_decimal(random, 20)))
    return price
