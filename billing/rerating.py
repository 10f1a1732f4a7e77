"""Rating again in plain Python: reads the frozen terms as they are written and counts in fractions.

It shares no code with billing.rating. Where that walks through tiers, this asks of each tier what part of the quantity
lies inside it; where that keeps allowances, this looks at sums of everything before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Terms = Mapping[str, Any]


class UnknownModel(ValueError):
    """A rate of a kind that this second way does not know."""


@dataclass(frozen=True, slots=True)
class Used:
    """What was used: a quantity, the values of single events, and the peaks of a windowed meter where it is one.

    `match` holds the values of the dimensions that a part of the usage is for.
    """

    quantity: Fraction
    events: Sequence[Fraction] = ()
    windows: Sequence[Fraction] | None = None
    match: Mapping[str, str] = field(default_factory=dict)


def amount_of(terms: Terms, used: Used, parts: Sequence[Used] = ()) -> Fraction:
    """Give the exact amount of a usage rate, not rounded. `parts` are the usage by the dimensions of the rate."""
    if not terms.get("rows"):
        return _limited(terms, _priced(terms, terms, terms, used))
    buckets: dict[tuple[int, int], list[Used]] = {}
    for position, part in enumerate(parts):
        row = _row(terms["rows"], part.match)
        if row is not None:
            key = (row, -1 if terms.get("tiers_apply") == "pooled" else position)
            buckets.setdefault(key, []).append(part)
    whole = Fraction(0)
    for (index, _), pool in buckets.items():
        row = terms["rows"][index]
        stated = row if set(row) & {"unit_amount", "tiers", "package_size", "percent"} else terms
        whole += _limited(row, _priced(terms, stated, row, _together(pool)))
    return _limited(terms, whole)


def _together(pool: Sequence[Used]) -> Used:
    if len(pool) == 1:
        return pool[0]
    quantity = sum((part.quantity for part in pool), Fraction(0))
    return Used(quantity, [amount for part in pool for amount in part.events])


def _row(rows: Sequence[Terms], values: Mapping[str, str]) -> int | None:
    """Give the row with the most values that fits; of equals the first."""
    fitting = [
        (len(row["match"]), -index)
        for index, row in enumerate(rows)
        if all(values.get(name, "") == value for name, value in row["match"].items())
    ]
    return -max(fitting)[1] if fitting else None


def _priced(terms: Terms, stated: Terms, included_in: Terms, used: Used) -> Fraction:
    """Price a quantity beyond what is included; tiers and what is included hold for each peak on its own."""
    included = _number(included_in.get("included_units"))
    if used.windows is None:
        return _price(terms, stated, _beyond(used.quantity, included), used.events)
    peaks = (_price(terms, stated, _beyond(peak, included), ()) for peak in used.windows)
    return sum(peaks, Fraction(0))


def _beyond(quantity: Fraction, included: Fraction) -> Fraction:
    return max(quantity - included, Fraction(0)) if included and quantity > 0 else quantity


def _limited(part: Terms, amount: Fraction) -> Fraction:
    if part.get("minimum_amount") is not None:
        amount = max(amount, _number(part["minimum_amount"]))
    if part.get("maximum_amount") is not None:
        amount = min(amount, _number(part["maximum_amount"]))
    return amount


def _price(terms: Terms, stated: Terms, quantity: Fraction, events: Sequence[Fraction]) -> Fraction:
    per = _number(terms.get("per")) or Fraction(1)
    match terms["model"]:
        case "per_unit":
            return quantity * _number(stated["unit_amount"]) / per
        case "graduated":
            return _each_part(stated["tiers"], quantity, "unit_amount", 1 / per, flat_at_zero=True)
        case "graduated_percentage":
            return _each_part(stated["tiers"], quantity, "percent", Fraction(1, 100))
        case "volume":
            if quantity < 0:
                return Fraction(0)
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
    raise UnknownModel(f"The model “{terms['model']}” is not known to the verification.")


def _each_part(
    tiers: Sequence[Terms], quantity: Fraction, name: str, scale: Fraction, *, flat_at_zero: bool = False
) -> Fraction:
    whole = Fraction(0)
    bounds = [_number(tier["up_to"]) for tier in tiers[:-1]]
    for index, tier in enumerate(tiers):
        above = bounds[index - 1] if index else Fraction(0)
        below = bounds[index] if index < len(bounds) else quantity
        part = max(min(quantity, below) - above, Fraction(0))
        whole += part * _number(tier.get(name)) * scale
        if quantity > above or (index == 0 and flat_at_zero):
            whole += _number(tier.get("flat_amount"))
    return whole


def _tier_that_holds(tiers: Sequence[Terms], quantity: Fraction) -> Terms:
    return next(t for t in tiers if t.get("up_to") is None or quantity <= _number(t["up_to"]))


def _fees(stated: Terms, events: Sequence[Fraction]) -> Iterable[Fraction]:
    free_events = int(stated.get("free_events") or 0)
    free_amount = _number(stated.get("free_amount"))
    before = Fraction(0)
    for index, amount in enumerate(events):
        in_count = not free_events or index < free_events
        in_sum = not free_amount or before < free_amount
        paying = amount
        if (free_events or free_amount) and in_count and in_sum:
            paying = max(before + amount - free_amount, Fraction(0)) if free_amount else Fraction(0)
        free = paying == 0 and (free_events or free_amount) and in_count and in_sum
        before += amount
        if free:
            continue
        fee = paying * _number(stated["percent"]) / 100 + _number(stated.get("fixed_amount"))
        if stated.get("per_event_minimum") is not None:
            fee = max(fee, _number(stated["per_event_minimum"]))
        if stated.get("per_event_maximum") is not None:
            fee = min(fee, _number(stated["per_event_maximum"]))
        yield fee


def _number(value: Any) -> Fraction:
    return Fraction(0) if value is None else Fraction(str(value))
