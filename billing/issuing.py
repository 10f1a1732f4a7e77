"""Giving out numbers: drafts become invoices that nobody changes any more.

`issue` runs inside one transaction of the caller's. Numbers are taken from a row that stays locked until the commit, so
they have no gaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connection
from django.db.models import F

from billing.models import Invoice, InvoiceSeries, InvoiceStatus
from billing.spending import apply_credits, with_credits
from billing.telling import tell_issued
from metering.periods import local_day


def take_numbers(series: str, count: int) -> range:
    """Take the next numbers of a series. It stays locked until the commit, and a rollback gives them back: no gaps."""
    InvoiceSeries.objects.get_or_create(prefix=series)
    InvoiceSeries.objects.filter(prefix=series).update(last_number=F("last_number") + count)
    last = InvoiceSeries.objects.values_list("last_number", flat=True).get(prefix=series)
    return range(last - count + 1, last + 1)


def numbered(series: str, sequence: int) -> str:
    """Write a number of a series: INV-2026-000001."""
    return f"{series}-{sequence:06d}"


def issue_unwritten(
    invoices: Sequence[Invoice], *, payment_days: Mapping[int, int | None], now: datetime
) -> dict[int, int]:
    """Number invoices that are about to be written, and freeze those that no credit could pay for.

    The others are written as drafts; their numbers of the series are given, by id, for `issue`. `payment_days` are the
    customers' own, by id. Their lines are to be written first; `tell_issued` is the caller's to call afterwards.
    """
    if not invoices:
        return {}
    series = _series(now)
    sequences = take_numbers(series, len(invoices))
    credited = with_credits({invoice.customer_id for invoice in invoices}, now=now)
    later = {}
    for sequence, invoice in zip(sequences, invoices, strict=True):
        if invoice.total < 0 or invoice.customer_id in credited:
            later[invoice.pk] = sequence
            continue
        days = payment_days[invoice.customer_id]
        invoice.series_id, invoice.sequence, invoice.number = series, sequence, numbered(series, sequence)
        invoice.status = InvoiceStatus.ISSUED if invoice.total else InvoiceStatus.PAID
        invoice.issued_at = now
        invoice.due_on = local_day(now, invoice.zone) + timedelta(
            days=settings.PAYMENT_DAYS if days is None else days
        )
    return later


def _series(now: datetime) -> str:
    return f"INV-{now.year}"


def issue(invoices: Sequence[Invoice], *, now: datetime, sequences: Sequence[int] | None = None) -> None:
    """Number drafts and freeze them, in the order given, and pay what credits cover.

    `sequences` are numbers of the series that were taken for them already.
    Nothing is locked but the series, the credit grants of their customers and the invoices. The days to pay are the
    customer's, or the usual ones; they count from the invoice's day in its own zone, which is the day printed on it.
    Where nothing is left to pay, the invoice is paid at once.
    """
    if not invoices:
        return
    prefix = _series(now)
    if sequences is None:
        sequences = take_numbers(prefix, len(invoices))
    for sequence, invoice in zip(sequences, invoices, strict=True):
        invoice.number = numbered(prefix, sequence)
    applied = apply_credits(invoices, now=now)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE billing_invoice invoice
            SET status = CASE WHEN invoice.total > numbered.credits_applied THEN 'issued' ELSE 'paid' END,
                series_id = %s, sequence = numbered.sequence, issued_at = %s, number = numbered.number,
                due_on = numbered.issued_on + coalesce(customer.payment_days, %s)::integer,
                credits_applied = numbered.credits_applied
            FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::date[], %s::numeric[])
                 AS numbered (id, sequence, number, issued_on, credits_applied),
                 customers_customer customer
            WHERE invoice.id = numbered.id AND invoice.status = 'draft' AND customer.id = invoice.customer_id
            """,
            [
                prefix,
                now,
                settings.PAYMENT_DAYS,
                [invoice.pk for invoice in invoices],
                list(sequences),
                [invoice.number for invoice in invoices],
                [local_day(now, invoice.zone) for invoice in invoices],
                [applied.get(invoice.pk, Decimal(0)) for invoice in invoices],
            ],
        )
        if cursor.rowcount != len(invoices):
            raise RuntimeError("A draft was issued by somebody else between its lock and its number.")
    for invoice in invoices:
        invoice.credits_applied = applied.get(invoice.pk, Decimal(0))
        invoice.status = InvoiceStatus.ISSUED if invoice.amount_due > 0 else InvoiceStatus.PAID
    tell_issued(invoices, now=now)


def issue_parts(wholes: Sequence[Invoice]) -> None:
    """Freeze the parts of consolidated invoices that were just issued: each is numbered after its place."""
    if not wholes:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE billing_invoice part
            SET status = 'part', number = whole.number || '-' || part.part_n, issued_at = whole.issued_at
            FROM billing_invoice whole
            WHERE whole.id = part.part_of_id AND whole.id = ANY(%s)
            """,
            [[whole.pk for whole in wholes]],
        )
