"""Reading event rows: totals for spans of time. The events behind a total are found by metering.behind.

Every figure, for an invoice, a preview, a chart or a check, comes from `total_spans` or `total_windows`. What
each type of meter does with values stands in metering.statements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from django.db import connection

from metering.fragments import Source, Sql, conditions_on, group_expression, united
from metering.models import Meter
from metering.outcome_statements import is_cut_after_counting
from metering.settled_counts import notes_are_quicker, statement_for_notes
from metering.spans import Asked, carries_over, sources_as_of
from metering.statements import statement_for_sums, statements_for
from metering.together import TotalStatement, rows_of_each

# Up to so many spans, as those of one customer, all that is asked is one query. More are each worth one of its own.
TOGETHER = 200
# A customer's or workload name's id, or the text of another group.
Group = int | str | None


class Total(NamedTuple):
    """What one group of events comes to: `amount / over`, before the meter's conversion and rounding.

    `group` holds the values of the dimensions asked for, in that order; it is None in the total over all
    groups. `events` counts the events that count, `values` are theirs, `peaks` those of a windowed meter:
    both oldest first.
    """

    slot: int
    group: tuple[str, ...] | None
    amount: Decimal
    over: Decimal
    events: int
    values: tuple[Decimal, ...] | None = None
    peaks: tuple[Decimal, ...] | None = None


def total_spans(asked: Sequence[Asked], *, as_of: int | None = None) -> list[list[Total]]:
    """Give for each thing asked the total of each span and of each of its groups; empty spans are left out.

    The total over all groups is taken over all events, never over the groups. `as_of` is a ledger position: only what
    was placed up to it counts; None counts everything committed. One query for few spans (`TOGETHER`) of any number of
    meters, else one for each thing asked; one more where outcomes may have been settled ahead.
    """
    for meter, spans, *_ in asked:
        if meter.window and any(span.zone is None for span in spans):
            raise ValueError(f"{meter.label} takes the peak of each {meter.window}: its spans need a zone.")
    asked_for = [(place, each) for place, each in enumerate(asked) if each.spans]
    counts = [(each.meter, each.spans) for _, each in asked_for if not each.with_values]
    quicker = iter(notes_are_quicker(counts, as_of=as_of))
    statements: list[TotalStatement] = []
    owners: list[int] = []
    for place, each in asked_for:
        mine = _statements(each, as_of=as_of, from_notes=not each.with_values and next(quicker))
        statements += mine
        owners += [place] * len(mine)
    few = sum(len(each.spans) for each in asked) <= TOGETHER
    rows = rows_of_each(statements) if few else [rows_of_each([one])[0] for one in statements]
    found: list[list[Total]] = [[] for _ in asked]
    for place, statement, each_rows in zip(owners, statements, rows, strict=True):
        found[place] += [_total(row, statement.groups) for row in each_rows]
    return found


def _statements(asked: Asked, *, as_of: int | None, from_notes: bool) -> list[TotalStatement]:
    meter, spans, group_by, with_values = asked
    sources = sources_as_of(as_of, spans, carries=carries_over(meter))
    names = [f"dimension:{name}" for name in group_by]
    if from_notes:
        groups = [group_expression(name) for name in names]
        sql = statement_for_notes(meter, sources, groups, as_of=as_of, with_total=True)
        return [TotalStatement(sql, len(names))]
    branches = [
        statements_for(meter, source, names, with_total=True, with_values=with_values) for source in sources
    ]
    return [TotalStatement(united(each), len(names)) for each in zip(*branches, strict=True)]


def total_windows(
    windows: Sequence[tuple[datetime, datetime]],
    *,
    meter: Meter,
    zone: str,
    customer_id: int | None = None,
    group_by: Sequence[str] = (),
    filters: Mapping[str, Sequence[str]] | None = None,
) -> list[Total]:
    """Give the total of each window and group, for one meter and one or all customers.

    `slot` is the window's place. `group_by` names `customer`, `workload`, `subject` or `dimension:NAME`;
    `filters` maps such names to allowed values.
    """
    conditions = Sql("e.voided_batch_id IS NULL AND e.customer_id IS NOT NULL")
    if customer_id is not None:
        conditions += Sql(" AND e.customer_id = %s", [customer_id])
    source = _every_customer(
        meter,
        windows,
        zone=zone,
        joins=(
            " LEFT JOIN customers_customer c ON c.id = e.customer_id"
            " LEFT JOIN metering_workloadname w ON w.id = e.workload_id"
        ),
        conditions=conditions + conditions_on(filters or {}),
        related=conditions,
        one_customer=customer_id is not None,
    )
    return [
        _total(row, len(group_by))
        for statement in statements_for(meter, source, group_by)
        for row in rows_of_each([TotalStatement(statement, len(group_by))])[0]
    ]


@dataclass(frozen=True, slots=True)
class CellTotal:
    """What one meter's events of one group come to in one slot, as `Total` for many meters at once.

    `group` holds what `metering.fragments.group_expression` says, in the order asked for.
    """

    meter_id: int
    group: tuple[Group, ...]
    total: Total


def total_sums(
    meters: Sequence[Meter],
    edges: Sequence[datetime],
    *,
    group_by: Sequence[str] = (),
    customer_ids: Sequence[int] | None = None,
) -> list[CellTotal]:
    """Give the totals of many counts and sums (`metering.cells.is_plain_sum`) in one query that reads events once.

    Slot n is the time from the n-th edge to the next. `customer_ids` None: of all customers.
    """
    statement = statement_for_sums(meters, edges, group_by, customer_ids=customer_ids)
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.parameters)
        return [
            CellTotal(row[0], row[2:-2], Total(row[1], None, row[-2], Decimal(1), row[-1]))
            for row in cursor.fetchall()
        ]


def total_cells(
    meter: Meter,
    edges: Sequence[datetime],
    *,
    group_by: Sequence[str] = (),
    customer_ids: Sequence[int] | None = None,
    with_values: bool = False,
) -> list[CellTotal]:
    """Give what `total_sums` gives, for one meter of any type. Windows are cut in UTC."""
    conditions = Sql("e.voided_batch_id IS NULL AND e.customer_id IS NOT NULL")
    if customer_ids is not None:
        conditions += Sql(" AND e.customer_id = ANY(%s)", [list(customer_ids)])
    source = _every_customer(
        meter,
        list(pairwise(edges)),
        zone="UTC",
        conditions=conditions,
        related=conditions,
        one_customer=False,
    )
    place = len(group_by)
    found = []
    for statement in statements_for(meter, source, group_by, with_values=with_values):
        with connection.cursor() as cursor:
            cursor.execute(statement.text, statement.parameters)
            found += [
                CellTotal(meter.pk, row[1 : 1 + place], _total(row, place)) for row in cursor.fetchall()
            ]
    return found


def _every_customer(
    meter: Meter,
    windows: Sequence[tuple[datetime, datetime]],
    *,
    zone: str,
    conditions: Sql,
    related: Sql,
    one_customer: bool,
    joins: str = "",
) -> Source:
    """Give the source of windows that hold for all customers. What counts the same however time is cut is read once."""
    spans = windows
    if windows and is_cut_after_counting(meter):
        spans = [(min(start for start, _ in windows), max(end for _, end in windows))]
    return Source(
        spans=_windows_named("span", spans, zone=zone),
        joins=joins,
        conditions=conditions,
        related=related,
        one_customer=one_customer,
        cuts=None if spans is windows else _windows_named("cut", windows, zone=zone),
    )


def _windows_named(name: str, windows: Sequence[tuple[datetime, datetime]], *, zone: str) -> Sql:
    return Sql(
        "unnest(%s::int[], %s::timestamptz[], %s::timestamptz[], %s::text[])"
        f" AS {name} (slot, first, last, zone)",
        [
            list(range(len(windows))),
            [start for start, _ in windows],
            [end for _, end in windows],
            [zone] * len(windows),
        ],
    )


def pairs_with_events(
    pairs: Sequence[tuple[int, int]], *, start: datetime, end: datetime
) -> set[tuple[int, int]]:
    """Give those pairs of customer and meter that have an event in `[start, end)`, with one index probe for each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT customer_id, meter_id FROM unnest(%s::bigint[], %s::bigint[]) AS asked (customer_id, meter_id)"
            " WHERE EXISTS (SELECT FROM metering_event e WHERE e.customer_id = asked.customer_id"
            " AND e.meter_id = asked.meter_id AND e.occurred_at >= %s AND e.occurred_at < %s"
            " AND e.voided_batch_id IS NULL)",
            [[customer for customer, _ in pairs], [meter for _, meter in pairs], start, end],
        )
        return set(cursor.fetchall())


def _total(row: Sequence[Any], groups: int) -> Total:
    return Total(
        slot=row[0],
        group=None if groups and row[1] is None else tuple(row[1 : 1 + groups]),
        amount=Decimal(row[1 + groups]),
        over=Decimal(row[2 + groups]),
        events=row[3 + groups],
        values=None if row[4 + groups] is None else tuple(row[4 + groups]),
        peaks=None if row[5 + groups] is None else tuple(row[5 + groups]),
    )
