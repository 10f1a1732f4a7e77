"""Reading prices by dimensions: which values a row matches, and what holds where no row does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from billing.rating.models import PRICE_FIELDS, read_limits, read_price, states_price
from billing.rating.reading import Fields, is_object, is_text
from billing.rating.terms import AnyPrice, Row

MAX_ROWS = 10_000
MAX_DIMENSIONS = 20


@dataclass(frozen=True, slots=True)
class RowTable:
    """What a rate says about dimensions; empty for a rate that does not depend on them."""

    dimensions: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    tiers_apply: str = "per_group"
    unmatched: str | None = None


def is_by_rows(fields: Fields) -> bool:
    """Tell whether a rate has prices by dimensions. Empty lists mean that it has none."""
    return bool([name for name in ("dimensions", "rows") if fields.raw(name) not in (None, [], ())])


def read_rows(fields: Fields, *, model: str, per: Decimal | None, price: AnyPrice | None) -> RowTable:
    """Read `dimensions`, `rows`, `tiers_apply`, `unmatched`; rows that state no price use `price`."""
    dimensions = _read_dimensions(fields)
    tiers_apply = fields.choice("tiers_apply", ("per_group", "pooled"), default="per_group")
    unmatched = fields.choice("unmatched", ("free", "listed"), optional=True)
    table = fields.objects("rows", limit=MAX_ROWS, row="Row")
    if table is None:
        return RowTable(dimensions)
    matches = [_read_match(row, dimensions) for row in table]
    _check_duplicates(table, matches)
    _check_catch_all(fields, has_catch_all={} in matches)
    rows = []
    for row_fields, match in zip(table, matches, strict=True):
        row = _read_row(row_fields, match=match or {}, model=model, per=per, price=price)
        if row is not None:
            rows.append(row)
    if price is not None and rows and all(row.own_price for row in rows):
        name = PRICE_FIELDS[model][0]
        fields.add(
            "price_not_used", name, f"Every row has its own price, so {name} of the rate is never used."
        )
    return RowTable(dimensions, tuple(rows), tiers_apply or "per_group", unmatched)


def _read_dimensions(fields: Fields) -> tuple[str, ...]:
    names = fields.raw("dimensions")
    if (
        not isinstance(names, (list, tuple))
        or not 1 <= len(names) <= MAX_DIMENSIONS
        or not all(is_text(name) and name for name in names)
        or len(set(names)) != len(names)
    ):
        fields.add(
            "bad_dimensions",
            "dimensions",
            f"dimensions must be a list of 1 to {MAX_DIMENSIONS} different names.",
        )
        return ()
    return tuple(names)


def _read_match(row: Fields, dimensions: tuple[str, ...]) -> dict[str, str] | None:
    """Read the values a row is for; None when something is wrong (problems were added)."""
    match = row.raw("match")
    if not is_object(match):
        row.add("required", "match", "match must be an object of dimension values; {} matches everything.")
        return None
    values = cast("Mapping[str, object]", match)
    found = len(row.problems)
    for name, value in values.items():
        if name not in dimensions:
            row.add(
                "unknown_dimension", f"match.{name}", f"{name} is not one of the dimensions of this rate."
            )
        elif not is_text(value):
            row.add("not_text", f"match.{name}", f"The value of {name} must be text.")
    return {name: str(value) for name, value in values.items()} if len(row.problems) == found else None


def _check_duplicates(table: list[Fields], matches: list[dict[str, str] | None]) -> None:
    seen: dict[frozenset[tuple[str, str]], int] = {}
    for number, (row, match) in enumerate(zip(table, matches, strict=True), start=1):
        if match is None:
            continue
        first = seen.setdefault(frozenset(match.items()), number)
        if first != number:
            row.add("duplicate_row", "match", f"match is the same as in row {first}. Remove one of them.")


def _check_catch_all(fields: Fields, *, has_catch_all: bool) -> None:
    if has_catch_all and fields.has("unmatched"):
        fields.add(
            "unmatched_not_used",
            "unmatched",
            'The row with "match": {} matches everything, so unmatched has no meaning. Remove one of them.',
        )
    if not has_catch_all and not fields.has("unmatched"):
        fields.add(
            "catch_all_missing",
            "rows",
            'Usage that no row matches has no price. Add a row with "match": {}, or say "unmatched": '
            '"free", or "unmatched": "listed" if the rows list every value.',
        )


def _read_row(
    row: Fields, *, match: dict[str, str], model: str, per: Decimal | None, price: AnyPrice | None
) -> Row | None:
    own_price = states_price(row, model=model) or price is None
    if own_price:
        price = read_price(row, model=model, per=per)
    included, minimum, maximum = read_limits(row, model=model)
    row.finish(f"a row of the model {model}")
    return None if price is None else Row(match, price, own_price, included, minimum, maximum)
