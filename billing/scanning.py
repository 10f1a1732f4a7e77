"""Finding the issued lines whose events changed after their invoice's watermark: by index on what changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Max, Q, QuerySet

from billing.line_settling import reopen_voided
from billing.models import BILLED, AdjustmentScan, ChangedLine, Invoice, InvoiceLine, LineKind
from customers.lookups import Ids
from metering.changes import UsageChange, usage_changes
from metering.ledger import place_batches

FLAG = """
INSERT INTO billing_changedline (line_id, position, found_at)
SELECT line.id, max(change.position), %s
FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bigint[])
     AS change (customer_id, meter_id, first, last, position)
JOIN billing_invoice invoice ON invoice.customer_id = change.customer_id
     AND invoice.status IN ('issued', 'paid', 'written_off', 'part')
     AND invoice.ends_at > change.first AND invoice.watermark < change.position
JOIN billing_invoiceline line ON line.invoice_id = invoice.id AND line.kind = 'usage'
JOIN metering_meter meter ON meter.id = line.meter_id
     AND (meter.id = change.meter_id OR meter.evidence_meter_id = change.meter_id)
WHERE invoice.starts_at <= change.last OR meter.type = 'weighted_sum' OR meter.once_per_subject <> 'never'
   OR meter.verification_hours IS NOT NULL OR meter.evidence_meter_id IS NOT NULL
GROUP BY line.id
ON CONFLICT (line_id) DO UPDATE SET position = greatest(billing_changedline.position, excluded.position)
"""

# Meters on which earlier events matter to later periods.
CARRIES = (
    Q(meter__type="weighted_sum")
    | ~Q(meter__once_per_subject="never")
    | Q(meter__verification_hours__isnull=False)
    | Q(meter__evidence_meter__isnull=False)
)


def scan_changes(*, now: datetime) -> int:
    """Flag the issued lines whose events changed since the last scan; give the position scanned up to."""
    with transaction.atomic():
        AdjustmentScan.objects.get_or_create(singleton=True)
        scan = AdjustmentScan.objects.select_for_update().get()
        until = place_batches()
        last_end = _issued().aggregate(last=Max("ends_at"))["last"]
        if last_end is not None and until > scan.position:
            _flag(usage_changes(after=scan.position, until=until, before=last_end), now=now)
        reopen_voided(position=until, now=now)
        scan.position = until
        scan.save(update_fields=["position"])
    return until


def flagged_line_ids(customer_ids: Collection[int]) -> set[int]:
    """Give the changed lines of some customers that a scan has found."""
    flagged = ChangedLine.objects.filter(line__invoice__customer__among=Ids(customer_ids))
    return set(flagged.values_list("line_id", flat=True))


def changed_line_ids(customer_ids: Collection[int]) -> set[int]:
    """Give the changed lines of some customers, flagged or not yet scanned. Writes nothing."""
    found = flagged_line_ids(customer_ids)
    last_end = _issued().filter(customer__in=customer_ids).aggregate(last=Max("ends_at"))["last"]
    if last_end is None:
        return found
    scanned = AdjustmentScan.objects.values_list("position", flat=True).first() or 0
    for change in usage_changes(after=scanned, until=None, before=last_end, customer_ids=customer_ids):
        lines = InvoiceLine.objects.filter(
            Q(invoice__starts_at__lte=change.last_occurred_at) | CARRIES,
            Q(meter=change.meter_id) | Q(meter__evidence_meter=change.meter_id),
            kind=LineKind.USAGE,
            invoice__customer=change.customer_id,
            invoice__status__in=BILLED,
            invoice__ends_at__gt=change.first_occurred_at,
        )
        found |= set(lines.values_list("id", flat=True))
    return found


def scanned_up_to() -> int:
    """Lock the scan for sharing until the end of the transaction and give its position."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT position FROM billing_adjustmentscan FOR SHARE")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def _issued() -> QuerySet[Invoice]:
    return Invoice.objects.filter(status__in=BILLED)


def _flag(changes: Sequence[UsageChange], *, now: datetime) -> None:
    if not changes:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            FLAG,
            [
                now,
                [change.customer_id for change in changes],
                [change.meter_id for change in changes],
                [change.first_occurred_at for change in changes],
                [change.last_occurred_at for change in changes],
                [change.position for change in changes],
            ],
        )
