"""What statements about events are made of: text with parameters, which events are read, groups, conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metering.meter_types import MeterType, Need, need_of
from metering.models import Meter


@dataclass(frozen=True, slots=True)
class Sql:
    """Text with placeholders and their parameters, in order."""

    text: str
    parameters: list[Any] = field(default_factory=list)

    def __add__(self, other: Sql | str) -> Sql:
        if isinstance(other, str):
            return Sql(self.text + other, self.parameters)
        return Sql(self.text + other.text, [*self.parameters, *other.parameters])

    def __radd__(self, other: str) -> Sql:
        return Sql(other + self.text, self.parameters)


NOTHING = Sql("")


@dataclass(frozen=True, slots=True)
class Source:
    """Which events are read: FROM `spans` JOIN events `joins` WHERE `conditions`.

    `spans` gives rows `span (slot, first, last, zone)`; `joins` goes on from the join's condition. `related` are the
    conditions for events of any time that say something about those: reversals, confirmations, evidence. `cuts` has
    rows like `spans`: they tell apart what counts in the one span that is read.
    """

    spans: Sql
    joins: str
    conditions: Sql
    related: Sql
    with_clause: Sql = NOTHING
    one_customer: bool = True
    cuts: Sql | None = None


def group_expression(name: str) -> Sql:
    """Give a group: `customer`, `workload`, `subject`, `source` or `dimension:NAME` as text, '' where an event has
    none; `customer_id` and `workload_id` as they are stored.
    """
    kind, _, dimension = name.partition(":")
    if kind == "dimension":
        return Sql("coalesce(e.dimensions ->> %s, '')", [dimension])
    return FIXED_GROUPS[kind]


def conditions_on(filters: Mapping[str, Sequence[str]]) -> Sql:
    """Give the conditions that keep only the allowed values of each named group."""
    conditions = NOTHING
    for name, values in filters.items():
        conditions += " AND " + group_expression(name) + Sql(" = ANY(%s)", [list(values)])
    return conditions


def counted_events(meter: Meter) -> Sql:
    """Give the conditions for events that count on a meter: its filters, and what its type needs."""
    return conditions_on({f"dimension:{name}": values for name, values in meter.filters.items()}) + _need(
        meter
    )


FIXED_GROUPS = {
    "customer": Sql("coalesce(c.code, '')"),
    "workload": Sql("coalesce(w.name, '')"),
    "subject": Sql("coalesce(e.subject, '')"),
    "source": Sql("e.source"),
    "customer_id": Sql("e.customer_id"),
    "workload_id": Sql("e.workload_id"),
}


def events_of(meter: Meter, source: Source) -> Sql:
    """From the spans and the events in them."""
    return events_in_span(meter, source, source.spans)


def events_in_span(meter: Meter, source: Source, spans: Sql) -> Sql:
    """From `spans` and their events; a level carries over, so its events have no earliest time."""
    since = "" if meter.type == MeterType.WEIGHTED_SUM else "AND e.occurred_at >= span.first"
    return (
        " FROM "
        + spans
        + Sql(f" JOIN metering_event e ON e.meter_id = %s {since} AND e.occurred_at < span.last", [meter.pk])
        + source.joins
        + " WHERE "
        + source.conditions
        + counted_events(meter)
    )


def _need(meter: Meter) -> Sql:
    match need_of(meter.type, meter.value_dimension, meter.once_per_subject):
        case Need.VALUE:
            return Sql(" AND e.value IS NOT NULL")
        case Need.SUBJECT:
            return Sql(" AND e.subject IS NOT NULL")
        case Need.DIMENSION:
            return Sql(" AND coalesce(e.dimensions ->> %s, '') <> ''", [meter.value_dimension])
    return NOTHING


def listed(groups: Iterable[Sql], *, names: bool = False) -> Sql:
    listed = NOTHING
    for place, group in enumerate(groups):
        listed += ", " + group + (f" AS g{place}" if names else "")
    return listed


def grouped_by(leading: int, groups: int, *, with_total: bool) -> str:
    """Group by the first columns; with a total also by the leading ones alone, where the others come out as
    NULL.
    """
    first = ", ".join(str(place + 1) for place in range(leading))
    every = ", ".join(str(place + 1) for place in range(leading + groups))
    if with_total and groups:
        return f" GROUP BY GROUPING SETS (({every}), ({first}))"
    return f" GROUP BY {every}"


def united(branches: Iterable[Sql]) -> Sql:
    """Give one statement with the rows of all."""
    first, *others = branches
    return sum((" UNION ALL " + other for other in others), first)
