"""Equations of the audit about events: what was acknowledged is stored; a key stands for one event. Each is one SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
