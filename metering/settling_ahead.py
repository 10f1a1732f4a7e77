"""Settling outcomes ahead: what became of each is noted as its events arrive, so that counting a million is quick.

`settle_outcomes` follows usage by day along the batch ledger. For each outcome that a batch may have changed, and all
others of its subject, it settles again from the events, as of the position it reaches. The notes (SettledOutcome) are
therefore what the events say as of `Rollup.settled_position`, in whatever order and however often they were made.
metering.settled_counts reads them, and settles what came since from the events. Outcomes that need evidence are not
settled ahead: every event of activity could change them.
"""

# ruff: noqa: S608  the text of a statement stands in this module; whatever comes from outside is a parameter

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection, transaction

from metering.fragments import Source, Sql, counted_events
from metering.meter_types import OncePerSubject
from metering.models import Meter, OutcomeStanding, Rollup
from metering.outcome_statements import (
    STANDS,
    outcomes_again,
    settles_at_again,
    signals_of_again,
    touched_events,
)

# Event rows looked at in one transaction, and batches that hold them.
SETTLE_ROWS = 500_000
SETTLE_BATCHES = 100_000
# So many new notes make the database look at the table again before it plans the next.
ANALYZE_FROM = 10_000

NEXT = """
SELECT max(position) FROM (
    SELECT position, sum(stored) OVER (ORDER BY position) - stored AS before
    FROM (SELECT position, stored FROM metering_eventbatch WHERE position > %s AND position <= %s
          ORDER BY position LIMIT %s) next
) chunk
WHERE before < %s
"""


def settles_ahead(meter: Meter) -> bool:
    """Say whether outcomes of a meter are settled ahead."""
    return meter.is_outcome and meter.evidence_meter_id is None


def settle_outcomes(*, at_most: int | None = None) -> int | None:
    """Settle what changed in every batch that usage by day has folded; give the position reached, None when another
    is at work.

    One transaction per SETTLE_ROWS events; killed between them, it goes on from there. `at_most` stops after so many
    batches.
    """
    Rollup.objects.get_or_create(singleton=True)
    settled = 0
    while True:
        with transaction.atomic():
            state = Rollup.objects.select_for_update(skip_locked=True).filter(singleton=True).first()
            if state is None:
                return None
            left = SETTLE_BATCHES if at_most is None else at_most - settled
            if state.settled_position >= state.folded_position or left <= 0:
                return state.settled_position
            settled += _settle_chunk(state, batches=min(left, SETTLE_BATCHES))


def resettle_outcomes(*, on_progress: Callable[[int, int], None] | None = None) -> int:
    """Settle everything again from the events, in one transaction; readers see the old notes until the commit.

    `on_progress` gets (position reached, last position).
    """
    Rollup.objects.get_or_create(singleton=True)
    with transaction.atomic():
        state = Rollup.objects.select_for_update().get(singleton=True)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM metering_settledoutcome")
        state.settled_position = 0
        while state.settled_position < state.folded_position:
            _settle_chunk(state, batches=SETTLE_BATCHES)
            if on_progress is not None:
                on_progress(state.settled_position, state.folded_position)
        state.save(update_fields=["settled_position"])
    return state.settled_position


def _settle_chunk(state: Rollup, *, batches: int) -> int:
    """Settle the next batches and move the position; give how many. The row of `state` is locked by the caller."""
    after = state.settled_position
    with connection.cursor() as cursor:
        cursor.execute(NEXT, [after, state.folded_position, batches, SETTLE_ROWS])
        upto = cursor.fetchone()[0]
        meters = [meter for meter in Meter.objects.filter(type="count") if settles_ahead(meter)]
        if meters:
            _settle(cursor, meters, after, upto)
    state.settled_position = upto
    state.save(update_fields=["settled_position"])
    return int(upto - after)


def _settle(cursor: Any, meters: list[Meter], after: int, upto: int) -> None:
    # Each step is a table of its own that the database has looked at, so that it plans the next for what there is.
    _tabulate(
        cursor,
        "reckoner_touched",
        Sql(
            "WITH batch AS MATERIALIZED (SELECT id, kind, received_at, position FROM metering_eventbatch"
            " WHERE position > %s AND position <= %s) ",
            [after, upto],
        )
        + touched_events(
            "batch",
            Sql("e.customer_id IS NOT NULL AND e.meter_id = ANY(%s)", [[meter.pk for meter in meters]]),
        ),
    )
    cursor.execute("SELECT DISTINCT meter_id FROM reckoner_touched")
    found = {meter_id for (meter_id,) in cursor.fetchall()}
    written = 0
    for meter in meters:
        if meter.pk not in found:
            continue
        touched = Sql(
            "WITH RECURSIVE touched AS (SELECT * FROM reckoner_touched WHERE meter_id = %s)", [meter.pk]
        )
        _tabulate(cursor, "reckoner_again", touched + outcomes_again(meter) + " SELECT * FROM again")
        statement = _settling_statement(meter, upto)
        cursor.execute(statement.text, statement.parameters)
        written += cursor.rowcount
    if written >= ANALYZE_FROM:
        cursor.execute("ANALYZE metering_settledoutcome")


def _tabulate(cursor: Any, name: str, rows: Sql) -> None:
    """Keep rows in a table that is gone with the transaction."""
    cursor.execute(f"DROP TABLE IF EXISTS {name}")
    cursor.execute(f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS {rows.text}", rows.parameters)
    cursor.execute(f"ANALYZE {name}")


def _settling_statement(meter: Meter, upto: int) -> Sql:
    """Give the statement that notes what became of the outcomes in `reckoner_again`, as of a position."""
    return (
        Sql(
            "WITH again AS NOT MATERIALIZED (SELECT * FROM reckoner_again), late AS MATERIALIZED ("
            "SELECT id FROM metering_eventbatch WHERE position IS NULL OR position > %s), ",
            [upto],
        )
        + standings(meter)
        + " INSERT INTO metering_settledoutcome AS settled (event_id, meter_id, customer_id, subject, occurred_at,"
        " settles_at, value, dimensions, standing, position)"
        + Sql(
            " SELECT id, meter_id, customer_id, subject, occurred_at, settles_at, value, dimensions, standing, %s",
            [upto],
        )
        + " FROM standing ON CONFLICT (event_id) DO UPDATE SET settles_at = excluded.settles_at,"
        " standing = excluded.standing, position = excluded.position"
    )


def standings(meter: Meter) -> Sql:
    """Give relations that end in `standing`: the notes of the outcomes in `again`, of what is not in `late`."""
    source = Source(spans=Sql(""), joins="", conditions=BEFORE_LATE, related=BEFORE_LATE)
    outcomes = (
        Sql(
            "SELECT e.id, e.meter_id, e.customer_id, e.subject, e.occurred_at, coalesce(e.value, 1) AS value,"
            " e.dimensions, "
        )
        + settles_at_again(meter)
        + " AS settles_at, ("
        + STANDS
        + " AND "
        + BEFORE_LATE
        + counted_events(meter)
        + ") AS stands FROM again JOIN metering_event e ON e.id = again.id"
        + signals_of_again(meter, source)
        + Sql(" WHERE e.meter_id = %s", [meter.pk])
    )
    no, yes, first = (int(each) for each in OutcomeStanding)
    match OncePerSubject(meter.once_per_subject):
        case OncePerSubject.NEVER:
            standing = f"CASE WHEN stands THEN {yes} ELSE {no} END"
        case OncePerSubject.EVER:
            standing = (
                f"CASE WHEN stands AND row_number() OVER (PARTITION BY customer_id, subject, stands"
                f" ORDER BY settles_at, occurred_at, id) = 1 THEN {yes} ELSE {no} END"
            )
        case OncePerSubject.PERIOD:
            standing = (
                f"CASE WHEN NOT stands THEN {no}"
                f" WHEN count(*) OVER (PARTITION BY customer_id, subject, stands) = 1 THEN {yes} ELSE {first} END"
            )
    return "outcome AS (" + outcomes + f"), standing AS (SELECT *, {standing} AS standing FROM outcome)"


BEFORE_LATE = Sql(
    "e.batch_id NOT IN (SELECT id FROM late)"
    " AND (e.released_batch_id IS NULL OR e.released_batch_id NOT IN (SELECT id FROM late))"
    " AND (e.voided_batch_id IS NULL OR e.voided_batch_id IN (SELECT id FROM late))"
)
