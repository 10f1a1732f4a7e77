"""Events that were stored but count for nobody yet, by the reason why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db import connection
from django.db.models import Q

from metering.models import Event
from metering.releasing import FITS, FITS_PARAMETERS

WAITING_AT_MOST = 1_000

# An event whose meter exists by now and whose customer does not waits for the customer only, and the other way round.
REASONS = f"""
WITH waiting AS (
    SELECT e.meter_code, e.customer_code, e.received_at, m.id AS meter_id, m.status, ({FITS}) AS fits,
           c.id AS customer_id
    FROM metering_event e
    LEFT JOIN metering_meter m ON m.code = e.meter_code
    LEFT JOIN customers_customer c ON c.code = e.customer_code
    WHERE (e.meter_id IS NULL OR e.customer_id IS NULL) AND e.voided_batch_id IS NULL
)
SELECT reason, code, count(*), min(received_at), max(received_at)
FROM waiting CROSS JOIN LATERAL (VALUES
    (CASE WHEN meter_id IS NULL THEN 'unknown_meter'
          WHEN status = 'draft' THEN 'draft_meter'
          WHEN NOT fits THEN 'refused' END, meter_code),
    (CASE WHEN customer_id IS NULL THEN 'unknown_customer' END, customer_code)
) AS why (reason, code)
WHERE reason IS NOT NULL
GROUP BY reason, code ORDER BY count(*) DESC, reason, code
"""  # noqa: S608  FITS is a text of the program


class Reason(StrEnum):
    """Why an event counts for nobody."""

    UNKNOWN_METER = "unknown_meter"
    UNKNOWN_CUSTOMER = "unknown_customer"
    DRAFT_METER = "draft_meter"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The events that wait for one thing. One that misses meter and customer is in both groups."""

    reason: Reason
    code: str
    events: int
    first_received_at: datetime
    last_received_at: datetime


def waiting_by_reason() -> list[Waiting]:
    """Give what unmatched events wait for, the most events first. One query over the unmatched ones only."""
    with connection.cursor() as cursor:
        cursor.execute(REASONS, FITS_PARAMETERS)
        return [Waiting(Reason(reason), *rest) for reason, *rest in cursor.fetchall()]


def count_waiting() -> int:
    """Count unmatched events, no further than a thousand."""
    unmatched = Event.objects.filter(Q(meter=None) | Q(customer=None), voided_batch_id=None)
    return unmatched.order_by()[:WAITING_AT_MOST].count()
