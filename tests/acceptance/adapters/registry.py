"""Finding the adapter of a case by its area and its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billing.rating import RatingError, TermsError
from billing.rating.exact import exactly

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
    """Give a row of a case with our names of its fields. A field without one fails: it is never left out."""
    unknown = row.keys() - names.keys()
    if unknown:
        raise NoAdapterError(f"No adapter takes a row with {sorted(unknown)}; it knows {sorted(names)}.")
    return {names[name]: value for name, value in row.items()}


def uses_database(area: str) -> bool:
    return any(entry.database for entry in _ENTRIES if entry.area == area)


def answer(area: str, given: dict[str, Any]) -> Figures:
    """Give the figures of a case; `{"error": code}` when its terms or its usage are refused.

    A key that is null states nothing: where no adapter knows it, it is as if it were left out.
    """
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
