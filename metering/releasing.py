"""Unmatched events count by themselves once their meter and customer exist."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from metering.identity import new_uuid7
from metering.meter_types import NEEDS_VALUE, REFUSES_NEGATIVE

# What a meter `m` takes of an event `e`: the rules of metering.meter_types. What it would refuse stays unmatched, where
# staff can see it.
FITS = """
      CASE WHEN e.signal IS NOT NULL
           THEN m.once_per_subject <> 'never' OR m.verification_hours IS NOT NULL OR m.evidence_meter_id IS NOT NULL
           ELSE m.once_per_subject = 'never' OR e.subject IS NOT NULL END
      AND (e.value >= 0 OR e.value IS NULL OR NOT (CASE WHEN m.allow_negative IS NULL
                                                    THEN m.type = ANY(%(refuse_negative)s)
                                                    ELSE NOT m.allow_negative END))
      AND CASE WHEN m.type = ANY(%(need_value)s) THEN e.value IS NOT NULL
               WHEN m.type <> 'unique' THEN true
               WHEN m.value_dimension = '' THEN e.subject IS NOT NULL
               ELSE coalesce(e.dimensions ->> m.value_dimension, '') <> '' END
"""
FITS_PARAMETERS = {"need_value": sorted(NEEDS_VALUE), "refuse_negative": sorted(REFUSES_NEGATIVE)}

RELEASE = f"""
WITH found AS (
    SELECT e.id, m.id AS meter_id, c.id AS customer_id
    FROM metering_event e
    JOIN metering_meter m ON m.code = e.meter_code AND m.status <> 'draft'
    JOIN customers_customer c ON c.code = e.customer_code
    WHERE (e.meter_id IS NULL OR e.customer_id IS NULL) AND e.voided_batch_id IS NULL
      AND ({FITS})
    FOR UPDATE OF e
), released AS (
    UPDATE metering_event e
    SET meter_id = found.meter_id, customer_id = found.customer_id, released_batch_id = %(batch)s
    FROM found WHERE e.id = found.id AND (e.meter_id IS NULL OR e.customer_id IS NULL)
    RETURNING e.occurred_at, e.signal
), ledger AS (
    INSERT INTO metering_eventbatch (id, kind, source, received_at, stored, accepted, duplicates, conflicts, unmatched,
                                     rejected, first_occurred_at, last_occurred_at, has_signals)
    SELECT %(batch)s, 'released', '', %(now)s, count(*), 0, 0, 0, 0, 0, min(occurred_at), max(occurred_at),
           bool_or(signal IS NOT NULL)
    FROM released HAVING count(*) > 0
)
SELECT count(*) FROM released
"""  # noqa: S608  FITS is the text above


def release_unmatched(*, now: datetime) -> int:
    """Match the events whose meter and customer exist by now; give how many. Rerunning changes nothing."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(RELEASE, {"batch": new_uuid7(), "now": now, **FITS_PARAMETERS})
        return int(cursor.fetchone()[0])
