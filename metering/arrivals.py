"""Accounting for what arrived: every event by its outcome, against the rows that are stored.

Counted by the time of receipt, from the batch ledger, which knows every outcome without a row for each; that the rows
are there is checked batch by batch. Nothing is written for it when events arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from customers.models import Customer

SHOWN_MISMATCHES = 20


@dataclass(frozen=True, slots=True)
class Intake:
    """What arrived from one source, by outcome on arrival. `released` of the unmatched were accepted since.

    Of one customer the ledger does not say how many events were repeated or refused: `duplicates` and `rejected` are
    None then, and so is `received`. `source` is None over all sources.
    """

    source: str | None
    received: int | None
    accepted: int
    duplicates: int | None
    conflicts: int
    unmatched: int
    rejected: int | None
    released: int

    @property
    def difference(self) -> int:
        if self.received is None or self.duplicates is None or self.rejected is None:
            return 0
        return (
            self.received - self.accepted - self.duplicates - self.conflicts - self.unmatched - self.rejected
        )


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A batch whose rows are not as many as the ledger says; `ledger` is 0 for rows without a batch."""

    batch: UUID
    source: str
    ledger: int
    rows: int


ARRIVED = """
SELECT batch.source, sum(accepted)::bigint, sum(duplicates)::bigint, sum(conflicts)::bigint, sum(unmatched)::bigint,
       sum(rejected)::bigint
FROM metering_eventbatch batch
WHERE received_at >= %(start)s AND received_at < %(end)s AND kind = 'received'
GROUP BY batch.source ORDER BY batch.source
"""
RELEASED = """
SELECT source, count(*) FROM metering_event
WHERE released_batch_id IS NOT NULL AND received_at >= %(start)s AND received_at < %(end)s GROUP BY source
"""
ARRIVED_OF_CUSTOMER = """
SELECT e.source, count(*) FILTER (WHERE e.meter_code IS NULL), count(*) FILTER (WHERE e.meter_code IS NOT NULL),
       count(*) FILTER (WHERE e.released_batch_id IS NOT NULL)
FROM metering_event e
JOIN metering_eventbatch batch ON batch.id = e.batch_id AND batch.kind = 'received'
WHERE e.received_at >= %(start)s AND e.received_at < %(end)s
  AND (e.customer_id = %(customer)s OR e.customer_code = %(code)s)
GROUP BY e.source
"""
CONFLICTS_OF_CUSTOMER = """
SELECT source, count(*) FROM metering_eventconflict
WHERE received_at >= %(start)s AND received_at < %(end)s AND offered ->> 'customer' = %(code)s GROUP BY source
"""
MISMATCHES = """
WITH received AS (
    SELECT batch_id, count(*) AS rows FROM metering_event
    WHERE received_at >= %(start)s AND received_at < %(end)s GROUP BY batch_id
), named AS (
    SELECT b.id, count(*) AS rows FROM metering_eventbatch b JOIN metering_event e ON e.released_batch_id = b.id
    WHERE b.kind = 'released' AND b.received_at >= %(start)s AND b.received_at < %(end)s GROUP BY b.id
    UNION ALL
    SELECT b.id, count(*) FROM metering_eventbatch b JOIN metering_event e ON e.voided_batch_id = b.id
    WHERE b.kind = 'corrected' AND b.received_at >= %(start)s AND b.received_at < %(end)s GROUP BY b.id
), checked AS (
    SELECT coalesce(batch.id, received.batch_id) AS id, coalesce(batch.source, '') AS source,
           coalesce(batch.stored - batch.pruned, 0) AS ledger,
           coalesce(received.rows, 0) + coalesce(named.rows, 0) AS rows
    FROM (SELECT * FROM metering_eventbatch WHERE received_at >= %(start)s AND received_at < %(end)s) batch
    FULL JOIN received ON received.batch_id = batch.id
    LEFT JOIN named ON named.id = batch.id
)
SELECT id, source, ledger, rows, sum(abs(ledger - rows)) OVER ()::bigint FROM checked WHERE ledger <> rows
ORDER BY id LIMIT %(shown)s
"""


def count_arrivals(start: datetime, end: datetime) -> list[Intake]:
    """Count what arrived in `[start, end)` by outcome and source, from the ledger."""
    shape: dict[str, Any] = {"start": start, "end": end}
    with connection.cursor() as cursor:
        cursor.execute(RELEASED, shape)
        released = dict(cursor.fetchall())
        cursor.execute(ARRIVED, shape)
        rows = cursor.fetchall()
    return [
        Intake(
            source=source,
            received=accepted + duplicates + conflicts + unmatched + rejected,
            accepted=accepted,
            duplicates=duplicates,
            conflicts=conflicts,
            unmatched=unmatched,
            rejected=rejected,
            released=released.get(source, 0),
        )
        for source, accepted, duplicates, conflicts, unmatched, rejected in rows
    ]


def count_arrivals_of(customer: Customer, start: datetime, end: datetime) -> list[Intake]:
    """Count what arrived for one customer in `[start, end)`, from the stored events and conflicts."""
    shape: dict[str, Any] = {"start": start, "end": end, "customer": customer.pk, "code": customer.code}
    with connection.cursor() as cursor:
        cursor.execute(CONFLICTS_OF_CUSTOMER, shape)
        conflicts = dict(cursor.fetchall())
        cursor.execute(ARRIVED_OF_CUSTOMER, shape)
        rows = {source: counts for source, *counts in cursor.fetchall()}
    found = []
    for source in sorted(rows.keys() | conflicts.keys()):
        accepted, unmatched, released = rows.get(source, (0, 0, 0))
        refused = conflicts.get(source, 0)
        found.append(Intake(source, None, accepted, None, refused, unmatched, None, released))
    return found


def find_mismatches(start: datetime, end: datetime) -> tuple[int, list[Mismatch]]:
    """Compare rows and ledger of every batch received in `[start, end)`.

    Give by how many rows they differ altogether, and the first batches that do: 0 and nothing when all is well.
    """
    with connection.cursor() as cursor:
        cursor.execute(MISMATCHES, {"start": start, "end": end, "shown": SHOWN_MISMATCHES})
        rows = cursor.fetchall()
    return (rows[0][4] if rows else 0), [Mismatch(*row[:4]) for row in rows]
