"""Asking several statements about totals in one query, so that a page asks as often for many meters as for one."""

# ruff: noqa: S608  the text of a statement stands in this module; whatever comes from outside is a parameter

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection

from metering.fragments import Sql


class TotalStatement(NamedTuple):
    """A statement with rows as those of `metering.statements`, and how many groups these have."""

    sql: Sql
    groups: int


def rows_of_each(statements: Sequence[TotalStatement]) -> list[list[Sequence[Any]]]:
    """Run statements in one query, and so of one snapshot; give the rows of each."""
    if not statements:
        return []
    if len(statements) == 1:
        return [_fetched(statements[0].sql)]
    most = max(statement.groups for statement in statements)
    parts = [_part(place, statement, most) for place, statement in enumerate(statements)]
    found: list[list[Sequence[Any]]] = [[] for _ in statements]
    for place, slot, groups, *figures in _fetched(
        sum((" UNION ALL " + part for part in parts[1:]), parts[0])
    ):
        found[place].append((slot, *groups[: statements[place].groups], *figures))
    return found


def _part(place: int, statement: TotalStatement, most: int) -> Sql:
    groups = [f"g{n}" for n in range(statement.groups)]
    padded = ", ".join([*groups, *["NULL"] * (most - len(groups))])
    names = ", ".join(["slot", *groups, "amount", "divisor", "events", "each", "peaks"])
    return (
        f"SELECT {place}, slot, ARRAY[{padded}]::text[], amount::numeric, divisor::numeric, events::bigint,"
        " each::numeric[], peaks::numeric[] FROM (" + statement.sql + f") AS part ({names})"
    )


def _fetched(sql: Sql) -> list[Sequence[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.text, sql.parameters)
        return list(cursor.fetchall())
