"""A second, plain engine for comparison: reads the wire form itself and counts in fractions. Slow on purpose.

It shares no code with billing.rating. Where that walks through tiers, this one asks of each tier what part of
the quantity lies inside it; where that keeps allowances, this one looks at sums of everything before.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

Group = tuple[dict[str, str], Fraction, list[Fraction]]


def amount_of(
    terms: dict[str, Any], quantity: Fraction, events: Sequence[Fraction], groups: Sequence[Group]
) -> Fraction:
    """Give the exact amount of a usage rate."""
    if not terms.get("rows"):
        return _limited(terms, _price(terms, terms, _after_included(terms, quantity), events))
    buckets: dict[tuple[int, int], Group] = {}
    for position, (values, used, amounts) in enumerate(groups):
        row = _row(terms["rows"], values)
        if row is None:
            continue
        key = (row, -1 if terms.get("tiers_apply") == "pooled" else position)
        _, used_before, amounts_before = buckets.get(key, ({}, Fraction(0), []))
        buckets[key] = ({}, used_before + used, [*amounts_before, *amounts])
    whole = Fraction(0)
    for (index, _), (_, used, amounts) in buckets.items():
        row = terms["rows"][index]
        stated = row if set(row) & {"unit_amount", "tiers", "package_size", "percent"} else terms
        whole += _limited(row, _price(terms, stated, _after_included(row, used), amounts))
    return _limited(terms, whole)


def _row(rows: list[dict[str, Any]], values: dict[str, str]) -> int | None:
    fitting = [
        (len(row["match"]), -index)
        for index, row in enumerate(rows)
        if all(values.get(name, "") == value for name, value in row["match"].items())
    ]
    return -max(fitting)[1] if fitting else None


def _after_included(part: dict[str, Any], quantity: Fraction) -> Fraction:
    return max(quantity - _number(part.get("included_units")), Fraction(0))


def _limited(part: dict[str, Any], amount: Fraction) -> Fraction:
    if part.get("minimum_amount") is not None:
        amount = max(amount, _number(part["minimum_amount"]))
    if part.get("maximum_amount") is not None:
        amount = min(amount, _number(part["maximum_amount"]))
    return amount


def _price(
    terms: dict[str, Any], stated: dict[str, Any], quantity: Fraction, events: Sequence[Fraction]
) -> Fraction:
    per = _number(terms.get("per")) or Fraction(1)
    match terms["model"]:
        case "per_unit":
            return quantity * _number(stated["unit_amount"]) / per
        case "graduated":
            return _each_part(stated["tiers"], quantity, "unit_amount", 1 / per)
        case "graduated_percentage":
            return _each_part(stated["tiers"], quantity, "percent", Fraction(1, 100))
        case "volume":
            tier = _tier_that_holds(stated["tiers"], quantity)
            return quantity * _number(tier.get("unit_amount")) / per + _number(tier.get("flat_amount"))
        case "stairstep":
            return _number(_tier_that_holds(stated["tiers"], quantity)["flat_amount"])
        case "package":
            packages = -(-quantity // _number(stated["package_size"]))
            return packages * _number(stated["package_amount"])
        case "percentage":
            return sum(_fees(stated, events), Fraction(0))
        case "dynamic":
            return quantity
    raise AssertionError(terms["model"])


def _each_part(tiers: list[dict[str, Any]], quantity: Fraction, name: str, scale: Fraction) -> Fraction:
    whole = Fraction(0)
    bounds = [_number(tier["up_to"]) for tier in tiers[:-1]]
    for index, tier in enumerate(tiers):
        above = bounds[index - 1] if index else Fraction(0)
        below = bounds[index] if index < len(bounds) else quantity
        part = max(min(quantity, below) - above, Fraction(0))
        whole += part * _number(tier.get(name)) * scale
        if index == 0 or quantity > above:
            whole += _number(tier.get("flat_amount"))
    return whole


def _tier_that_holds(tiers: list[dict[str, Any]], quantity: Fraction) -> dict[str, Any]:
    open_or_high_enough = [t for t in tiers if t.get("up_to") is None or quantity <= _number(t["up_to"])]
    return open_or_high_enough[0]


def _fees(stated: dict[str, Any], events: Sequence[Fraction]) -> list[Fraction]:
    free_events = int(stated.get("free_events") or 0)
    free_amount = _number(stated.get("free_amount"))
    fees = []
    for index, amount in enumerate(events):
        before = sum(events[:index], Fraction(0))
        in_count = not free_events or index < free_events
        in_sum = not free_amount or before < free_amount
        paying = amount
        if (free_events or free_amount) and in_count and in_sum:
            paying = max(before + amount - free_amount, Fraction(0)) if free_amount else Fraction(0)
            if not paying:
                continue
        fee = paying * _number(stated["percent"]) / 100 + _number(stated.get("fixed_amount"))
        if stated.get("per_event_minimum") is not None:
            fee = max(fee, _number(stated["per_event_minimum"]))
        if stated.get("per_event_maximum") is not None:
            fee = min(fee, _number(stated["per_event_maximum"]))
        fees.append(fee)
    return fees


def _number(value: Any) -> Fraction:
    return Fraction(0) if value is None else Fraction(str(value))
