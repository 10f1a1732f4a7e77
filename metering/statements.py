"""The SQL of each type of meter: one grouped statement for all customers, in exact `numeric` arithmetic.

A statement gives rows of (slot, groups ..., amount, over, events, values, peaks); the quantity is `amount /
over`. Division is left to the reader, because PostgreSQL would choose the number of digits itself. Nothing
here is float: percentiles take a rank of the ordered values, not `percentile_cont`, and lengths of time are
exact microseconds.
"""

# ruff: noqa: S608  the text of a statement stands in this module; whatever comes from outside is a parameter

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from metering.meter_types import MeterType, Need, OncePerSubject, need_of
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
    conditions for events of any time that say something about those: reversals, confirmations, evidence.
    """

    spans: Sql
    joins: str
    conditions: Sql
    related: Sql
    with_clause: Sql = NOTHING
    one_customer: bool = True


def statements_for(
    meter: Meter,
    source: Source,
    group_by: Sequence[str],
    *,
    with_total: bool = False,
    with_values: bool = False,
) -> list[Sql]:
    """Give the statements that total a meter; with `with_total` also over all groups, in rows whose groups
    are NULL.
    """
    groups = [group_expression(name) for name in group_by]
    if meter.is_outcome:
        return [_outcomes(meter, source, groups, with_total=with_total, with_values=with_values)]
    if meter.timeout_hours is not None:
        levels = [groups, [Sql("NULL::text")] * len(groups)] if with_total and groups else [groups]
        return [_timed_levels(meter, source, each) for each in levels]
    if meter.window:
        return [_peaks(meter, source, groups, with_total=with_total)]
    return [_plain(meter, source, groups, with_total=with_total, with_values=with_values)]


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

# What sets apart the time a level is held from the time it is measured over.
_HELD = "extract(epoch FROM span.last - greatest(e.occurred_at, span.first))"
_LENGTH = "extract(epoch FROM span.last - span.first)"
_IN_SPAN = "FILTER (WHERE e.occurred_at >= span.first)"


def _amount(meter: Meter, *, one_customer: bool) -> tuple[Sql, str]:
    """Give what the events of one group amount to, and what that is over."""
    match meter.type:
        case MeterType.COUNT:
            # One for each event without a value. Adding up as many ones would take twice as long.
            return Sql("coalesce(sum(e.value), 0) + count(*) - count(e.value)"), "1"
        case MeterType.SUM:
            return Sql("sum(e.value)"), "1"
        case MeterType.MAX:
            return Sql("max(e.value)"), "1"
        case MeterType.MIN:
            return Sql("min(e.value)"), "1"
        case MeterType.LATEST:
            return Sql("(array_agg(e.value ORDER BY e.occurred_at DESC, e.id DESC))[1]"), "1"
        case MeterType.AVERAGE:
            return Sql("sum(e.value)"), "count(*)"
        case MeterType.UNIQUE:
            counted = _counted_thing(meter) + ' COLLATE "C"'
            # One customer's ticket 7 is not another's.
            return "count(DISTINCT " + (
                counted if one_customer else "(e.customer_id, " + counted + ")"
            ) + ")", "1"
        case MeterType.PERCENTILE:
            rank = Sql("ceil(%s::numeric * count(*) / 100)::int", [meter.percentile])
            return "(array_agg(e.value ORDER BY e.value))[" + rank + "]", "1"
        case MeterType.WEIGHTED_SUM:
            return Sql(f"sum(e.value * {_HELD})"), f"max({_LENGTH})"
    raise ValueError(f"{meter.type} is not a type of meter.")


def _plain(
    meter: Meter, source: Source, groups: Sequence[Sql], *, with_total: bool, with_values: bool
) -> Sql:
    amount, over = _amount(meter, one_customer=source.one_customer)
    in_span = _IN_SPAN if meter.type == MeterType.WEIGHTED_SUM else ""
    values = (
        f"array_agg(coalesce(e.value, 1) ORDER BY e.occurred_at, e.id) {in_span}" if with_values else "NULL"
    )
    if not groups and source.one_customer and meter.type != MeterType.WEIGHTED_SUM:
        return _one_by_one(meter, source, amount + f", {over}, count(*), {values}, NULL")
    columns = (
        Sql("span.slot") + _listed(groups) + ", " + amount + f", {over}, count(*) {in_span}, {values}, NULL"
    )
    return (
        source.with_clause
        + "SELECT "
        + columns
        + _events(meter, source)
        + _group_by(1, len(groups), with_total=with_total)
    )


def _one_by_one(meter: Meter, source: Source, totals: Sql) -> Sql:
    """Total each span by itself. Its events are one stretch of the index, so no row has to be told from others.

    Takes half the time of a join that is grouped by span. Not for totals of the span alone, which would be taken over
    all spans.
    """
    return (
        source.with_clause
        + "SELECT span.slot, totals.* FROM "
        + source.spans
        + ", LATERAL (SELECT "
        + totals
        + _events_in_span(meter, source, Sql("(SELECT) AS one"))
        + " HAVING count(*) > 0) AS totals"
    )


def _peaks(meter: Meter, source: Source, groups: Sequence[Sql], *, with_total: bool) -> Sql:
    """The peak of each window, then their sum. Windows begin on the local clock of each span."""
    columns = (
        Sql("span.slot, date_trunc(%s, e.occurred_at, span.zone) AS place", [meter.window])
        + _listed(groups, names=True)
        + ", max(e.value) AS peak, count(*) AS events"
    )
    inner = "SELECT " + columns + _events(meter, source) + _group_by(2, len(groups), with_total=with_total)
    names = "".join(f", g{place}" for place in range(len(groups)))
    return (
        source.with_clause
        + f"SELECT slot{names}, sum(peak), 1, sum(events)::bigint, NULL, array_agg(peak ORDER BY place) FROM ("
        + inner
        + f") peaks GROUP BY slot{names}"
    )


def _timed_levels(meter: Meter, source: Source, groups: Sequence[Sql]) -> Sql:
    """Levels that end when no news came for a time. A run is a row of events with no such gap between them.

    A level begins each run at zero and is held until the run's last event plus the time-out.
    """
    timeout = timedelta(microseconds=int((meter.timeout_hours or 0) * 3_600_000_000))
    names = "".join(f", g{place}" for place in range(len(groups)))
    events = (
        "SELECT span.slot, span.first, span.last, e.customer_id, e.value, e.occurred_at"
        + _listed(groups, names=True)
        + _events(meter, source)
    )
    own = f"PARTITION BY slot, customer_id{names} ORDER BY occurred_at"
    gaps = f"SELECT *, occurred_at - lag(occurred_at) OVER ({own}) AS gap FROM (" + events + ") counted"
    # The frame takes in events of the same instant, so they never fall into different runs.
    runs = (
        "SELECT *, count(*) FILTER (WHERE gap >= "
        + Sql("%s", [timeout])
        + f") OVER ({own}) AS run FROM ("
        + gaps
        + ") gaps"
    )
    held = (
        f"SELECT slot{names}, "
        + Sql("CASE WHEN max(occurred_at) + %s > first THEN ", [timeout])
        + Sql("sum(value) * extract(epoch FROM least(max(occurred_at) + %s, last) - first)", [timeout])
        + " - sum(value * extract(epoch FROM greatest(occurred_at, first) - first)) ELSE 0 END AS held,"
        + " extract(epoch FROM last - first) AS length, count(*) FILTER (WHERE occurred_at >= first) AS events"
        + " FROM ("
        + runs
        + f") runs GROUP BY slot, first, last, customer_id{names}, run"
    )
    return (
        source.with_clause
        + f"SELECT slot{names}, sum(held), max(length), sum(events)::bigint, NULL, NULL FROM ("
        + held
        + f") held GROUP BY slot{names}"
    )


def outcome_ids(meter: Meter, source: Source, *, with_slots: bool = False) -> Sql:
    """Give the statement that selects the ids of the outcomes that count in the spans, after them the slots."""
    columns = "id, slot" if with_slots else "id"
    return (
        source.with_clause + f"SELECT {columns} FROM (" + _counted_outcomes(meter, source, []) + ") counted"
    )


def _outcomes(
    meter: Meter, source: Source, groups: Sequence[Sql], *, with_total: bool, with_values: bool
) -> Sql:
    """Add up the outcomes that count."""
    names = "".join(f", g{place}" for place in range(len(groups)))
    values = "array_agg(value ORDER BY settles_at, occurred_at, id)" if with_values else "NULL"
    return (
        source.with_clause
        + f"SELECT slot{names}, sum(value), 1, count(*), {values}, NULL FROM ("
        + _counted_outcomes(meter, source, groups)
        + ") counted"
        + _group_by(1, len(groups), with_total=with_total)
    )


def _counted_outcomes(meter: Meter, source: Source, groups: Sequence[Sql]) -> Sql:
    """The outcomes that count in each span: a function of the times of events, whatever arrived when.

    An outcome settles when its window is over, or when it was confirmed if that is sooner. It stands while nothing
    reversed it: a signal by key is about that outcome, one by subject about the outcomes of the subject until then.
    What stands belongs to the span in which it settles. Of the standing outcomes of a subject the first to settle
    counts, in the span or ever. metering.outcomes says the same in Python.
    """
    names = "".join(f", g{place}" for place in range(len(groups)))
    once = OncePerSubject(meter.once_per_subject)
    window = timedelta(microseconds=int((meter.verification_hours or 0) * 3_600_000_000))
    since = Sql("") if once is OncePerSubject.EVER else Sql("AND e.occurred_at >= span.first - %s", [window])
    signals = (
        "SELECT e.customer_id, e.signal, e.target_id, e.subject, e.occurred_at FROM metering_event e WHERE "
        + Sql("e.meter_id = %s AND e.signal IS NOT NULL AND ", [meter.pk])
        + source.related
    )
    outcomes = (
        "SELECT span.slot, span.first, span.last, e.customer_id, e.id, e.occurred_at, coalesce(e.value, 1) AS value,"
        " e.subject, least(e.occurred_at + "
        + Sql("%s", [window])
        + ", CASE WHEN own.confirmed_at IS NOT NULL THEN greatest(own.confirmed_at, e.occurred_at) END, "
        + FIRST_SINCE.format(times="every.confirmations")
        + ") AS settles_at"
        + _listed(groups, names=True)
        + " FROM "
        + source.spans
        + " JOIN metering_event e ON "
        + Sql("e.meter_id = %s AND e.occurred_at < span.last ", [meter.pk])
        + since
        + source.joins
        + " LEFT JOIN own ON own.customer_id = e.customer_id AND own.target_id = e.id"
        + " LEFT JOIN every ON every.customer_id = e.customer_id AND every.subject = e.subject"
        + " WHERE e.signal IS NULL AND own.reversed_at IS NULL AND "
        + FIRST_SINCE.format(times="every.reversals")
        + " IS NULL AND "
        + source.conditions
        + counted_events(meter)
    )
    standing: Sql = "SELECT * FROM outcome" + _with_evidence(meter, source)
    in_span = "settles_at >= first AND settles_at < last"
    if once is OncePerSubject.PERIOD:
        standing += f" WHERE {in_span}"
    place = (
        "1"
        if once is OncePerSubject.NEVER
        else "row_number() OVER (PARTITION BY slot, customer_id, subject ORDER BY settles_at, occurred_at, id)"
    )
    return (
        "WITH RECURSIVE signal AS MATERIALIZED ("
        + signals
        + ")"
        + SIGNALS
        + ", outcome AS ("
        + outcomes
        + f") SELECT id, slot, value, settles_at, occurred_at{names} FROM (SELECT *, {place} AS place FROM ("
        + standing
        + f") standing) ranked WHERE place = 1 AND {in_span}"
    )


FIRST_SINCE = "(SELECT min(moment) FROM unnest({times}) AS moment WHERE moment >= e.occurred_at)"
# A signal about an event that was amended is about the one that replaced it.
SIGNALS = """, target AS (
    SELECT target_id AS named, target_id AS id FROM signal WHERE target_id IS NOT NULL
    UNION
    SELECT target.named, correction.replacement_id
    FROM target JOIN metering_eventcorrection correction ON correction.event_id = target.id
    WHERE correction.replacement_id IS NOT NULL
), own AS (
    SELECT customer_id, target.id AS target_id, min(occurred_at) FILTER (WHERE signal = 'reverses') AS reversed_at,
           min(occurred_at) FILTER (WHERE signal = 'confirms') AS confirmed_at
    FROM signal JOIN target ON target.named = signal.target_id GROUP BY 1, 2
), every AS (
    SELECT customer_id, subject, array_agg(occurred_at) FILTER (WHERE signal = 'reverses') AS reversals,
           array_agg(occurred_at) FILTER (WHERE signal = 'confirms') AS confirmations
    FROM signal WHERE target_id IS NULL GROUP BY 1, 2
)"""


def _with_evidence(meter: Meter, source: Source) -> Sql:
    """Keep the outcomes for whose subject there was activity by the time they settled."""
    if meter.evidence_meter_id is None:
        return NOTHING
    return (
        " JOIN (SELECT e.customer_id AS worked_for, e.subject AS worked_on, min(e.occurred_at) AS worked_at"
        " FROM metering_event e WHERE "
        + Sql("e.meter_id = %s AND e.subject IS NOT NULL AND ", [meter.evidence_meter_id])
        + source.related
        + " GROUP BY 1, 2) evidence ON worked_for = customer_id AND worked_on = subject AND worked_at <= settles_at"
    )


def _events(meter: Meter, source: Source) -> Sql:
    """From the spans and the events in them."""
    return _events_in_span(meter, source, source.spans)


def _events_in_span(meter: Meter, source: Source, spans: Sql) -> Sql:
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


def statement_for_sums(
    meters: Sequence[Meter],
    edges: Sequence[datetime],
    group_by: Sequence[str],
    *,
    customer_ids: Sequence[int] | None,
) -> Sql:
    """Give one statement for all of some counts and sums, so that the events are read once whatever their number.

    Its rows are (meter, slot, groups ..., amount, events); slot n is the time from the n-th edge to the next.
    """
    place = (
        Sql("0") if len(edges) == 2 else Sql("width_bucket(e.occurred_at, %s::timestamptz[]) - 1", [edges])
    )
    sums = [meter.pk for meter in meters if meter.type == MeterType.SUM]
    return (
        Sql("SELECT e.meter_id, ")
        + place
        + _listed(group_expression(name) for name in group_by)
        + Sql(
            ", sum(coalesce(e.value, 1)), count(*) FROM metering_event e WHERE e.meter_id = ANY(%s)"
            " AND e.occurred_at >= %s AND e.occurred_at < %s"
            " AND e.voided_batch_id IS NULL AND e.customer_id IS NOT NULL",
            [[meter.pk for meter in meters], edges[0], edges[-1]],
        )
        + (Sql(" AND (e.value IS NOT NULL OR e.meter_id <> ALL(%s))", [sums]) if sums else NOTHING)
        + (Sql(" AND e.customer_id = ANY(%s)", [list(customer_ids)]) if customer_ids is not None else NOTHING)
        + _group_by(2, len(group_by), with_total=False)
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


def _counted_thing(meter: Meter) -> Sql:
    if meter.value_dimension:
        return Sql("(e.dimensions ->> %s)", [meter.value_dimension])
    return Sql("e.subject")


def _listed(groups: Iterable[Sql], *, names: bool = False) -> Sql:
    listed = NOTHING
    for place, group in enumerate(groups):
        listed += ", " + group + (f" AS g{place}" if names else "")
    return listed


def _group_by(leading: int, groups: int, *, with_total: bool) -> str:
    """Group by the first columns; with a total also by the leading ones alone, where the others come out as
    NULL.
    """
    first = ", ".join(str(place + 1) for place in range(leading))
    every = ", ".join(str(place + 1) for place in range(leading + groups))
    if with_total and groups:
        return f" GROUP BY GROUPING SETS (({every}), ({first}))"
    return f" GROUP BY {every}"
