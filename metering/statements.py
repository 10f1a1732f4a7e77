"""The SQL of each type of meter: one grouped statement for all customers, in exact `numeric` arithmetic.

A statement gives rows of (slot, groups ..., amount, over, events, values, peaks); the quantity is `amount /
over`. Division is left to the reader, because PostgreSQL would choose the number of digits itself. Nothing
here is float: percentiles take a rank of the ordered values, not `percentile_cont`, and lengths of time are
exact microseconds.
"""

# ruff: noqa: S608  the text of a statement stands in this module; whatever comes from outside is a parameter

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from metering.fragments import (
    NOTHING,
    Source,
    Sql,
    events_in_span,
    events_of,
    group_expression,
    grouped_by,
    listed,
)
from metering.meter_types import MeterType
from metering.models import Meter
from metering.outcome_statements import statement_for_outcomes


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
        return [statement_for_outcomes(meter, source, groups, with_total=with_total, with_values=with_values)]
    if meter.timeout_hours is not None:
        levels = [groups, [Sql("NULL::text")] * len(groups)] if with_total and groups else [groups]
        return [_timed_levels(meter, source, each) for each in levels]
    if meter.window:
        return [_peaks(meter, source, groups, with_total=with_total)]
    return [_plain(meter, source, groups, with_total=with_total, with_values=with_values)]


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
        Sql("span.slot") + listed(groups) + ", " + amount + f", {over}, count(*) {in_span}, {values}, NULL"
    )
    return (
        source.with_clause
        + "SELECT "
        + columns
        + events_of(meter, source)
        + grouped_by(1, len(groups), with_total=with_total)
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
        + events_in_span(meter, source, Sql("(SELECT) AS one"))
        + " HAVING count(*) > 0) AS totals"
    )


def _peaks(meter: Meter, source: Source, groups: Sequence[Sql], *, with_total: bool) -> Sql:
    """The peak of each window, then their sum. Windows begin on the local clock of each span."""
    columns = (
        Sql("span.slot, date_trunc(%s, e.occurred_at, span.zone) AS place", [meter.window])
        + listed(groups, names=True)
        + ", max(e.value) AS peak, count(*) AS events"
    )
    inner = "SELECT " + columns + events_of(meter, source) + grouped_by(2, len(groups), with_total=with_total)
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
        + listed(groups, names=True)
        + events_of(meter, source)
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
        + listed(group_expression(name) for name in group_by)
        + Sql(
            ", sum(coalesce(e.value, 1)), count(*) FROM metering_event e WHERE e.meter_id = ANY(%s)"
            " AND e.occurred_at >= %s AND e.occurred_at < %s"
            " AND e.voided_batch_id IS NULL AND e.customer_id IS NOT NULL",
            [[meter.pk for meter in meters], edges[0], edges[-1]],
        )
        + (Sql(" AND (e.value IS NOT NULL OR e.meter_id <> ALL(%s))", [sums]) if sums else NOTHING)
        + (Sql(" AND e.customer_id = ANY(%s)", [list(customer_ids)]) if customer_ids is not None else NOTHING)
        + grouped_by(2, len(group_by), with_total=False)
    )


def _counted_thing(meter: Meter) -> Sql:
    if meter.value_dimension:
        return Sql("(e.dimensions ->> %s)", [meter.value_dimension])
    return Sql("e.subject")
