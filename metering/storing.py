"""Writing events: one set-based statement per batch, with the batch's ledger row in the same statement.

Column arrays travel as text literals, and the statement is prepared: then the server reads each literal once, as a
parameter, and plans nothing. Both were measured (docs/storage.md).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple

from django.db import connection
from psycopg import Cursor

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


class Row(NamedTuple):
    """One event ready to be stored: its id in hexadecimal, time and dimensions as text the database reads.

    Codes are set when meter or customer is unknown.
    """

    id: str
    key: str
    meter_id: int | None
    customer_id: int | None
    workload_id: int | None
    value: Decimal | None
    occurred_at: str
    subject: str | None
    dimensions: str | None
    meter_code: str | None
    customer_code: str | None
    signal: str | None = None
    target_id: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """The events of a batch ready to be stored, column by column in the order of their ids, as texts for the database.

    In columns of numbers and times NULL stands for none, in the others None. An empty column holds nothing in any row;
    without `keys` the key of each event is its id.
    """

    ids: Sequence[str]
    meters: Sequence[str]
    customers: Sequence[str]
    occurred: Sequence[str]
    keys: Sequence[str] = ()
    workloads: Sequence[str] = ()
    values: Sequence[str] = ()
    subjects: Sequence[str | None] = ()
    dimensions: Sequence[str | None] = ()
    meter_codes: Sequence[str | None] = ()
    customer_codes: Sequence[str | None] = ()
    signals: Sequence[str | None] = ()
    targets: Sequence[str | None] = ()


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


def columns_of(rows: Sequence[Row]) -> Columns:
    """Give rows as columns, in the order of their ids."""
    ordered = sorted(rows, key=itemgetter(0))
    columns: list[Sequence[Any]] = list(zip(*ordered, strict=True)) if ordered else [()] * len(Row._fields)
    ids, keys, meters, customers, workloads, values, occurred, subjects, dimensions, *others = columns
    return Columns(
        ids=ids,
        keys=keys,
        meters=_numbers(meters),
        customers=_numbers(customers),
        workloads=_numbers(workloads),
        values=_numbers(values),
        occurred=occurred,
        subjects=subjects,
        dimensions=dimensions,
        meter_codes=others[0],
        customer_codes=others[1],
        signals=others[2],
        targets=others[3],
    )


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
        "rejected": str(rejected),
        "offered": str(len(columns.ids)),
        "ids": _plain_array(columns.ids),
        "keys": _texts(columns.keys),
        "meters": _plain_array(columns.meters),
        "customers": _plain_array(columns.customers),
        "workloads": _plain_array(columns.workloads),
        "values": _plain_array(columns.values),
        "occurred": _plain_array(columns.occurred),
        "subjects": _texts(columns.subjects),
        "dimensions": _texts(columns.dimensions),
        "meter_codes": _texts(columns.meter_codes),
        "customer_codes": _texts(columns.customer_codes),
    }
    statement = INSERT
    if any(columns.signals):
        statement = INSERT_WITH_SIGNALS
        parameters |= {"signals": _texts(columns.signals), "targets": _texts(columns.targets)}
    with connection.cursor() as cursor:
        stored = _execute_prepared(cursor, statement, parameters)
    return None if stored is None else {each.hex for each in stored}


def _execute_prepared(cursor: Any, statement: str, parameters: dict[str, Any]) -> list[uuid.UUID] | None:
    """Run a statement with parameters bound by the server, which Django's own cursor merges into the text."""
    with connection.wrap_database_errors, Cursor(cursor.connection) as prepared:
        row = prepared.execute(statement, parameters, prepare=True).fetchone()
    assert row is not None  # it counts
    stored: list[uuid.UUID] | None = row[0]
    return stored


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


def _numbers(items: Sequence[object]) -> list[str]:
    return ["NULL" if item is None else str(item) for item in items]


def _plain_array(items: Sequence[str]) -> str:
    """Write an array literal of texts that need no quotes."""
    return "{" + ",".join(items) + "}"


def _texts(items: Sequence[str | None]) -> str:
    """Write an array literal; most columns need no escape, and many hold nothing at all."""
    present = [item for item in items if item is not None]
    if not present:
        return "{}"
    together = "\x00".join(present)  # no text that is stored holds NUL
    if "\\" in together or '"' in together:
        together = together.replace("\\", "\\\\").replace('"', '\\"')
    if len(present) == len(items):
        return '{"' + together.replace("\x00", '","') + '"}'
    escaped = iter(together.split("\x00"))
    return "{" + ",".join(["NULL" if item is None else f'"{next(escaped)}"' for item in items]) + "}"
