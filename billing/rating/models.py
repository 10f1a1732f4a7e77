"""The rate models by name: which fields state their price, and how these are read."""

from __future__ import annotations

from decimal import Decimal

from billing.rating.exact import ZERO
from billing.rating.percentages import Percentage
from billing.rating.prices import Dynamic, Graduated, Package, PerUnit, Stairstep, Volume
from billing.rating.reading import Fields
from billing.rating.terms import WITHOUT_INCLUDED_UNITS, AnyPrice
from billing.rating.tiers import read_tiers
from billing.rating.working import plain

PRICE_FIELDS: dict[str, tuple[str, ...]] = {
    "per_unit": ("unit_amount",),
    "graduated": ("tiers",),
    "volume": ("tiers",),
    "package": ("package_size", "package_amount"),
    "stairstep": ("tiers",),
    "percentage": (
        "percent",
        "fixed_amount",
        "free_events",
        "free_amount",
        "per_event_minimum",
        "per_event_maximum",
    ),
    "graduated_percentage": ("tiers",),
    "dynamic": (),
}
QUOTED_PER_UNITS = frozenset({"per_unit", "graduated", "volume"})
_TIERED: dict[str, type[Graduated | Volume | Stairstep]] = {
    "graduated": Graduated,
    "volume": Volume,
    "stairstep": Stairstep,
    "graduated_percentage": Graduated,
}
MAX_PER = 10**12

Limits = tuple[Decimal, Decimal | None, Decimal | None]


def states_price(fields: Fields, *, model: str) -> bool:
    """Tell whether any field of the model's price is there. Marks them all as known."""
    return bool([name for name in PRICE_FIELDS[model] if fields.raw(name) is not None])


def read_price(fields: Fields, *, model: str, per: Decimal | None) -> AnyPrice | None:
    """Read the price of a model; None when something is wrong (problems were added)."""
    match model:
        case "per_unit":
            return _read_per_unit(fields, per=per)
        case "package":
            return _read_package(fields)
        case "percentage":
            return _read_percentage(fields)
        case "dynamic":
            return Dynamic()
        case _:
            tiers = read_tiers(fields, model=model, per=per)
            return None if tiers is None else _TIERED[model](tiers)


def read_limits(fields: Fields, *, model: str) -> Limits:
    """Read included units, minimum and maximum."""
    included = ZERO
    if model not in WITHOUT_INCLUDED_UNITS:
        included = fields.decimal("included_units") or ZERO
    minimum = fields.decimal("minimum_amount")
    maximum = fields.decimal("maximum_amount")
    if minimum is not None and maximum is not None and minimum > maximum:
        fields.add("minimum_above_maximum", "minimum_amount", "minimum_amount is above maximum_amount.")
    return included, minimum, maximum


def read_per(fields: Fields, *, model: str) -> Decimal | None:
    """Read for how many units the prices are quoted; None: for one."""
    if model not in QUOTED_PER_UNITS:
        return None
    per = fields.whole("per")
    if per is None:
        return None
    rest = per
    for factor in (2, 5):
        while rest and rest % factor == 0:
            rest //= factor
    if rest != 1 or per > MAX_PER:
        fields.add(
            "per_not_exact",
            "per",
            "per must be a number such as 1, 100, 1000 or 1000000, so that one unit has an exact price.",
        )
        return None
    return None if per == 1 else Decimal(per)


def _read_per_unit(fields: Fields, *, per: Decimal | None) -> PerUnit | None:
    unit_amount = fields.amount("unit_amount")
    if unit_amount is None:
        return None
    return PerUnit(unit_amount, unit_amount if per is None else unit_amount / per, per)


def _read_package(fields: Fields) -> Package | None:
    size = fields.amount("package_size", above_zero=True)
    amount = fields.amount("package_amount")
    if size is None or amount is None:
        return None
    return Package(size, amount, f"Packages of {plain(size)}")


def _read_percentage(fields: Fields) -> Percentage | None:
    percent = fields.amount("percent")
    fixed = fields.decimal("fixed_amount") or ZERO
    free_events = fields.whole("free_events") or None
    free_amount = fields.decimal("free_amount") or None
    minimum = fields.decimal("per_event_minimum")
    maximum = fields.decimal("per_event_maximum")
    if minimum is not None and maximum is not None and minimum > maximum:
        fields.add(
            "minimum_above_maximum", "per_event_minimum", "per_event_minimum is above per_event_maximum."
        )
    if percent is None:
        return None
    return Percentage(percent, fixed, free_events, free_amount, minimum, maximum)
