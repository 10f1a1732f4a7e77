"""The only code that reads event rows: quantities for spans of time, and the events behind a quantity.

Every figure, for an invoice, a preview, a chart or a check, comes from `total_spans` or `total_windows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from metering.models import Event, EventBatch, MeterType

# How the events of one group become a quantity. A count adds 1 for an event that carries no value.
AGGREGATES: Mapping[str, str] = {
    MeterType.COUNT: "sum(coalesce(e.value, 1))",
    MeterType.SUM: "sum(e.value)",
}


@dataclass(frozen=True, slots=True)
class Span:
    """One customer's half-open time `[start, end)`. `slot` is the caller's name for it."""

    slot: int
    customer_id: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Total:
    """What one group of events adds up to. `group` holds the values of the dimensions asked for, in that order."""

    slot: int
    group: tuple[str, ...]
    quantity: Decimal
    events: int
    values: tuple[Decimal, ...] | None = None


def total_spans(
    spans: Sequence[Span],
    *,
    meter_id: int,
    meter_type: str,
    group_by: Sequence[str] = (),
    with_values: bool = False,
    as_of: int | None = None,
) -> list[Total]:
    """Give the quantity of each span and group, for one meter; spans without events are left out. One query.

    `with_values` also gives each event's value, oldest first. `as_of` is a ledger position: only what was placed up
    to it counts. None counts everything committed.
    """
    if not spans:
        return []
    groups, group_parameters = _groups([f"dimension:{name}" for name in group_by])
    values = "array_agg(coalesce(e.value, 1) ORDER BY e.occurred_at, e.id)" if with_values else "NULL"
    late, visible, visible_parameters = _as_of(as_of, spans)
    sql = f"""
        {late}
        SELECT span.slot, {groups} {AGGREGATES[meter_type]}, count(*), {values}
        FROM unnest(%s::int[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
             AS span (slot, customer_id, first, last)
        JOIN metering_event e ON e.customer_id = span.customer_id AND e.meter_id = %s
             AND e.occurred_at >= span.first AND e.occurred_at < span.last
        WHERE {visible}
        GROUP BY {_ordinals(1 + len(group_by))}
    """
    columns = [
        [span.slot for span in spans],
        [span.customer_id for span in spans],
        [span.start for span in spans],
        [span.end for span in spans],
    ]
    return _totals(sql, [*visible_parameters, *group_parameters, *columns, meter_id], len(group_by))


def total_windows(
    windows: Sequence[tuple[datetime, datetime]],
    *,
    meter_id: int,
    meter_type: str,
    customer_id: int | None = None,
    group_by: Sequence[str] = (),
    filters: Mapping[str, Sequence[str]] | None = None,
) -> list[Total]:
    """Give the quantity of each window and group, for one meter and one or all customers.

    `slot` is the window's place.
    `group_by` names `customer`, `workload`, `subject` or `dimension:NAME`; `filters` maps such names to allowed values.
    """
    groups, group_parameters = _groups(group_by)
    conditions, condition_parameters = _conditions(filters or {})
    customer = "AND e.customer_id = %s" if customer_id is not None else ""
    sql = f"""
        SELECT span.slot, {groups} {AGGREGATES[meter_type]}, count(*), NULL
        FROM unnest(%s::int[], %s::timestamptz[], %s::timestamptz[]) AS span (slot, first, last)
        JOIN metering_event e ON e.meter_id = %s AND e.occurred_at >= span.first AND e.occurred_at < span.last
        LEFT JOIN customers_customer c ON c.id = e.customer_id
        LEFT JOIN metering_workloadname w ON w.id = e.workload_id
        WHERE e.voided_batch_id IS NULL AND e.customer_id IS NOT NULL {customer} {conditions}
        GROUP BY {_ordinals(1 + len(group_by))}
    """
    columns = [
        list(range(len(windows))),
        [start for start, _ in windows],
        [end for _, end in windows],
    ]
    customers = [customer_id] if customer_id is not None else []
    parameters = [
        *group_parameters,
        *columns,
        meter_id,
        *customers,
        *condition_parameters,
    ]
    return _totals(sql, parameters, len(group_by))


def events_behind(
    *,
    meter_id: int,
    customer_id: int,
    start: datetime,
    end: datetime,
    as_of: int | None = None,
) -> QuerySet[Event]:
    """Give the events that make up a quantity, oldest first."""
    events = Event.objects.filter(
        meter_id=meter_id,
        customer_id=customer_id,
        occurred_at__gte=start,
        occurred_at__lt=end,
    )
    if as_of is None:
        return events.filter(voided_batch_id=None).order_by("occurred_at", "id")
    late = EventBatch.objects.filter(
        Q(position=None) | Q(position__gt=as_of),
        last_occurred_at__gte=start,
        first_occurred_at__lt=end,
    ).values("id")
    return (
        events.exclude(batch_id__in=late)
        .exclude(released_batch_id__isnull=False, released_batch_id__in=late)
        .filter(Q(voided_batch_id=None) | Q(voided_batch_id__in=late))
        .order_by("occurred_at", "id")
    )


def _groups(names: Iterable[str]) -> tuple[str, list[str]]:
    """Give SELECT expressions, each followed by a comma, and their parameters."""
    fixed = {
        "customer": "c.code",
        "workload": "coalesce(w.name, '')",
        "subject": "coalesce(e.subject, '')",
    }
    expressions, parameters = [], []
    for name in names:
        kind, _, dimension = name.partition(":")
        if kind == "dimension":
            expressions.append("coalesce(e.dimensions ->> %s, ''), ")
            parameters.append(dimension)
        else:
            expressions.append(fixed[kind] + ", ")
    return "".join(expressions), parameters


def _conditions(filters: Mapping[str, Sequence[str]]) -> tuple[str, list[Any]]:
    conditions, parameters = [], []
    for name, values in filters.items():
        expression, dimension = _groups([name])
        conditions.append(f"AND {expression.removesuffix(', ')} = ANY(%s)")
        parameters += [*dimension, list(values)]
    return " ".join(conditions), parameters


def _as_of(position: int | None, spans: Sequence[Span]) -> tuple[str, str, list[Any]]:
    """Give a WITH clause, a condition and parameters that leave out what was placed after a position.

    Late batches are found inside the statement, so that they and the events come from one snapshot. Usually there are
    none, and then the first branch of each condition decides without looking at the batch.
    """
    if position is None:
        return "", "e.voided_batch_id IS NULL", []
    late = """
        WITH late AS MATERIALIZED (
            SELECT id FROM metering_eventbatch
            WHERE (position IS NULL OR position > %s) AND last_occurred_at >= %s AND first_occurred_at < %s
        )
    """
    condition = """
        CASE WHEN (SELECT NOT EXISTS (SELECT FROM late)) THEN e.voided_batch_id IS NULL
        ELSE e.batch_id NOT IN (SELECT id FROM late)
             AND (e.released_batch_id IS NULL OR e.released_batch_id NOT IN (SELECT id FROM late))
             AND (e.voided_batch_id IS NULL OR e.voided_batch_id IN (SELECT id FROM late))
        END
    """
    return (
        late,
        condition,
        [position, min(span.start for span in spans), max(span.end for span in spans)],
    )


def _ordinals(count: int) -> str:
    return ", ".join(str(place + 1) for place in range(count))


def _totals(sql: str, parameters: Sequence[Any], groups: int) -> list[Total]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [
            Total(
                row[0],
                tuple(row[1 : 1 + groups]),
                row[1 + groups],
                row[2 + groups],
                None if row[3 + groups] is None else tuple(row[3 + groups]),
            )
            for row in cursor.fetchall()
        ]
