"""Storing drafts and giving out numbers: the only code that writes invoices.

`store_drafts` and `issue` run inside one transaction of the caller's. Numbers are taken from a row that stays locked
until the commit, so they have no gaps; the constraint on (subscription, period, kind) refuses a second invoice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import F

from billing.drafts import DraftLine, InvoiceDraft
from billing.models import Invoice, InvoiceLine, InvoiceSeries, InvoiceStatus

BATCH_SIZE = 1_000


def issue_after(draft: InvoiceDraft, *, grace_days: int) -> datetime:
    """Give the end of the grace days: until then a draft may still change."""
    return draft.due.period.end + timedelta(days=grace_days)


def store_drafts(
    drafts: Sequence[InvoiceDraft],
    *,
    existing: Mapping[tuple[int, date], Invoice],
    grace_days: int,
) -> list[Invoice]:
    """Write drafts with their lines; `existing` holds stored drafts to replace, by subscription and first day.

    Raises IntegrityError when an invoice for the period appeared meanwhile.
    """
    rows = [
        _invoice(
            draft,
            existing.get((draft.due.subscription.pk, draft.due.period.start_on)),
            grace_days=grace_days,
        )
        for draft in drafts
    ]
    ids = {invoice.pk for invoice in existing.values()}
    refreshed = [row for row in rows if row.pk in ids]
    if refreshed:
        InvoiceLine.objects.filter(invoice__in=refreshed).delete()
        Invoice.objects.bulk_update(refreshed, REFRESHED_FIELDS, batch_size=BATCH_SIZE)
    Invoice.objects.bulk_create([row for row in rows if row.pk not in ids], batch_size=BATCH_SIZE)
    InvoiceLine.objects.bulk_create(
        [_line(row, line) for row, draft in zip(rows, drafts, strict=True) for line in draft.lines],
        batch_size=BATCH_SIZE,
    )
    return rows


def issue(invoices: Sequence[Invoice], *, now: datetime) -> None:
    """Number drafts and freeze them, in the order given. Nothing is locked but the series and the invoices."""
    if not invoices:
        return
    prefix = f"INV-{now.year}"
    InvoiceSeries.objects.get_or_create(prefix=prefix)
    InvoiceSeries.objects.filter(prefix=prefix).update(last_number=F("last_number") + len(invoices))
    last = InvoiceSeries.objects.values_list("last_number", flat=True).get(prefix=prefix)
    first = last - len(invoices) + 1
    due_on = (now + timedelta(days=settings.PAYMENT_DAYS)).date()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE billing_invoice invoice
            SET status = 'issued', series_id = %s, sequence = numbered.sequence, issued_at = %s, due_on = %s,
                number = %s || '-' || lpad(numbered.sequence::text, 6, '0')
            FROM unnest(%s::bigint[], %s::bigint[]) AS numbered (id, sequence)
            WHERE invoice.id = numbered.id AND invoice.status = 'draft'
            """,
            [
                prefix,
                now,
                due_on,
                prefix,
                [invoice.pk for invoice in invoices],
                list(range(first, last + 1)),
            ],
        )
        if cursor.rowcount != len(invoices):
            raise RuntimeError("A draft was issued by somebody else between its lock and its number.")
    for sequence, invoice in enumerate(invoices, start=first):
        invoice.status = InvoiceStatus.ISSUED
        invoice.number = f"{prefix}-{sequence:06d}"


REFRESHED_FIELDS = [
    "period_end",
    "currency",
    "subtotal",
    "tax",
    "total",
    "issuer",
    "recipient",
    "plan_name",
    "watermark",
    "drawn_up_at",
    "issue_after",
]


def _invoice(draft: InvoiceDraft, existing: Invoice | None, *, grace_days: int) -> Invoice:
    subscription, period = draft.due.subscription, draft.due.period
    return Invoice(
        pk=existing.pk if existing else None,
        customer_id=subscription.customer_id,
        subscription=subscription,
        period_start=period.start_on,
        period_end=period.end_on,
        zone=period.zone,
        currency=draft.currency,
        subtotal=draft.subtotal,
        tax=draft.tax,
        total=draft.total,
        issuer=dict(draft.issuer),
        recipient=dict(draft.recipient),
        plan_name=subscription.plan.name,
        plan_code=subscription.plan.code,
        plan_version=subscription.plan.version,
        watermark=draft.watermark,
        drawn_up_at=draft.drawn_up_at,
        issue_after=issue_after(draft, grace_days=grace_days),
    )


def _line(invoice: Invoice, line: DraftLine) -> InvoiceLine:
    return InvoiceLine(
        invoice=invoice,
        n=line.n,
        kind=line.kind,
        description=line.description,
        rate_id=line.rate_id,
        meter=line.meter,
        meter_definition=None
        if line.meter is None
        else {
            "code": line.meter.code,
            "label": line.meter.label,
            "type": line.meter.type,
        },
        unit=line.unit,
        quantity=line.quantity,
        unit_amount=line.unit_amount,
        amount=line.amount,
        terms=dict(line.terms),
        working=[step.as_json() for step in line.working],
        period_start=line.period.start_on,
        period_end=line.period.end_on,
    )
