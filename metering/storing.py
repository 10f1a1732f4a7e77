"""Writing events: one set-based statement per batch, with the batch's ledger row in the same statement.

Column arrays travel as text literals, and the statement is prepared: then the server reads each literal once, as a
parameter, and plans nothing. A plain batch is stored as if all its keys were new; the primary key refuses all of it
when one was used before, and only then is each asked for. All of it was measured (docs/storage.md).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, connection
from psycopg import Cursor
from psycopg.errors import UniqueViolation

from metering.columns import Columns, Row, columns_of, plain_array, text_array

# How long after a repeated key a source is taken to repeat more: a refused attempt costs as much as half a batch.
CAREFUL_SECONDS = 60.0
REMEMBER_AT_MOST = 10_000  # CloudEvents name sources of their own, as many as they like

INSERT_NEW = """
WITH ledger AS (
    INSERT INTO metering_eventbatch (id, kind, source, received_at, stored, accepted, duplicates, conflicts,
                                     unmatched, rejected, first_occurred_at, last_occurred_at, has_signals)
    VALUES (%(batch)s, 'received', %(source)s, %(received_at)s, %(offered)s::int, %(offered)s::int, 0, 0, 0, 0,
            %(first)s, %(last)s, false)
)
INSERT INTO metering_event (id, source, key, batch_id, meter_id, customer_id, workload_id, value, occurred_at,
                            received_at, subject, dimensions)
SELECT id, %(source)s, coalesce(key, id::text), %(batch)s, meter_id, customer_id, workload_id, value, occurred_at,
       %(received_at)s, subject, dimensions
FROM unnest(%(ids)s::text::uuid[], %(keys)s::text::text[], %(meters)s::text::bigint[],
            %(customers)s::text::bigint[], %(workloads)s::text::bigint[], %(values)s::text::numeric[],
            %(occurred)s::text::timestamptz[], %(subjects)s::text::text[], %(dimensions)s::text::jsonb[])
    AS row (id, key, meter_id, customer_id, workload_id, value, occurred_at, subject, dimensions)
"""
_INSERT = """
WITH stored AS (
    INSERT INTO metering_event (id, source, key, batch_id, meter_id, customer_id, workload_id, value, occurred_at,
                                received_at, subject, dimensions, meter_code, customer_code{columns})
    SELECT id, %(source)s, coalesce(key, id::text), %(batch)s, meter_id, customer_id, workload_id, value, occurred_at,
           %(received_at)s, subject, dimensions, meter_code, customer_code{columns}
    FROM unnest(%(ids)s::text::uuid[], %(keys)s::text::text[], %(meters)s::text::bigint[],
                %(customers)s::text::bigint[], %(workloads)s::text::bigint[], %(values)s::text::numeric[],
                %(occurred)s::text::timestamptz[], %(subjects)s::text::text[], %(dimensions)s::text::jsonb[],
                %(meter_codes)s::text::text[], %(customer_codes)s::text::text[]{arrays})
        AS row (id, key, meter_id, customer_id, workload_id, value, occurred_at, subject, dimensions, meter_code,
                customer_code{columns})
    ON CONFLICT (id) DO NOTHING
    RETURNING id, occurred_at, signal, meter_id IS NOT NULL AND customer_id IS NOT NULL AS matched
), ledger AS (
    INSERT INTO metering_eventbatch (id, kind, source, received_at, stored, accepted, duplicates, conflicts,
                                     unmatched, rejected, first_occurred_at, last_occurred_at, has_signals)
    SELECT %(batch)s, 'received', %(source)s, %(received_at)s, count(*), count(*) FILTER (WHERE matched), 0, 0,
           count(*) FILTER (WHERE NOT matched), %(rejected)s::int, min(occurred_at), max(occurred_at), {has_signals}
    FROM stored
)
SELECT CASE WHEN count(*) < %(offered)s::int THEN coalesce(array_agg(id), '{{}}') END FROM stored
"""
INSERT = _INSERT.format(columns="", arrays="", has_signals="false")
# Reversals and confirmations are few: a batch that has one takes two columns more.
INSERT_WITH_SIGNALS = _INSERT.format(
    columns=", signal, target_id",
    arrays=", %(signals)s::text::text[], %(targets)s::text::uuid[]",
    has_signals="coalesce(bool_or(signal IS NOT NULL), false)",
)

# As the content was sent: codes, not ids, because an event may have been matched since.
SELECT_STORED = """
SELECT e.id, e.source, e.key, coalesce(e.meter_code, m.code), coalesce(e.customer_code, c.code), w.name, e.value,
       e.occurred_at, e.subject, e.dimensions::text, e.signal, e.target_id
FROM metering_event e
LEFT JOIN metering_meter m ON m.id = e.meter_id
LEFT JOIN customers_customer c ON c.id = e.customer_id
LEFT JOIN metering_workloadname w ON w.id = e.workload_id
WHERE e.id = ANY(%s::uuid[])
"""

ADD_REPEATED = """
UPDATE metering_eventbatch
SET duplicates = duplicates + %s, conflicts = conflicts + %s, rejected = rejected + %s WHERE id = %s
"""


@dataclass(frozen=True, slots=True)
class Content:
    """What a stored event says, for comparison with what is offered under the same key."""

    source: str
    key: str
    meter: str
    customer: str
    workload: str | None
    value: Decimal | None
    occurred_at: datetime
    subject: str | None
    dimensions: dict[str, str] | None
    signal: str | None
    target_id: str | None


def insert_batch(
    rows: Sequence[Row],
    *,
    batch: uuid.UUID,
    source: str,
    received_at: datetime,
    rejected: int,
) -> set[str] | None:
    """Store the rows whose key is new and the ledger row of the batch; give the ids stored, None when all were."""
    return insert_columns(
        columns_of(rows), batch=batch, source=source, received_at=received_at, rejected=rejected
    )


class _Repeating:
    """Sources that used a key again a short time ago."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, source: str) -> None:
        if len(self._until) >= REMEMBER_AT_MOST:
            self._until.clear()
        self._until[source] = time.monotonic() + CAREFUL_SECONDS

    def __contains__(self, source: str) -> bool:
        until = self._until.get(source)
        return until is not None and until > time.monotonic()

    def forget(self) -> None:
        self._until.clear()


repeating = _Repeating()


def insert_columns(
    columns: Columns, *, batch: uuid.UUID, source: str, received_at: datetime, rejected: int
) -> set[str] | None:
    """Store the events whose key is new and the ledger row of the batch, all or nothing also outside a transaction.

    Gives the ids stored, None when all were. Rows are written in the order of their ids, so that batches sharing keys
    wait for each other and never deadlock.
    """
    parameters: dict[str, Any] = {
        "batch": batch,
        "source": source,
        "received_at": received_at,
        "offered": str(len(columns.ids)),
        "ids": plain_array(columns.ids),
        "keys": text_array(columns.keys),
        "meters": plain_array(columns.meters),
        "customers": plain_array(columns.customers),
        "workloads": plain_array(columns.workloads),
        "values": plain_array(columns.values),
        "occurred": plain_array(columns.occurred),
        "subjects": text_array(columns.subjects),
        "dimensions": text_array(columns.dimensions),
    }
    # In a transaction of the caller's a refusal would cost all of that.
    if (
        columns.occurred_from_to is not None
        and not rejected
        and not connection.in_atomic_block
        and source not in repeating
    ):
        first, last = columns.occurred_from_to
        try:
            _execute_prepared(INSERT_NEW, parameters | {"first": first, "last": last})
        except IntegrityError as refused:
            if not isinstance(refused.__cause__, UniqueViolation):
                raise
            repeating.note(source)
        else:
            return None
    parameters |= {
        "rejected": str(rejected),
        "meter_codes": text_array(columns.meter_codes),
        "customer_codes": text_array(columns.customer_codes),
    }
    statement = INSERT
    if any(columns.signals):
        statement = INSERT_WITH_SIGNALS
        parameters |= {"signals": text_array(columns.signals), "targets": text_array(columns.targets)}
    stored = _execute_prepared(statement, parameters)
    return None if stored is None else {each.hex for each in stored}


def _execute_prepared(statement: str, parameters: dict[str, Any]) -> list[uuid.UUID] | None:
    """Run a statement with parameters bound by the server, which Django's own cursor merges into the text.

    Gives its one value, None where it has none.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, Cursor(connection.connection) as cursor:
        cursor.execute(statement, parameters, prepare=True)
        row = cursor.fetchone() if cursor.description else None
    return None if row is None else row[0]


def stored_contents(ids: Sequence[str]) -> dict[str, Content]:
    """Give what is stored under these ids."""
    with connection.cursor() as cursor:
        cursor.execute(SELECT_STORED, [list(ids)])
        rows = cursor.fetchall()
    return {
        row[0].hex: Content(
            source=row[1],
            key=row[2],
            meter=row[3],
            customer=row[4],
            workload=row[5],
            value=row[6],
            occurred_at=row[7],
            subject=row[8],
            dimensions=None if row[9] is None else json.loads(row[9]),
            signal=row[10],
            target_id=None if row[11] is None else row[11].hex,
        )
        for row in rows
    }


def add_repeated(batch: uuid.UUID, *, duplicates: int, conflicts: int, rejected: int) -> None:
    """Write into the ledger what became of the keys of a batch that were used before."""
    with connection.cursor() as cursor:
        cursor.execute(ADD_REPEATED, [duplicates, conflicts, rejected, batch])
