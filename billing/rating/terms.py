"""The terms of a rate after they were checked, and their form on the wire.

`parse_rate` makes these; build them by hand only in tests. `as_json` gives the form of the API, which
`parse_rate` reads back to an equal object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from billing.rating.percentages import Percentage
from billing.rating.prices import Dynamic, Graduated, Package, PerUnit, Stairstep, Tier, Volume

AnyPrice = PerUnit | Graduated | Volume | Package | Stairstep | Percentage | Dynamic


@dataclass(frozen=True, slots=True)
class Row:
    """The price of usage whose dimension values equal all of `match`; `{}` matches everything.

    The row that matches on the most dimensions is used; among equals the one listed first. Without a price of
    its own (`own_price` False) a row uses the rate's.
    """

    match: Mapping[str, str]
    price: AnyPrice
    own_price: bool = True
    included_units: Decimal = Decimal(0)
    minimum_amount: Decimal | None = None
    maximum_amount: Decimal | None = None

    def as_json(self, model: str) -> dict[str, object]:
        return {
            "match": dict(self.match),
            **(price_as_json(model, self.price) if self.own_price else {}),
            **_limits_as_json(model, self),
        }


@dataclass(frozen=True, slots=True)
class UsageRate:
    """A price for what a meter measures.

    `included_units` come off first (before packages are rounded up and before tiers are counted).
    `minimum_amount` and `maximum_amount` hold for the whole rate and period. With `rows`, the price depends
    on the values of `dimensions`: `tiers_apply` says whether everything in a row (tiers, packages, included
    units, minimum, maximum) holds for each group of values on its own (`per_group`) or for the sum of the
    groups that use the row (`pooled`). A row is rated only when it has usage. `price` is then None unless
    rows without an own price use it. `unmatched` says what happens to usage no row matches: `free`, or
    `listed` when the rows are meant to list every value, so that any other value is an error; None where a
    catch-all row exists.
    """

    meter: str
    model: str
    price: AnyPrice | None
    included_units: Decimal = Decimal(0)
    minimum_amount: Decimal | None = None
    maximum_amount: Decimal | None = None
    per: Decimal | None = None
    dimensions: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    tiers_apply: str = "per_group"
    unmatched: str | None = None
    # Rows by the dimensions they match on, most first: the look-up costs the number of shapes, not of rows.
    shapes: tuple[tuple[tuple[str, ...], dict[tuple[str, ...], int]], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        shapes: dict[tuple[str, ...], dict[tuple[str, ...], int]] = {}
        for index, row in enumerate(self.rows):
            names = tuple(sorted(row.match))
            shapes.setdefault(names, {})[tuple(row.match[name] for name in names)] = index
        by_size = sorted(shapes.items(), key=lambda shape: -len(shape[0]))
        object.__setattr__(self, "shapes", tuple(by_size))

    def row_index(self, values: Mapping[str, str]) -> int | None:
        """Give the index of the row that prices usage with these dimension values; None: no row matches."""
        best: int | None = None
        size = 0
        for names, indexes in self.shapes:
            if best is not None and len(names) < size:
                break
            index = indexes.get(tuple(values.get(name, "") for name in names))
            if index is not None and (best is None or index < best):
                best, size = index, len(names)
        return best

    def as_json(self) -> dict[str, object]:
        data: dict[str, object] = {"kind": "usage", "meter": self.meter, "model": self.model}
        if self.price is not None:
            data |= price_as_json(self.model, self.price)
        if self.per is not None:
            data["per"] = decimal_text(self.per)
        data |= _limits_as_json(self.model, self)
        if self.rows:
            data["dimensions"] = list(self.dimensions)
            data["rows"] = [row.as_json(self.model) for row in self.rows]
            data["tiers_apply"] = self.tiers_apply
            data["unmatched"] = self.unmatched
        return data


# When a fixed fee is invoiced; see SubscriptionRate.
TIMINGS = ("in_advance", "at_start", "in_arrears")


@dataclass(frozen=True, slots=True)
class SubscriptionRate:
    """A fixed fee for each billing period; `prorated` by days where only a part of the period is used.

    `timing` says which invoice carries it: "in_advance" the first of the fee's own period, "in_arrears" the last,
    "at_start" one drawn up when the period begins (with the usage of the period before, where there is one).
    `per_seat`: the amount is for each seat of the subscription.
    """

    label: str
    amount: Decimal
    timing: str = "in_advance"
    prorated: bool = True
    per_seat: bool = False

    def as_json(self) -> dict[str, object]:
        return {
            "kind": "subscription",
            "label": self.label,
            "amount": decimal_text(self.amount),
            "timing": self.timing,
            "prorated": self.prorated,
            **({"per_seat": True} if self.per_seat else {}),
        }


@dataclass(frozen=True, slots=True)
class OneTimeRate:
    """A fee charged once, with the first invoice of a subscription."""

    label: str
    amount: Decimal

    def as_json(self) -> dict[str, object]:
        return {"kind": "one_time", "label": self.label, "amount": decimal_text(self.amount)}


def decimal_text(value: Decimal) -> str:
    """Write a decimal as the API does: plain digits, as many decimals as were given."""
    return f"{value:f}"


def price_as_json(model: str, price: AnyPrice) -> dict[str, object]:
    """Give the fields of the API that hold the price of a model."""
    match price:
        case PerUnit():
            return {"unit_amount": decimal_text(price.unit_amount)}
        case Package():
            return {
                "package_size": decimal_text(price.package_size),
                "package_amount": decimal_text(price.package_amount),
            }
        case Percentage():
            return {
                "percent": decimal_text(price.percent),
                "fixed_amount": decimal_text(price.fixed_amount),
                "free_events": price.free_events or 0,
                "free_amount": decimal_text(price.free_amount or Decimal(0)),
                "per_event_minimum": _optional_text(price.per_event_minimum),
                "per_event_maximum": _optional_text(price.per_event_maximum),
            }
        case Dynamic():
            return {}
    return {"tiers": [_tier_as_json(tier) for tier in price.tiers]}


def _tier_as_json(tier: Tier) -> dict[str, object]:
    data: dict[str, object] = {"up_to": _optional_text(tier.up_to)}
    if tier.unit_amount is not None:
        data["unit_amount"] = decimal_text(tier.unit_amount)
    if tier.percent is not None:
        data["percent"] = decimal_text(tier.percent)
    data["flat_amount"] = decimal_text(tier.flat_amount)
    return data


def _limits_as_json(model: str, part: UsageRate | Row) -> dict[str, object]:
    data: dict[str, object] = {}
    if model not in WITHOUT_INCLUDED_UNITS:
        data["included_units"] = decimal_text(part.included_units)
    data["minimum_amount"] = _optional_text(part.minimum_amount)
    data["maximum_amount"] = _optional_text(part.maximum_amount)
    return data


def _optional_text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)


# These price amounts, not units: a percentage has free events and a free amount, or a first tier of 0 %.
WITHOUT_INCLUDED_UNITS = frozenset({"percentage", "graduated_percentage", "dynamic"})
