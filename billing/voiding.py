"""Taking an issued invoice back altogether. Its number stays used; its period and usage can be billed again.

- The period is free for another invoice: the next close of its month draws one up.
- Adjustments it carried are wanted again, and what other invoices adjusted of its lines is taken back: the next scan
  for changes finds both (billing.settling).
- Credits that it took go back; a credit that it became is taken back.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from billing.collecting import given_reason, lock, record_change
from billing.lifecycle import Action, require_open
from billing.models import ChangeKind, Invoice, InvoiceStatus
from billing.spending import return_credits
from billing.telling import tell_voided


@transaction.atomic
def void_invoice(invoice: Invoice, *, reason: str, by: str, now: datetime) -> Invoice:
    """Void an unpaid invoice, with its parts where it is consolidated.

    Raises NotInThisState, ReasonMissing; CreditsSpent when the credit it became is used.
    """
    invoice = lock(invoice)
    require_open(invoice, Action.VOID)
    record_change(invoice, ChangeKind.VOID, reason=given_reason(reason), by=by, now=now)
    return_credits(invoice, by=by, now=now)
    invoice.status = InvoiceStatus.VOID
    invoice.save(update_fields=["status"])
    Invoice.objects.filter(part_of=invoice).update(status=InvoiceStatus.VOID)
    tell_voided(invoice, reason=reason.strip(), now=now)
    return invoice
