"""The tables of the price editor as they were posted: tiers, and rows of prices by dimensions.

Nothing is checked here: cells stay text, and the rating core names what is wrong with them. A row that was left empty
is no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from billing.admin.rate_fields import LIMITS, ROW_PRICES, TIER_COLUMNS, TIER_FIELDS, TIERED

REST = "rest"
ROW_FIELDS = (*ROW_PRICES, *LIMITS)
NOTHING_BY_DEFAULT = frozenset({"included_units", "fixed_amount", "free_events", "free_amount"})


@dataclass(slots=True)
class TierRow:
    """One row of a tier table, with the refusals of its cells. `from_` is where the row before it ends."""

    cells: dict[str, str] = field(default_factory=lambda: dict.fromkeys(TIER_FIELDS, ""))
    errors: list[str] = field(default_factory=list)
    from_: str = ""

    def terms(self, model: str) -> dict[str, object]:
        return filled({name: self.cells[name] for name in ("up_to", *TIER_COLUMNS[model])})


@dataclass(slots=True)
class PriceRow:
    """One row of prices by dimensions: the values it is for, its own price where it has one, its own limits."""

    key: str
    match: dict[str, str] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=lambda: dict.fromkeys(ROW_FIELDS, ""))
    tiers: list[TierRow] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def is_rest(self) -> bool:
        return self.key == REST

    def cell(self, name: str) -> str:
        return self.cells.get(name, "")

    def is_blank(self, dimensions: Sequence[str]) -> bool:
        values = [self.match.get(name, "") for name in dimensions]
        return not any([*values, *self.cells.values(), *(any(tier.cells.values()) for tier in self.tiers)])

    def terms(self, model: str, dimensions: Sequence[str], *, with_limits: bool) -> dict[str, object]:
        """Give the row as the API writes it, with only the fields of the model."""
        written = {name: self.match.get(name, "") for name in dimensions}
        terms: dict[str, object] = {"match": {name: value_of(text) for name, text in written.items() if text}}
        fields = {**ROW_PRICES, **(LIMITS if with_limits else {})}
        terms |= filled({name: self.cells[name] for name, models in fields.items() if model in models})
        tiers = [tier for tier in self.tiers if any(tier.cells.values())]
        if model in TIERED and tiers:
            terms["tiers"] = [tier.terms(model) for tier in tiers]
        return terms


def posted_tiers(data: QueryDict, prefix: str = "") -> list[TierRow]:
    """Read the tiers of one table; rows that are empty are left out."""
    columns = [data.getlist(f"{prefix}tier_{name}") for name in TIER_FIELDS]
    rows = [
        TierRow(dict(zip(TIER_FIELDS, map(str.strip, cells), strict=True)))
        for cells in zip(*columns, strict=False)
    ]
    return with_from([row for row in rows if any(row.cells.values())])


def stored_tiers(terms: Mapping[str, Any]) -> list[TierRow]:
    tiers = terms.get("tiers") or ()
    return with_from([TierRow({name: str(tier.get(name) or "") for name in TIER_FIELDS}) for tier in tiers])


def with_from(rows: list[TierRow]) -> list[TierRow]:
    """Say where each tier begins: where the one before it ends."""
    before = "0"
    for row in rows:
        row.from_ = "0" if before == "0" else f"over {before}"
        before = row.cells["up_to"] or "?"
    return rows


def posted_rows(data: QueryDict, dimensions: Sequence[str]) -> list[PriceRow]:
    """Read the rows in the order of the page; the row for everything else is the last."""
    rows = []
    for key in dict.fromkeys(data.getlist("row")):
        at = f"row_{key}_"
        rows.append(
            PriceRow(
                key,
                {name: data.get(f"{at}match:{name}", "").strip() for name in dimensions},
                {name: data.get(f"{at}{name}", "").strip() for name in ROW_FIELDS},
                posted_tiers(data, at),
            )
        )
    return sorted(rows, key=lambda row: row.is_rest)


def stored_rows(terms: Mapping[str, Any]) -> list[PriceRow]:
    rows = []
    for number, row in enumerate(terms.get("rows") or ()):
        rows.append(
            PriceRow(
                str(number) if row["match"] else REST,
                {name: text_of(value) for name, value in row["match"].items()},
                {name: shown(name, row.get(name)) for name in ROW_FIELDS},
                stored_tiers(row),
            )
        )
    return sorted(rows, key=lambda row: row.is_rest)


def shown(name: str, value: object) -> str:
    """Give a stored number as the form shows it: one that is not set, or 0 by default, is an empty field."""
    return "" if value is None or (name in NOTHING_BY_DEFAULT and value in ("0", 0)) else str(value)


def filled(terms: Mapping[str, object]) -> dict[str, object]:
    """Leave out what was left empty: the rating core has the defaults."""
    return {name: value for name, value in terms.items() if value not in ("", None)}


def value_of(text: str) -> str:
    """Read a value of a dimension. Quotes keep what is inside as it is: `""` is an event without the value."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def text_of(value: str) -> str:
    """Write a value of a dimension so that `value_of` gives it back."""
    quoted = not value or value != value.strip() or (len(value) > 1 and value[0] == value[-1] == '"')
    return f'"{value}"' if quoted else value
