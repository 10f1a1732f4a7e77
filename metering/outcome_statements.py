"""The SQL of outcomes: which of them count in each span, a function of the times of events.

An outcome settles when its window is over, or when it was confirmed if that is sooner. It stands while nothing reversed
it: a signal by key is about that outcome, one by subject about the outcomes of the subject until then. What stands
belongs to the span in which it settles. Of the standing outcomes of a subject the first to settle counts, in the span
or ever. metering.outcomes says the same in Python.
"""

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
    return source.with_clause + f"SELECT {columns} FROM (" + counted_outcomes(meter, source, []) + ") counted"


def statement_for_outcomes(
    meter: Meter, source: Source, groups: Sequence[Sql], *, with_total: bool, with_values: bool
) -> Sql:
    """Add up the outcomes that count."""
    names = "".join(f", g{place}" for place in range(len(groups)))
    values = "array_agg(value ORDER BY settles_at, occurred_at, id)" if with_values else "NULL"
    return (
        source.with_clause
        + f"SELECT slot{names}, sum(value), 1, count(*), {values}, NULL FROM ("
        + counted_outcomes(meter, source, groups)
        + ") counted"
        + grouped_by(1, len(groups), with_total=with_total)
    )


def counted_outcomes(meter: Meter, source: Source, groups: Sequence[Sql], *, only_again: bool = False) -> Sql:
    """Select the outcomes that count in each span: id, slot, value, settles_at, occurred_at and the groups.

    `only_again`: of those in the relation `again` alone; see `subjects_again`.
    """
    names = "".join(f", g{place}" for place in range(len(groups)))
    once = OncePerSubject(meter.once_per_subject)
    since = (
        Sql("")
        if once is OncePerSubject.EVER
        else Sql("AND e.occurred_at >= span.first - %s", [window_of(meter)])
    )
    in_time = Sql("e.meter_id = %s AND e.occurred_at < span.last ", [meter.pk]) + since + source.joins
    read = (
        "again JOIN metering_event e ON e.id = again.id JOIN " + source.spans + " ON " + in_time
        if only_again
        else source.spans + " JOIN metering_event e ON " + in_time
    )
    outcomes = (
        "SELECT span.slot, span.first, span.last, e.customer_id, e.id, e.occurred_at, coalesce(e.value, 1) AS value,"
        " e.subject, "
        + (settles_at_again(meter) if only_again else _settles_at(meter))
        + " AS settles_at"
        + listed(groups, names=True)
        + " FROM "
        + read
        + (signals_of_again(meter, source) if only_again else SIGNALS_OF_EACH)
        + " WHERE "
        + STANDS
        + " AND "
        + source.conditions
        + counted_events(meter)
    )
    standing: Sql = "SELECT * FROM outcome" + _with_evidence(meter, source)
    if once is OncePerSubject.PERIOD:
        standing += " WHERE settles_at >= first AND settles_at < last"
    place = (
        "1"
        if once is OncePerSubject.NEVER
        else "row_number() OVER (PARTITION BY slot, customer_id, subject ORDER BY settles_at, occurred_at, id)"
    )
    return (
        "WITH RECURSIVE "
        + (NOTHING if only_again else _signals(meter, source) + ", ")
        + "outcome AS ("
        + outcomes
        + f") SELECT id, {'ranked' if source.cuts is None else 'cut'}.slot, value, settles_at, occurred_at{names}"
        + f" FROM (SELECT *, {place} AS place FROM ("
        + standing
        + ") standing) ranked"
        + ("" if source.cuts is None else _told_apart(source.cuts))
        + " WHERE place = 1 AND settles_at >= ranked.first AND settles_at < ranked.last"
    )


def is_cut_after_counting(meter: Meter) -> bool:
    """Tell whether the same outcomes count however time is cut, so that each is looked at once for all spans.

    Of a subject that counts once for ever, the first to settle of all is the first in the span in which it settles: it
    happened before that span's end, and what happened before an earlier span's end cannot settle there before it.
    """
    return OncePerSubject(meter.once_per_subject) is OncePerSubject.EVER


def _told_apart(cuts: Sql) -> Sql:
    return " JOIN " + cuts + " ON settles_at >= cut.first AND settles_at < cut.last"


def window_of(meter: Meter) -> timedelta:
    """Give the time within which an outcome may still be reversed before it settles."""
    return timedelta(microseconds=int((meter.verification_hours or 0) * 3_600_000_000))


def _settles_at(meter: Meter) -> Sql:
    return _first_of(meter, FIRST_SINCE.format(times="every.confirmations"))


def settles_at_again(meter: Meter) -> Sql:
    """Give the instant at which the outcome `e` settles, beside `signals_of_again`."""
    return _first_of(meter, "every.confirmed_at")


def _first_of(meter: Meter, confirmed_by_subject: str) -> Sql:
    return (
        Sql("least(e.occurred_at + %s", [window_of(meter)])
        + ", CASE WHEN own.confirmed_at IS NOT NULL THEN greatest(own.confirmed_at, e.occurred_at) END, "
        + confirmed_by_subject
        + ")"
    )


# Few subjects have signals: for the others nothing is looked through.
FIRST_SINCE = (
    "CASE WHEN {times} IS NOT NULL THEN"
    " (SELECT min(moment) FROM unnest({times}) AS moment WHERE moment >= e.occurred_at) END"
)
# The customer of a signal by key is compared last: sorted by customers, the database would compare all of each.
SIGNALS_OF_EACH = (
    " LEFT JOIN own ON own.target_id = e.id AND own.customer_id IS NOT DISTINCT FROM e.customer_id"
    " LEFT JOIN every ON every.customer_id = e.customer_id AND every.subject = e.subject"
)
STANDS = (
    "e.signal IS NULL AND own.reversed_at IS NULL"
    " AND (every.reversed_at IS NULL OR every.reversed_at < e.occurred_at)"
)
# A signal about an event that was amended is about the one that replaced it.
SIGNALS = """, target AS (
    SELECT target_id AS named, target_id AS id FROM signal WHERE target_id IS NOT NULL
    UNION
    SELECT target.named, correction.replacement_id
    FROM target JOIN metering_eventcorrection correction ON correction.event_id = target.id
    WHERE correction.replacement_id IS NOT NULL
), own AS MATERIALIZED (
    SELECT customer_id, target.id AS target_id, min(occurred_at) FILTER (WHERE signal = 'reverses') AS reversed_at,
           min(occurred_at) FILTER (WHERE signal = 'confirms') AS confirmed_at
    FROM signal JOIN target ON target.named = signal.target_id GROUP BY 1, 2
), every AS MATERIALIZED (
    SELECT customer_id, subject, max(occurred_at) FILTER (WHERE signal = 'reverses') AS reversed_at,
           array_agg(occurred_at) FILTER (WHERE signal = 'confirms') AS confirmations
    FROM signal WHERE target_id IS NULL GROUP BY 1, 2
)"""


def _signals(meter: Meter, source: Source) -> Sql:
    return (
        "signal AS MATERIALIZED ("
        "SELECT e.customer_id, e.signal, e.target_id, e.subject, e.occurred_at FROM metering_event e WHERE "
        + Sql("e.meter_id = %s AND e.signal IS NOT NULL AND ", [meter.pk])
        + source.related
        + ")"
        + SIGNALS
    )


def touched_events(batches: str, which: Sql) -> Sql:
    """Select the events that batches stored, released or voided: meter_id, id, customer_id, subject, signal, target_id.

    `batches` is a relation of ledger rows; `which` are conditions on the event, which may have no customer yet.
    """
    columns = "SELECT e.meter_id, e.id, e.customer_id, e.subject, e.signal, e.target_id FROM "
    received = (
        f"{batches} b JOIN metering_event e ON e.batch_id = b.id"
        f" AND e.received_at >= (SELECT min(received_at) FROM {batches})"
        f" AND e.received_at <= (SELECT max(received_at) FROM {batches})"
        " WHERE "
    )
    released = (
        f"{batches} b JOIN metering_event e ON e.released_batch_id = b.id WHERE b.kind = 'released' AND "
    )
    voided = f"{batches} b JOIN metering_event e ON e.voided_batch_id = b.id WHERE b.kind = 'corrected' AND "
    return (
        (columns + received + which + " UNION ALL ")
        + (columns + released + which + " UNION ALL ")
        + (columns + voided + which)
    )


def outcomes_again(meter: Meter, also: Sql = NOTHING) -> Sql:
    """Give relations that end in `again (id, customer_id, subject)`: every outcome that `touched` may change.

    `touched` has the rows of `touched_events` of this meter. What is said about an outcome is said about all of its
    subject, because one of them may count in place of another. `also` selects more rows of the shape of `again`.
    """
    return Sql(AGAIN, [meter.pk, meter.pk]) + also + ")"


AGAIN = """, pointed (id) AS (
    SELECT target_id FROM touched WHERE target_id IS NOT NULL
    UNION
    SELECT correction.replacement_id
    FROM pointed JOIN metering_eventcorrection correction ON correction.event_id = pointed.id
    WHERE correction.replacement_id IS NOT NULL
), about AS MATERIALIZED (
    SELECT id, customer_id, subject FROM touched WHERE signal IS NULL
    UNION ALL
    SELECT e.id, e.customer_id, e.subject FROM pointed JOIN metering_event e ON e.id = pointed.id
    WHERE e.meter_id = %s AND e.signal IS NULL AND e.customer_id IS NOT NULL
), asked AS MATERIALIZED (
    SELECT customer_id, subject FROM about WHERE subject IS NOT NULL
    UNION
    SELECT customer_id, subject FROM touched
    WHERE signal IS NOT NULL AND target_id IS NULL AND subject IS NOT NULL
), again AS MATERIALIZED (
    SELECT id, customer_id, subject FROM about
    UNION
    SELECT settled.event_id, settled.customer_id, settled.subject
    FROM asked JOIN metering_settledoutcome settled ON settled.meter_id = %s
         AND settled.customer_id = asked.customer_id AND settled.subject = asked.subject
"""


def signals_of_again(meter: Meter, source: Source) -> Sql:
    """Join to each outcome `e` of `again` what was said about it: `own` by key and `every` by subject.

    Looked up in an index for each: what is settled again is little, and the database cannot know how little. A key is
    looked up by itself, and not in all signals of its customer.
    """
    by_key = Sql("e.meter_id IS NOT DISTINCT FROM %s AND ", [meter.pk]) + source.conditions
    by_subject = Sql("e.signal IS NOT NULL AND e.meter_id = %s AND ", [meter.pk]) + source.conditions
    moments = (
        "SELECT {reversed}(e.occurred_at) FILTER (WHERE e.signal = 'reverses') AS reversed_at,"
        " min(e.occurred_at) FILTER (WHERE e.signal = 'confirms') AS confirmed_at FROM metering_event e WHERE "
    )
    return (
        OUTCOME_AND_ITS_NAMES
        + " CROSS JOIN LATERAL ("
        + moments.format(reversed="min")
        + "e.target_id = ANY(o.names) AND e.customer_id IS NOT DISTINCT FROM o.customer_id AND "
        + by_key
        + ") own CROSS JOIN LATERAL ("
        + moments.format(reversed="max")
        + "e.customer_id = o.customer_id AND e.subject = o.subject AND e.target_id IS NULL"
        + " AND e.occurred_at >= o.occurred_at AND "
        + by_subject
        + ") every"
    )


# An outcome that replaced another is called by the other's key too.
OUTCOME_AND_ITS_NAMES = """
 CROSS JOIN LATERAL (
    SELECT e.customer_id, e.subject, e.occurred_at, CASE
        WHEN EXISTS (SELECT FROM metering_eventcorrection WHERE replacement_id = e.id) THEN ARRAY(
            WITH RECURSIVE called (id) AS (
                SELECT e.id
                UNION
                SELECT correction.event_id
                FROM called JOIN metering_eventcorrection correction ON correction.replacement_id = called.id
            )
            SELECT id FROM called
        ) ELSE ARRAY[e.id] END AS names
    OFFSET 0
 ) o"""


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
