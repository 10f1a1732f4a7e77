"""Finding the adapter of a case by its area and its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billing.rating import RatingError, TermsError
from billing.rating.exact import exactly

# Names that systems give to the keys of our cases, by family or area.
SYNONYMS: dict[str, dict[str, str]] = {
    "rating": {
        "unit_price": "unit_amount",
        "package_amount": "package_price",
        "units": "quantity",
        "rounding": "round",
        "usage_discount": "included_units",
        "minimum_amount": "minimum",
        "maximum_amount": "maximum",
        "minimum_spend": "minimum",
        "maximum_spend": "maximum",
        "graduated_ranges": "tiers",
        "volume_ranges": "tiers",
    },
    "rating.percentage": {
        "rate": "rate_percent",
        "percent": "rate_percent",
        "fixed_amount": "fixed_per_event",
        "free_units_per_events": "free_events",
        "free_units_per_total_aggregation": "free_amount",
        "per_transaction_min_amount": "per_event_min",
        "per_transaction_max_amount": "per_event_max",
    },
    "rating.graduated_percentage": {"graduated_percentage_ranges": "ranges", "tiers": "ranges"},
    "rating.windowed_max": {"bucketed_values": "max_of_each_window"},
    "invoice": {
        "behavior": "behaviour",
        "tax_behavior": "behaviour",
        "tax_rate": "tax_percent",
        "taxable": "net",
    },
    "proration": {"timezone": "zone"},
    "period": {"timezone": "zone"},
}

Figures = dict[str, Any]
Adapter = Callable[..., Figures]


class NoAdapterError(AssertionError):
    """No adapter takes a case of this area with these keys."""


@dataclass(frozen=True)
class _Entry:
    area: str
    required: frozenset[str]
    optional: frozenset[str]
    adapter: Adapter
    database: bool

    def takes(self, area: str, keys: set[str]) -> bool:
        return area == self.area and self.required <= keys <= self.required | self.optional


_ENTRIES: list[_Entry] = []


def adapts(
    *areas: str, required: str, optional: str = "", database: bool = False
) -> Callable[[Adapter], Adapter]:
    """Register an adapter, called with `given` as keyword arguments. Keys are words in one text."""

    def register(adapter: Adapter) -> Adapter:
        for area in areas:
            keys = frozenset(required.split()), frozenset(optional.split())
            _ENTRIES.append(_Entry(area, *keys, adapter, database))
        return adapter

    return register


def renamed(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Give a row of a case with our names of its fields. A field without one fails, and so does one that is
    there under two names: nothing is ever left out.
    """
    unknown = row.keys() - names.keys()
    if unknown:
        raise NoAdapterError(f"No adapter takes a row with {sorted(unknown)}; it knows {sorted(names)}.")
    found = {names[name]: value for name, value in row.items()}
    if len(found) < len(row):
        raise NoAdapterError(f"A row states one thing under two names: {sorted(row)}.")
    return found


def uses_database(area: str) -> bool:
    return any(entry.database for entry in _ENTRIES if entry.area == area)


def answer(area: str, given: dict[str, Any]) -> Figures:
    """Give the figures of a case; `{"error": code}` when its terms or its usage are refused.

    A key that is null states nothing: where no adapter knows it, it is as if it were left out. A key may have
    the name that its own system gives it.
    """
    names = SYNONYMS.get(area.partition(".")[0], {}) | SYNONYMS.get(area, {})
    given = renamed(given, {name: names.get(name, name) for name in given})
    stated = {name: value for name, value in given.items() if value is not None}
    choices = (
        (entry, keys) for keys in (given, stated) for entry in _ENTRIES if entry.takes(area, set(keys))
    )
    entry, given = next(choices, (None, given))
    if entry is None:
        raise NoAdapterError(f"No adapter takes area {area!r} with the keys {sorted(given)}.")
    # Adding up a case's figures must be exact as well; what goes through the database has its own arithmetic.
    adapter = entry.adapter if entry.database else exactly(entry.adapter)
    try:
        return adapter(**given)
    except (TermsError, RatingError) as error:
        return {"error": error.code, "sentence": error.message}
