"""Folding events into usage by day, behind the batch ledger.

Each row adds up the events of one meter and customer between two cuts, and cuts lie at midnight in UTC and in the
customer's time zone. A day in either is therefore a sum of whole rows; where another zone cuts through a row, its
events are read instead, so every answer is exact. Only meters whose quantity is a sum take part (ADDITIVE).

`fold_usage` advances over placed batches, each exactly once, and only when the rows stored for a batch are as many as
the ledger says. A void or a release is a batch too: it takes away or adds what its events were worth. The rollup as of
position P therefore equals the raw events as of P. Invoices never read it.
"""

# ruff: noqa: S608  the text of a statement stands in this module; whatever comes from outside is a parameter

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from metering.errors import LedgerMismatch
from metering.fragments import counted_events
from metering.ledger import place_batches
from metering.meter_types import MeterType
from metering.models import Meter, Rollup, RollupZone
from metering.periods import local_day, start_of_day
from metering.pruning import pruned_before

ADDITIVE = (MeterType.COUNT, MeterType.SUM, MeterType.AVERAGE)
# Event rows folded in one transaction: large enough to meet most rows of a day once, small enough to stay in memory.
FOLD_ROWS = 500_000
FOLD_BATCHES = 100_000
BEGINNING = datetime(1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The batches at positions `(after, upto]`; the times are of their receipt and of their events."""

    after: int
    upto: int
    rows: int
    received: tuple[datetime, datetime]
    occurred: tuple[datetime, datetime] | None


CHUNK = """
SELECT max(position), sum(stored)::bigint, min(received_at), max(received_at), min(first_occurred_at),
       max(last_occurred_at)
FROM (
    SELECT *, sum(stored) OVER (ORDER BY position) - stored AS before
    FROM (SELECT * FROM metering_eventbatch WHERE position > %s ORDER BY position LIMIT %s) next
) chunk
WHERE before < %s
"""

# The rows that name each batch, against the ledger. An event's own row carries its batch's time of receipt.
MISMATCH = """
SELECT batch.id, batch.stored - batch.pruned, coalesce(received.rows, 0) + coalesce(changed.rows, 0)
FROM metering_eventbatch batch
LEFT JOIN (
    SELECT batch_id, count(*) AS rows FROM metering_event
    WHERE received_at BETWEEN %(first)s AND %(last)s GROUP BY batch_id
) received ON received.batch_id = batch.id
LEFT JOIN (
    SELECT id, count(*) AS rows FROM (
        SELECT b.id FROM metering_eventbatch b JOIN metering_event e ON e.released_batch_id = b.id
        WHERE b.position > %(after)s AND b.position <= %(upto)s AND b.kind = 'released'
        UNION ALL
        SELECT b.id FROM metering_eventbatch b JOIN metering_event e ON e.voided_batch_id = b.id
        WHERE b.position > %(after)s AND b.position <= %(upto)s AND b.kind = 'corrected'
    ) named GROUP BY id
) changed ON changed.id = batch.id
WHERE batch.position > %(after)s AND batch.position <= %(upto)s
  AND batch.stored - batch.pruned <> coalesce(received.rows, 0) + coalesce(changed.rows, 0)
ORDER BY batch.position LIMIT 1
"""

NEW_ZONES = """
INSERT INTO metering_rollupzone (customer_id, zone)
SELECT id, timezone FROM customers_customer c
WHERE NOT EXISTS (SELECT FROM metering_rollupzone known WHERE known.customer_id = c.id)
"""


def _counts_at(position: str) -> str:
    """Whether an event counts as of a position, from its release and its void. Most events have neither."""
    return f"""
        e.meter_id IS NOT NULL AND e.customer_id IS NOT NULL
        AND CASE WHEN e.released_batch_id IS NULL THEN true ELSE coalesce(
            (SELECT position FROM metering_eventbatch WHERE id = e.released_batch_id) <= {position}, false) END
        AND CASE WHEN e.voided_batch_id IS NULL THEN true ELSE coalesce(
            (SELECT position FROM metering_eventbatch WHERE id = e.voided_batch_id) > {position}, true) END
    """


# Meters come as lists and no condition is on a computed value: the database would take either for few rows, and read
# all events again for each meter.
FOLD = (
    """
WITH zone (name, cuts) AS (VALUES {zones}), changed AS (
    SELECT e.id FROM metering_eventbatch b JOIN metering_event e ON e.released_batch_id = b.id
    WHERE b.position > %(after)s AND b.position <= %(upto)s
    UNION
    SELECT e.id FROM metering_eventbatch b JOIN metering_event e ON e.voided_batch_id = b.id
    WHERE b.position > %(after)s AND b.position <= %(upto)s
), delta AS MATERIALIZED (
    SELECT e.meter_id, e.customer_id, e.occurred_at, e.value, e.subject, e.dimensions, 1 AS events
    FROM metering_event e JOIN metering_eventbatch b ON b.id = e.batch_id
    WHERE b.position > %(after)s AND b.position <= %(upto)s AND e.received_at BETWEEN %(first)s AND %(last)s
      AND """
    + _counts_at("%(upto)s")
    + """
    UNION ALL
    SELECT meter_id, customer_id, occurred_at, value, subject, dimensions, is_counted::int - was_counted::int
    FROM (
        SELECT e.*, b.position <= %(upto)s AND """
    + _counts_at("%(upto)s")
    + """ AS is_counted, b.position <= %(after)s AND """
    + _counts_at("%(after)s")
    + """ AS was_counted
        FROM changed JOIN metering_event e ON e.id = changed.id JOIN metering_eventbatch b ON b.id = e.batch_id
        WHERE b.position <= %(after)s
    ) event
    WHERE is_counted <> was_counted
)
INSERT INTO metering_usagebyday AS day (meter_id, customer_id, starts_at, ends_at, amount, events)
SELECT meter_id, customer_id, zone.cuts[place], zone.cuts[place + 1], folded.amount, folded.events
FROM (
    SELECT e.meter_id, e.customer_id, zone.name, width_bucket(e.occurred_at, zone.cuts) AS place,
           sum(e.events * CASE WHEN e.meter_id = ANY(%(counting)s) THEN coalesce(e.value, 1) ELSE e.value END)
               AS amount,
           sum(e.events) FILTER (WHERE e.value IS NOT NULL OR e.meter_id = ANY(%(counting)s)) AS events
    FROM delta e
    JOIN metering_rollupzone cut ON cut.customer_id = e.customer_id
    JOIN zone ON zone.name = cut.zone
    WHERE e.meter_id = ANY(%(additive)s) AND e.occurred_at >= %(since)s AND """
)
FOLD_END = """
    GROUP BY 1, 2, 3, 4
) folded
JOIN zone ON zone.name = folded.name
WHERE folded.events IS NOT NULL
ORDER BY meter_id, zone.cuts[place], customer_id
ON CONFLICT (meter_id, starts_at, customer_id, ends_at)
DO UPDATE SET amount = day.amount + excluded.amount, events = day.events + excluded.events
"""


def fold_usage(*, at_most: int | None = None) -> int | None:
    """Fold every placed batch that is not folded yet; give the position reached, None when another is at work.

    One transaction per FOLD_ROWS events; killed between them, it goes on from there. `at_most` stops after so many
    batches. Raises LedgerMismatch, with nothing of that chunk folded, when rows are missing or too many.
    """
    last = place_batches()
    Rollup.objects.get_or_create(singleton=True)
    folded = 0
    while True:
        with transaction.atomic():
            state = Rollup.objects.select_for_update(skip_locked=True).filter(singleton=True).first()
            if state is None:
                return None
            left = FOLD_BATCHES if at_most is None else at_most - folded
            if state.folded_position >= last or left <= 0:
                return state.folded_position
            folded += _fold_chunk(state, batches=min(left, FOLD_BATCHES))


def rebuild_usage(*, on_progress: Callable[[int, int], None] | None = None) -> int:
    """Fold everything again from the raw events, in one transaction; readers see the old figures until the commit.

    Waits for a folder at work. `on_progress` gets (position reached, last position). Where events were pruned, the
    days before are kept as they are.
    """
    last = place_batches()
    since = pruned_before() or BEGINNING
    Rollup.objects.get_or_create(singleton=True)
    with transaction.atomic():
        state = Rollup.objects.select_for_update().get(singleton=True)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM metering_usagebyday WHERE starts_at >= %s", [since])
            cursor.execute("DELETE FROM metering_rollupzone")
        state.folded_position = 0
        while state.folded_position < last:
            _fold_chunk(state, batches=FOLD_BATCHES, since=since)
            if on_progress is not None:
                on_progress(state.folded_position, last)
    return state.folded_position


def _fold_chunk(state: Rollup, *, batches: int, since: datetime = BEGINNING) -> int:
    """Fold the next batches and move the position; give how many. The row of `state` is locked by the caller.

    Events before `since` are left out.
    """
    chunk = _next_chunk(state.folded_position, batches)
    shape: dict[str, Any] = {
        "after": chunk.after,
        "upto": chunk.upto,
        "first": chunk.received[0],
        "last": chunk.received[1],
        "since": since,
    }
    with connection.cursor() as cursor:
        cursor.execute(MISMATCH, shape)
        wrong = cursor.fetchone()
        if wrong is not None:
            raise LedgerMismatch(
                f"Batch {wrong[0]} has {wrong[2]} event rows, but the ledger says {wrong[1]}. "
                "Usage by day stops before it; look at Reconciliation."
            )
        if chunk.occurred is not None:
            statement, parameters = _fold_statement(chunk.occurred)
            cursor.execute(statement, shape | parameters)
    state.folded_position = chunk.upto
    state.save(update_fields=["folded_position"])
    return chunk.upto - chunk.after


def _next_chunk(after: int, batches: int) -> _Chunk:
    with connection.cursor() as cursor:
        cursor.execute(CHUNK, [after, batches, FOLD_ROWS])
        upto, rows, first, last, occurred_first, occurred_last = cursor.fetchone()
    occurred = None if occurred_first is None else (occurred_first, occurred_last)
    return _Chunk(after, upto, rows, (first, last), occurred)


def _fold_statement(occurred: tuple[datetime, datetime]) -> tuple[str, dict[str, Any]]:
    """Write the statement with the meters' filters and the cuts of every zone in use."""
    conditions = ["true"]
    parameters: dict[str, Any] = {}
    meters = [meter for meter in Meter.objects.filter(type__in=ADDITIVE) if not meter.is_outcome]
    parameters["additive"] = [meter.pk for meter in meters]
    parameters["counting"] = [meter.pk for meter in meters if meter.type == MeterType.COUNT]
    for meter in meters:
        if not meter.filters:
            continue
        counted = counted_events(meter)
        names = [f"filter_{meter.pk}_{place}" for place in range(len(counted.parameters))]
        text = counted.text % tuple(f"%({name})s" for name in names)
        conditions.append(f"(e.meter_id <> {meter.pk:d} OR (true{text}))")
        parameters |= dict(zip(names, counted.parameters, strict=True))
    zones = _zones()
    for place, zone in enumerate(zones):
        parameters |= {f"zone_{place}": zone, f"cuts_{place}": cuts(occurred, zone)}
    rows = ", ".join(f"(%(zone_{place})s, %(cuts_{place})s::timestamptz[])" for place in range(len(zones)))
    return FOLD.format(zones=rows) + " AND ".join(conditions) + FOLD_END, parameters


def _zones() -> list[str]:
    """Give the zones that days are cut in. A customer keeps the one it had when it was first seen here."""
    with connection.cursor() as cursor:
        cursor.execute(NEW_ZONES)
        if cursor.rowcount:
            # Taken for empty, as it was before the first fold, the events would be read again for each customer.
            cursor.execute("ANALYZE metering_rollupzone")
    return list(RollupZone.objects.order_by("zone").values_list("zone", flat=True).distinct()) or ["UTC"]


def cuts(occurred: tuple[datetime, datetime], zone: str) -> list[datetime]:
    """Give midnight in UTC and in a zone, for every day from before the first instant to after the last."""
    found = set()
    for name in {"UTC", zone}:
        day = local_day(occurred[0], name) - timedelta(days=1)
        last = local_day(occurred[1], name) + timedelta(days=2)
        while day <= last:
            found.add(start_of_day(day, name).astimezone(UTC))
            day += timedelta(days=1)
    return sorted(found)


def backlog() -> int:
    """Give how many batches the rollup has still to fold."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM metering_eventbatch"
            " WHERE position IS NULL OR position > (SELECT coalesce(max(folded_position), 0) FROM metering_rollup)"
        )
        return int(cursor.fetchone()[0])
