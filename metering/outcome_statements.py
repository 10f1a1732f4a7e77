"""The SQL of outcomes: which of them count in each span, a function of the times of events."""

# ruff: noqa: S608  the text of a statement stands in this module; whatever comes from outside is a parameter

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from metering.fragments import NOTHING, Source, Sql, counted_events, grouped_by, listed
from metering.meter_types import OncePerSubject
from metering.models import Meter


def outcome_ids(meter: Meter, source: Source, *, with_slots: bool = False) -> Sql:
    """Give the statement that selects the ids of the outcomes that count in the spans, after them the slots."""
    columns = "id, slot" if with_slots else "id"
    return (
        source.with_clause + f"SELECT {columns} FROM (" + _counted_outcomes(meter, source, []) + ") counted"
    )


def statement_for_outcomes(
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
        + grouped_by(1, len(groups), with_total=with_total)
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
        + listed(groups, names=True)
        + " FROM "
        + source.spans
        + " JOIN metering_event e ON "
        + Sql("e.meter_id = %s AND e.occurred_at < span.last ", [meter.pk])
        + since
        + source.joins
        + " LEFT JOIN own ON own.customer_id = e.customer_id AND own.target_id = e.id"
        + " LEFT JOIN every ON every.customer_id = e.customer_id AND every.subject = e.subject"
        + " WHERE e.signal IS NULL AND own.reversed_at IS NULL"
        + " AND (every.reversed_at IS NULL OR every.reversed_at < e.occurred_at) AND "
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


# Few subjects have signals: for the others nothing is looked through.
FIRST_SINCE = (
    "CASE WHEN {times} IS NOT NULL THEN"
    " (SELECT min(moment) FROM unnest({times}) AS moment WHERE moment >= e.occurred_at) END"
)
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
    SELECT customer_id, subject, max(occurred_at) FILTER (WHERE signal = 'reverses') AS reversed_at,
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
