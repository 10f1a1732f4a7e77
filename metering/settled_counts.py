"""Counting outcomes that were settled ahead: the same count as from the events, at the price of reading an index.

The notes say what counts as of `Rollup.settled_position`. What a batch after it may have changed, and what changed
after the position asked for, is left out of them and settled from the events, in the same statement and so of one
snapshot.
"""

# ruff: noqa: S608  the text of a statement stands in this module; whatever comes from outside is a parameter

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from django.db import connection

from metering.fragments import Source, Sql, grouped_by, listed
from metering.meter_types import OncePerSubject
from metering.models import Meter, OutcomeStanding
from metering.outcome_statements import counted_outcomes, outcomes_again, touched_events
from metering.settling_ahead import settles_ahead
from metering.spans import Span

# From so many outcomes on notes are read; fewer are settled from the events as quickly.
WORTH_IT = 20_000
# Where more than so much came since the notes were made, all is settled from the events.
TOO_MUCH_SINCE = 200_000

# What settles a meter's events: notes are of the stored meter, and a meter in use cannot be changed.
SETTLING = ("filters", "once_per_subject", "verification_hours", "evidence_meter_id")

MUCH_TO_COUNT = """
    (SELECT count(*) FROM (
        SELECT FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[])
            AS span (customer_id, first, last)
        JOIN metering_event e ON e.customer_id = span.customer_id AND e.meter_id = %s
             AND e.occurred_at >= span.first AND e.occurred_at < span.last
        LIMIT %s) outcomes)
"""
LITTLE_SINCE = """
    (SELECT coalesce(sum(stored), 0) FROM (
        SELECT stored FROM metering_eventbatch WHERE position > (SELECT settled_position FROM metering_rollup)
        UNION ALL
        SELECT stored FROM metering_eventbatch WHERE position IS NULL) arrived),
    (SELECT count(*) FROM (
        SELECT FROM metering_settledoutcome WHERE position > %s LIMIT %s) changed),
    (SELECT settled_position FROM metering_rollup)
"""


def notes_are_quicker(asked: Sequence[tuple[Meter, Sequence[Span]]], *, as_of: int | None) -> list[bool]:
    """Say for each meter and its spans whether to count from the notes: there is much to count, and little came since
    they were made.

    A matter of speed alone: the counts are the same. One query that looks at WORTH_IT entries of an index at most for
    each meter.
    """
    noted = [(meter, spans) for meter, spans in asked if settles_ahead(meter)]
    if not noted:
        return [False] * len(asked)
    question = sum((_much_to_count(meter, spans) + ", " for meter, spans in noted), Sql("SELECT "))
    question += Sql(LITTLE_SINCE, [LAST if as_of is None else as_of, TOO_MUCH_SINCE])
    with connection.cursor() as cursor:
        cursor.execute(question.text, question.parameters)
        *outcomes, since, changed, position = cursor.fetchone()
    if position is None or since + changed >= TOO_MUCH_SINCE:
        return [False] * len(asked)
    much = [meter.pk for (meter, _), count in zip(noted, outcomes, strict=True) if count >= WORTH_IT]
    rows = Meter.objects.filter(pk__in=much).values("pk", *SETTLING) if much else ()
    stored = {row["pk"]: row for row in rows}
    quicker = iter(
        [
            stored.get(meter.pk) == {name: getattr(meter, name) for name in ("pk", *SETTLING)}
            for meter, _ in noted
        ]
    )
    return [settles_ahead(meter) and next(quicker) for meter, _ in asked]


def _much_to_count(meter: Meter, spans: Sequence[Span]) -> Sql:
    ever = meter.once_per_subject == OncePerSubject.EVER
    return Sql(
        MUCH_TO_COUNT,
        [
            [span.customer_id for span in spans],
            ["-infinity" if ever else span.start for span in spans],
            [span.end for span in spans],
            meter.pk,
            WORTH_IT,
        ],
    )


LAST = 2**63 - 1


def statement_for_notes(
    meter: Meter, sources: Sequence[Source], groups: Sequence[Sql], *, as_of: int | None, with_total: bool
) -> Sql:
    """Add up the outcomes that count: rows as `metering.outcome_statements.statement_for_outcomes` gives them.

    `sources` are those of the events as of the same position; `groups` may name dimensions of the outcome, its subject
    and its customer.
    """
    with_clause, given = sources[0].with_clause, sources[0].spans
    sources = [replace(source, spans=Sql("asked_span AS span")) for source in sources]
    first = sources[0]
    names = "".join(f", g{place}" for place in range(len(groups)))
    group_list = listed(groups, names=True)
    counts, first_counts = int(OutcomeStanding.COUNTS), int(OutcomeStanding.FIRST_COUNTS)
    note = Sql(
        "e.meter_id = %s AND e.customer_id = span.customer_id"
        " AND e.settles_at >= span.first AND e.settles_at < span.last",
        [meter.pk],
    )
    # Summed by span first, where there are no groups: a stretch of the index for each, and nothing to group.
    plain = (
        "SELECT span.slot, total.value, total.outcomes FROM "
        + first.spans
        + " CROSS JOIN LATERAL (SELECT sum(e.value) AS value, count(*) AS outcomes"
        + " FROM metering_settledoutcome e WHERE "
        + note
        + f" AND e.standing = {counts}) total"
        if not groups
        else "SELECT span.slot, e.value, 1 AS outcomes"
        + group_list
        + " FROM "
        + first.spans
        + " JOIN metering_settledoutcome e ON "
        + note
        + f" AND e.standing = {counts}"
    )
    # In place of a look for each whether it is among the few that are settled again, those are taken off.
    less = (
        "SELECT span.slot, -e.value, -1"
        + group_list
        + " FROM again JOIN metering_settledoutcome e ON e.event_id = again.id JOIN "
        + first.spans
        + " ON "
        + note
        + f" AND e.standing = {counts}"
    )
    parts = [plain, less]
    if meter.once_per_subject == OncePerSubject.PERIOD:
        parts.append(
            f"SELECT slot, value, 1{names} FROM (SELECT span.slot, e.value"
            + group_list
            + ", row_number() OVER (PARTITION BY span.slot, e.customer_id, e.subject"
            + " ORDER BY e.settles_at, e.occurred_at, e.event_id) AS place FROM "
            + first.spans
            + " JOIN metering_settledoutcome e ON "
            + note
            + f" AND e.standing = {first_counts}"
            + " WHERE NOT EXISTS (SELECT FROM again WHERE again.id = e.event_id)) ranked WHERE place = 1"
        )
    parts += [
        f"SELECT slot, value, 1{names} FROM ("
        + counted_outcomes(meter, source, groups, only_again=True)
        + ") settled"
        for source in sources
    ]
    united = parts[0]
    for part in parts[1:]:
        united = united + " UNION ALL " + part
    return (
        with_clause
        + f"SELECT slot{names}, sum(value), 1, sum(outcomes)::bigint, NULL, NULL FROM ("
        + "WITH RECURSIVE asked_span AS MATERIALIZED (SELECT * FROM "
        + given
        + "), "
        + _again(meter, first, as_of)
        + " "
        + united
        + ") counted"
        + grouped_by(1, len(groups), with_total=with_total)
        + " HAVING sum(outcomes) <> 0"
    )


def _again(meter: Meter, source: Source, as_of: int | None) -> Sql:
    """What came since the notes were made, or after the position asked for."""
    of_customers = "customer_id IN (SELECT span.customer_id FROM " + source.spans + ")"
    also = Sql("")
    if as_of is not None:
        also = (
            Sql(
                " UNION SELECT e.event_id, e.customer_id, e.subject FROM metering_settledoutcome e"
                " WHERE e.position > %s AND e.meter_id = %s AND e.",
                [as_of, meter.pk],
            )
            + of_customers
        )
    # What came is found by when it came. Compared with the customers in the same step, the database would look through
    # all events of each.
    arrived = touched_events("since", Sql("e.meter_id IS NOT DISTINCT FROM %s", [meter.pk]))
    return (
        "since AS MATERIALIZED ("
        "SELECT id, kind, received_at FROM metering_eventbatch"
        " WHERE position > (SELECT settled_position FROM metering_rollup)"
        " UNION ALL SELECT id, kind, received_at FROM metering_eventbatch WHERE position IS NULL"
        "), arrived AS MATERIALIZED ("
        + arrived
        + "), touched AS MATERIALIZED (SELECT * FROM arrived WHERE "
        + of_customers
        + ")"
        + outcomes_again(meter, also)
    )
