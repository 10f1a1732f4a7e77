"""Areas rating.*: the terms of a case are written as the API takes them, then parsed and rated."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from billing.rating import GroupUsage, Rating, Usage, UsageRate, parse_rate, rate
from tests.acceptance.adapters.registry import Figures, adapts

TIER_NAMES = {"unit": "unit_amount", "flat": "flat_amount", "price": "flat_amount", "rate_percent": "percent"}
LIMITS = "free_units included_units minimum maximum"


def number(value: Any) -> Decimal:
    return Decimal(str(value))


def tiers(rows: Iterable[dict[str, Any]], *, fill: str | None) -> list[dict[str, Any]]:
    """Rename the fields of tiers. A tier without any price is free: `fill` names the price to write."""
    renamed = [{TIER_NAMES.get(name, name): value for name, value in row.items()} for row in rows]
    return [row if fill is None or fill in row else row | {fill: "0"} for row in renamed]


def terms(model: str, **fields: Any) -> UsageRate:
    parsed = parse_rate({"kind": "usage", "meter": "case", "model": model, **fields})
    assert isinstance(parsed, UsageRate)
    return parsed


def limits(
    *, free_units: Any = None, included_units: Any = None, minimum: Any = None, maximum: Any = None
) -> dict[str, Any]:
    return {
        "included_units": free_units if included_units is None else included_units,
        "minimum_amount": minimum,
        "maximum_amount": maximum,
    }


def price(mode: str | None, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give model and price fields of a case that states a price in one of the general shapes."""
    if given.get("tiers") is not None:
        return mode or "graduated", {"tiers": tiers(given["tiers"], fill="unit_amount")}
    if given.get("steps") is not None:
        return "stairstep", {"tiers": tiers(given["steps"], fill=None)}
    if given.get("package_size") is not None:
        return "package", {"package_size": given["package_size"], "package_amount": given["package_price"]}
    return mode or "per_unit", {"unit_amount": given["unit_amount"]}


def figures(rating: Rating) -> Figures:
    """Name the parts of an amount as the cases do. They must add up."""
    parts = {"minimum": Decimal(0), "maximum": Decimal(0), "usage": Decimal(0)}
    for step in rating.working:
        parts[step.kind if step.kind in parts else "usage"] += step.amount
    assert sum(parts.values()) == rating.amount
    return {
        "amount": rating.amount,
        "total": rating.amount,
        "usage": parts["usage"],
        "true_up": parts["minimum"],
        "discount": -parts["maximum"],
    }


@adapts("rating.per_unit", required="unit_amount quantity", optional=LIMITS)
def per_unit(*, unit_amount: Any, quantity: Any, **limited: Any) -> Figures:
    return figures(
        rate(terms("per_unit", unit_amount=unit_amount, **limits(**limited)), Usage(number(quantity)))
    )


@adapts("rating.graduated", required="tiers quantity", optional=LIMITS)
def graduated(**given: Any) -> Figures:
    return limited(mode="graduated", **given)


@adapts("rating.volume", required="tiers quantity", optional=LIMITS)
def volume(**given: Any) -> Figures:
    return limited(mode="volume", **given)


@adapts("rating.package", required="package_size package_price quantity", optional=LIMITS)
def package(**given: Any) -> Figures:
    return limited(mode="package", **given)


@adapts("rating.stairstep", required="steps quantity", optional=LIMITS)
def stairstep(**given: Any) -> Figures:
    return limited(mode="stairstep", **given)


@adapts(
    "rating.minimum",
    "rating.maximum",
    required="quantity",
    optional=f"mode unit_amount tiers steps package_size package_price {LIMITS}",
)
def limited(*, quantity: Any, mode: str | None = None, **given: Any) -> Figures:
    names = {"free_units", "included_units", "minimum", "maximum"}
    model, fields = price(mode, given)
    held = limits(**{name: value for name, value in given.items() if name in names})
    return figures(rate(terms(model, **fields, **held), Usage(number(quantity))))


@adapts(
    "rating.percentage",
    required="rate_percent event_amounts",
    optional="fixed_per_event free_events free_amount per_event_min per_event_max minimum maximum",
)
def percentage(*, rate_percent: Any, event_amounts: list[Any], **given: Any) -> Figures:
    parsed = terms(
        "percentage",
        percent=rate_percent,
        fixed_amount=given.get("fixed_per_event"),
        free_events=given.get("free_events"),
        free_amount=given.get("free_amount"),
        per_event_minimum=given.get("per_event_min"),
        per_event_maximum=given.get("per_event_max"),
        minimum_amount=given.get("minimum"),
        maximum_amount=given.get("maximum"),
    )
    events = tuple(number(amount) for amount in event_amounts)
    return figures(rate(parsed, Usage(sum(events, Decimal(0)), event_amounts=events)))


@adapts("rating.graduated_percentage", required="ranges amount")
@adapts("rating.graduated_percentage", required="ranges event_amounts")
def graduated_percentage(
    *, ranges: list[dict[str, Any]], amount: Any = None, event_amounts: list[Any] | None = None
) -> Figures:
    parsed = terms("graduated_percentage", tiers=tiers(ranges, fill="percent"))
    used = number(amount) if event_amounts is None else sum(map(number, event_amounts), Decimal(0))
    return figures(rate(parsed, Usage(used)))


@adapts("rating.dimension", required="table dimension quantity")
def dimension_table(*, table: dict[str, Any], dimension: dict[str, str], quantity: Any) -> Figures:
    """A price, with its own minimum and maximum, for each value of one dimension."""
    (name,) = dimension
    rows = []
    for value, row in table.items():
        renamed = {"unit": "unit_amount", "min": "minimum_amount", "max": "maximum_amount"}
        rows.append({"match": {name: value}, **{renamed[key]: figure for key, figure in row.items()}})
    parsed = terms("per_unit", dimensions=[name], rows=rows, unmatched="listed")
    used = number(quantity)
    return figures(rate(parsed, Usage(used, groups=(GroupUsage(dimension, used),))))


@adapts("rating.dimension", required="groups tiers_apply", optional="mode tiers unit_amount")
def dimension_groups(
    *, groups: dict[str, Any], tiers_apply: str, mode: str | None = None, **given: Any
) -> Figures:
    """One price for all groups; tiers apply to each group or to their sum."""
    model, fields = price(mode, given)
    parsed = terms(
        model,
        **fields,
        dimensions=["group"],
        rows=[{"match": {}}],
        tiers_apply=tiers_apply.replace(" ", "_"),
    )
    parts = tuple(GroupUsage({"group": name}, number(quantity)) for name, quantity in groups.items())
    return figures(rate(parsed, Usage(sum((part.quantity for part in parts), Decimal(0)), groups=parts)))


@adapts("rating.dimension", required="per_million tokens")
def prices_per_million(*, per_million: dict[str, Any], tokens: dict[str, Any]) -> Figures:
    rows = [{"match": {"kind": kind}, "unit_amount": amount} for kind, amount in per_million.items()]
    parsed = terms("per_unit", per="1000000", dimensions=["kind"], rows=rows, unmatched="listed")
    parts = tuple(GroupUsage({"kind": kind}, number(quantity)) for kind, quantity in tokens.items())
    return figures(rate(parsed, Usage(sum((part.quantity for part in parts), Decimal(0)), groups=parts)))


@adapts("rating.windowed_max", required="max_of_each_window", optional="mode unit_amount tiers")
def windowed_max(*, max_of_each_window: list[Any], mode: str | None = None, **given: Any) -> Figures:
    model, fields = price(mode, given)
    peaks = tuple(number(peak) for peak in max_of_each_window)
    return figures(rate(terms(model, **fields), Usage(sum(peaks, Decimal(0)), windows=peaks)))


@adapts("rating.validation", required="tiers", optional="mode")
def validation(*, tiers: list[dict[str, Any]], mode: str = "graduated") -> Figures:
    model, fields = price(mode, {"tiers": tiers})
    terms(model, **fields)
    return {"error": None}
