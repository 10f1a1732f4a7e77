"""Areas rating.*: the terms of a case are parsed and its usage rated, by the functions that invoices use."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from billing.rating import GroupUsage, Rating, Usage, rate
from tests.acceptance.adapters.pricing import (
    CONVERSIONS,
    LIMITS,
    PRICES,
    as_metered,
    billed,
    number,
    open_ended,
    price,
    stated_terms,
    terms,
    tiers,
)
from tests.acceptance.adapters.registry import Figures, NoAdapterError, adapts, renamed

OPTIONS = f"mode {LIMITS} {CONVERSIONS}"

ROW_NAMES = {
    "unit": "unit_amount",
    "min": "minimum_amount",
    "max": "maximum_amount",
    "free_units": "included_units",
}
# How a case says whether tiers count each group or the sum of them.
TIERS_APPLY = {
    "per group": "per_group",
    "per_group": "per_group",
    "each group": "per_group",
    "pooled": "pooled",
    "all groups": "pooled",
    "across groups": "pooled",
    "total": "pooled",
}


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


@adapts("rating.per_unit", required="unit_amount quantity", optional=OPTIONS)
@adapts("rating.package", required="package_size package_price quantity", optional=OPTIONS)
@adapts("rating.stairstep", required="steps quantity", optional=OPTIONS)
@adapts("rating.graduated", required="tiers quantity", optional=OPTIONS)
@adapts("rating.minimum", "rating.maximum", required="quantity", optional=f"{PRICES} {LIMITS} {CONVERSIONS}")
def limited(*, quantity: Any, **given: Any) -> Figures:
    meter, priced = as_metered(given)
    used = billed(meter, quantity)
    return figures(rate(stated_terms(priced.pop("mode", None), priced, largest=used), Usage(used)))


@adapts("rating.volume", required="tiers quantity", optional=OPTIONS)
def volume(*, mode: str | None = None, **given: Any) -> Figures:
    return limited(mode=mode or "volume", **given)


PERCENTAGE = "fixed_per_event free_events free_amount per_event_min per_event_max minimum maximum"


@adapts("rating.percentage", required="rate_percent amount", optional=PERCENTAGE)
def percentage_of_one(*, amount: Any, **given: Any) -> Figures:
    return percentage(event_amounts=[amount], **given)


@adapts("rating.percentage", required="rate_percent event_amounts", optional=PERCENTAGE)
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


@adapts("rating.graduated_percentage", required="ranges amount", optional="minimum maximum")
@adapts("rating.graduated_percentage", required="ranges event_amounts", optional="minimum maximum")
def graduated_percentage(
    *,
    ranges: list[dict[str, Any]],
    amount: Any = None,
    event_amounts: list[Any] | None = None,
    minimum: Any = None,
    maximum: Any = None,
) -> Figures:
    used = number(amount) if event_amounts is None else sum(map(number, event_amounts), Decimal(0))
    model = "graduated_percentage"
    fields = open_ended(model, {"tiers": tiers(ranges, fill="percent")}, largest=used)
    parsed = terms(model, minimum_amount=minimum, maximum_amount=maximum, **fields)
    return figures(rate(parsed, Usage(used)))


@adapts("rating.dimension", required="table dimension quantity")
def dimension_table(*, table: dict[str, Any], dimension: dict[str, str] | str, quantity: Any) -> Figures:
    """A price, with its own minimum and maximum, for each value of one dimension."""
    named = {"value": dimension} if isinstance(dimension, str) else dimension
    if len(named) != 1:
        raise NoAdapterError(f"The table has prices by one dimension, the case names {sorted(named)}.")
    ((name, value),) = named.items()
    return _by_rows("per_unit", name, table, {value: quantity})


@adapts("rating.dimension", required="table groups")
def dimension_table_of_groups(*, table: dict[str, Any], groups: dict[str, Any]) -> Figures:
    return _by_rows("per_unit", "group", table, groups)


@adapts("rating.dimension", required="per_million tokens")
def prices_per_million(*, per_million: dict[str, Any], tokens: dict[str, Any]) -> Figures:
    table = {kind: {"unit": amount} for kind, amount in per_million.items()}
    return _by_rows("per_unit", "kind", table, tokens, per="1000000")


def _by_rows(model: str, dimension: str, table: dict[str, Any], used: dict[str, Any], **more: Any) -> Figures:
    """Rate groups by a row for each value of a dimension; a value without a row is an error."""
    rows = [{"match": {dimension: value}, **renamed(row, ROW_NAMES)} for value, row in table.items()]
    parsed = terms(model, dimensions=[dimension], rows=rows, unmatched="listed", **more)
    return figures(rate(parsed, _grouped(dimension, used)))


@adapts("rating.dimension", required="groups tiers_apply", optional=f"{PRICES} {LIMITS}")
def dimension_groups(
    *, groups: dict[str, Any], tiers_apply: str, mode: str | None = None, **given: Any
) -> Figures:
    """One price for all groups; tiers apply to each group or to their sum."""
    used = _grouped("group", groups)
    parsed = stated_terms(
        mode,
        given,
        largest=used.quantity,
        dimensions=["group"],
        rows=[{"match": {}}],
        tiers_apply=TIERS_APPLY[tiers_apply],
    )
    return figures(rate(parsed, used))


def _grouped(dimension: str, used: dict[str, Any]) -> Usage:
    parts = tuple(GroupUsage({dimension: value}, number(quantity)) for value, quantity in used.items())
    return Usage(sum((part.quantity for part in parts), Decimal(0)), groups=parts)


@adapts("rating.windowed_max", required="max_of_each_window", optional=f"{PRICES} {LIMITS} {CONVERSIONS}")
def windowed_max(*, max_of_each_window: list[Any], **given: Any) -> Figures:
    meter, priced = as_metered(given)
    peaks = tuple(billed(meter, peak) for peak in max_of_each_window)
    parsed = stated_terms(priced.pop("mode", None), priced, largest=max(peaks, default=Decimal(0)))
    return figures(rate(parsed, Usage(sum(peaks, Decimal(0)), windows=peaks)))


@adapts("rating.validation", required="tiers", optional="mode")
@adapts("rating.validation", required="steps", optional="mode")
def validation(*, mode: str | None = None, **given: Any) -> Figures:
    model, fields = price(mode, given)
    terms(model, **fields)
    return {"error": None}


@adapts("rating.validation", required="ranges")
def validation_of_ranges(*, ranges: list[dict[str, Any]]) -> Figures:
    terms("graduated_percentage", tiers=tiers(ranges, fill="percent"))
    return {"error": None}
