"""What invoices and waivers settled of closed periods that changed, and what a void invoice opens again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from billing.models import BILLED

RECORD = """
INSERT INTO billing_linesettlement (line_id, invoice_id, position)
SELECT * FROM unnest(%(lines)s::bigint[], %(invoices)s::bigint[], %(positions)s::bigint[])
"""
# What a void invoice had settled is settled anew together with what came later.
DROP = """
WITH settled (line_id, position) AS (
    SELECT * FROM unnest(%(lines)s::bigint[], %(positions)s::bigint[])
), opened AS (
    DELETE FROM billing_linesettlement old USING settled, billing_invoice carrier
    WHERE old.line_id = settled.line_id AND carrier.id = old.invoice_id AND carrier.status = 'void'
)
DELETE FROM billing_changedline change USING settled
WHERE change.line_id = settled.line_id AND change.position <= settled.position
"""
# A line that a void invoice settled; and a line of a void invoice whose adjustments are still billed: they have to be
# taken back, for the period will be billed again as a whole.
REOPEN = """
INSERT INTO billing_changedline (line_id, position, found_at)
SELECT line.id, %(position)s, %(now)s
FROM billing_linesettlement settlement
JOIN billing_invoice carrier ON carrier.id = settlement.invoice_id AND carrier.status = 'void'
JOIN billing_invoiceline line ON line.id = settlement.line_id
JOIN billing_invoice invoice ON invoice.id = line.invoice_id AND invoice.status = ANY(%(billed)s)
UNION
SELECT line.id, %(position)s, %(now)s
FROM billing_invoice invoice
JOIN billing_invoiceline line ON line.invoice_id = invoice.id
JOIN billing_invoiceline adjusting ON adjusting.adjusts_id = line.id
JOIN billing_invoice carrier ON carrier.id = adjusting.invoice_id AND carrier.status = ANY(%(billed)s)
WHERE invoice.status = 'void'
GROUP BY line.id HAVING sum(adjusting.amount) <> 0 OR sum(adjusting.quantity) <> 0
ON CONFLICT (line_id) DO NOTHING
"""


class Settlement(NamedTuple):
    """An issued invoice settled what changed of a line of an earlier one, up to a ledger position."""

    line_id: int
    invoice_id: int
    position: int


def settle_changes(settled: Sequence[Settlement]) -> None:
    """Write down what invoices settled, in the transaction that issues them, and drop the flags of those lines."""
    if not settled:
        return
    lines = [each.line_id for each in settled]
    positions = [each.position for each in settled]
    invoices = [each.invoice_id for each in settled]
    with connection.cursor() as cursor:
        cursor.execute(RECORD, {"lines": lines, "invoices": invoices, "positions": positions})
    drop_flags(lines, positions)


def drop_flags(line_ids: Sequence[int], positions: Sequence[int]) -> None:
    """Take lines as settled up to a position each: by an invoice, or by a waiver that names that position."""
    with connection.cursor() as cursor:
        cursor.execute(DROP, {"lines": list(line_ids), "positions": list(positions)})


def reopen_voided(*, position: int, now: datetime) -> None:
    """Flag the lines that an invoice settled which is void by now, and those of void invoices that stay adjusted."""
    with connection.cursor() as cursor:
        cursor.execute(REOPEN, {"position": position, "now": now, "billed": [str(each) for each in BILLED]})
