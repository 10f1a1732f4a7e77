"""From a rated whole to the cost of its parts: every part has its share by quantity. Exact fractions, no rounding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from billing.rating import GroupUsage, RatingError, Usage, UsageRate, rate
from billing.rating.prices import Dynamic, PerUnit
from billing.rating.terms import AnyPrice, Row
from metering.cells import Whole

ZERO = Fraction(0)
ONE = Fraction(1)
Key = TypeVar("Key")
Values = tuple[str, ...]


def unit_price(terms: UsageRate, dimensions: Mapping[str, str]) -> Fraction | None:
    """Give the price of one unit with these dimension values; None when no row prices it. For linear terms only."""
    if not terms.rows:
        return _price_of_one(terms.price)
    index = terms.row_index(dimensions)
    if index is None:
        return ZERO if terms.unmatched == "free" else None
    return _price_of_one(terms.rows[index].price)


def is_linear(terms: UsageRate) -> bool:
    """Say whether every unit costs the same wherever it falls: no tiers, packages, included units, limits."""
    parts: list[UsageRate | Row] = [terms, *terms.rows]
    limited = any(
        part.included_units or part.minimum_amount is not None or part.maximum_amount is not None
        for part in parts
    )
    prices: list[AnyPrice | None] = [row.price for row in terms.rows]
    return not limited and all(isinstance(price, PerUnit | Dynamic) for price in prices or [terms.price])


def _price_of_one(price: AnyPrice | None) -> Fraction:
    match price:
        case PerUnit():
            return Fraction(price.unit_price)
        case Dynamic():
            return ONE
    raise ValueError("Only linear terms have one price for each unit.")


def share_out(amount: Fraction, weights: Sequence[Fraction]) -> list[Fraction] | None:
    """Share an amount in proportion to weights; None when they come to nothing and there is something to share."""
    whole = sum(weights, ZERO)
    if not whole:
        return None if amount else [ZERO for _ in weights]
    return [amount * weight / whole for weight in weights]


def cost_by_values(
    terms: UsageRate, wholes: Iterable[Whole]
) -> tuple[dict[Values, Fraction], dict[Values, str], Fraction]:
    """Rate what was measured of all together, and give the cost of each combination of dimension values.

    Also the reasons why some cannot be priced, and what belongs to no combination because nothing was used.
    """
    known, reasons = [], {}
    for each in wholes:
        named = dict(zip(terms.dimensions, each.dimensions, strict=True))
        if terms.rows and terms.row_index(named) is None and terms.unmatched != "free":
            reasons[each.dimensions] = no_row(terms, named)
        else:
            known.append(each)
    try:
        steps = rate(terms, _usage(terms, known)).working
    except RatingError as refused:
        return {}, reasons | {each.dimensions: str(refused) for each in known}, ZERO
    costs: dict[Values, Fraction] = {each.dimensions: ZERO for each in known}
    left = ZERO
    for step in steps:
        members = _members(terms, known, step.group)
        shares = share_out(Fraction(step.amount), [Fraction(each.quantity) for each in members])
        if shares is None:
            left += Fraction(step.amount)
            continue
        for each, share in zip(members, shares, strict=True):
            costs[each.dimensions] += share
    return costs, reasons, left


def no_row(terms: UsageRate, values: Mapping[str, str]) -> str:
    """Say that the rows of a cost rate have no price for some values."""
    words = ", ".join(f"{name} {value or '(none)'}" for name, value in values.items())
    return f"The cost rate has no row for {words}."


def _usage(terms: UsageRate, wholes: Sequence[Whole]) -> Usage:
    groups = tuple(
        GroupUsage(
            dict(zip(terms.dimensions, each.dimensions, strict=True)),
            each.quantity,
            each.values,
            each.windows,
        )
        for each in wholes
    )
    if terms.rows or not wholes:
        return Usage(
            sum((each.quantity for each in wholes), Decimal(0)),
            groups,
            event_amounts=() if not groups else None,
        )
    (only,) = wholes
    return Usage(only.quantity, (), only.values, only.windows)


def _members(terms: UsageRate, wholes: Sequence[Whole], group: Mapping[str, str] | None) -> Sequence[Whole]:
    """Give what a step of the working is for: one combination of values, those of one row, or everything."""
    if group is None or not terms.rows:
        return wholes
    if terms.tiers_apply == "per_group":
        wanted = tuple(group.get(name, "") for name in terms.dimensions)
        return [each for each in wholes if each.dimensions == wanted]
    index = next(place for place, row in enumerate(terms.rows) if dict(row.match) == dict(group))
    return [
        each
        for each in wholes
        if terms.row_index(dict(zip(terms.dimensions, each.dimensions, strict=True))) == index
    ]
