"""Equations of the audit about events: what was acknowledged is stored; a key stands for one event; notes are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from metering.fragments import Sql
from metering.models import Meter, SettledOutcome
from metering.settling_ahead import BEFORE_LATE, settles_ahead, standings


@dataclass(frozen=True, slots=True)
class Question:
    """A statement that gives a row of text for each thing that is wrong, and no row when all is well."""

    sql: str
    parameters: dict[str, Any] = field(default_factory=dict)


def acknowledged_keys_stored() -> Question:
    """Ask for batches whose rows are not as many as the ledger counted when their sender was told, less pruned ones."""
    return Question(
        """
        WITH named (id) AS (
            SELECT batch_id FROM metering_event
            UNION ALL
            SELECT event.released_batch_id FROM metering_event event
            JOIN metering_eventbatch batch ON batch.id = event.released_batch_id AND batch.kind = 'released'
            UNION ALL
            SELECT event.voided_batch_id FROM metering_event event
            JOIN metering_eventbatch batch ON batch.id = event.voided_batch_id AND batch.kind = 'corrected'
        ), counted AS (
            SELECT id, count(*) AS rows FROM named GROUP BY id
        )
        SELECT CASE WHEN batch.id IS NULL
                    THEN format('%%s events are of batch %%s, which is not in the ledger', rows, counted.id)
                    ELSE format('batch %%s of source “%%s”, received %%s: %%s events stored, %%s acknowledged',
                                batch.id, source, to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                                coalesce(rows, 0), stored - pruned)
               END
        FROM metering_eventbatch batch FULL JOIN counted ON counted.id = batch.id
        WHERE coalesce(batch.stored - batch.pruned, 0) <> coalesce(counted.rows, 0)
        """
    )


def keys_unique() -> Question:
    """Ask for events whose identity is not what their source and key make, and for a missing primary key.

    An identity is made of source and key, and the primary key holds it: so two events of one key would differ in it.
    """
    return Question(
        """
        SELECT 'the primary key of the table of events is missing or not valid'
        WHERE NOT EXISTS (
            SELECT FROM pg_index WHERE indrelid = 'metering_event'::regclass AND indisprimary AND indisvalid
        )
        UNION ALL
        SELECT format('event %%s: not the identity of source “%%s”, key “%%s”', event.id, source, key)
        FROM metering_event event
        CROSS JOIN LATERAL (
            SELECT encode(sha256(convert_to(length(source) || ':' || source || key, 'UTF8')), 'hex') AS digest
        ) made
        WHERE replace(event.id::text, '-', '') <> CASE
            WHEN key ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' THEN lower(replace(key, '-', ''))
            ELSE substr(digest, 1, 12) || '8' || substr(digest, 14, 3)
                 || substr('89ab', (strpos('0123456789abcdef', substr(digest, 17, 1)) - 1) %% 4 + 1, 1)
                 || substr(digest, 18, 15)
        END
        """
    )


def outcomes_settled_right() -> Iterator[str]:
    """Name each outcome whose note is not what its events say as of the position of the notes. One query a meter."""
    meters = [meter for meter in Meter.objects.order_by("code") if settles_ahead(meter)]
    strange = SettledOutcome.objects.exclude(meter__in=meters).order_by("pk").values_list("pk", flat=True)
    for pk in strange.iterator():
        yield f"outcome {pk}: noted, but outcomes of its meter are not settled ahead"
    for meter in meters:
        wrong = WRONG_NOTES_START + Sql(" AND e.meter_id = %s AND ", [meter.pk]) + BEFORE_LATE + "), "
        wrong = wrong + standings(meter) + Sql(WRONG_NOTES_END, [meter.code, meter.pk])
        with connection.cursor() as cursor:
            cursor.execute(wrong.text, wrong.parameters)
            for (what,) in cursor.fetchall():
                yield what


WRONG_NOTES_START = """
WITH late AS MATERIALIZED (
    SELECT id FROM metering_eventbatch
    WHERE position IS NULL OR position > (SELECT coalesce(max(settled_position), 0) FROM metering_rollup)
), again AS MATERIALIZED (
    SELECT e.id, e.customer_id, e.subject FROM metering_event e
    WHERE e.signal IS NULL AND e.customer_id IS NOT NULL"""
# An event that was released or voided since has no note yet, or one that says it does not count. Where the others of a
# subject were pruned, the one that is left counts as the first of it (2) as it does alone (1).
WRONG_NOTES_END = """
SELECT format('outcome %%s of meter %%s: noted as %%s at %%s, its events say %%s at %%s',
              coalesce(standing.id, noted.event_id), %s::text, noted.standing, noted.settles_at,
              standing.standing, standing.settles_at)
FROM standing
FULL JOIN (SELECT * FROM metering_settledoutcome WHERE meter_id = %s) noted ON noted.event_id = standing.id
WHERE coalesce(noted.standing, 0) <> coalesce(standing.standing, 0)
      AND NOT (noted.standing = 2 AND standing.standing = 1)
   OR (standing.standing <> 0 AND (noted.settles_at, noted.value, noted.customer_id, noted.subject, noted.dimensions)
       IS DISTINCT FROM (standing.settles_at, standing.value, standing.customer_id, standing.subject,
                         standing.dimensions))
ORDER BY 1
"""
