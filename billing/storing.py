"""Storing drafts: with `billing.issuing` the only code that writes invoices.

Everything runs inside one transaction of the caller's. The constraint on (subscription, period, kind) refuses a second
invoice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import connection

from billing.copying import copied, copy_rows, next_ids
from billing.drafts import ConsolidatedDraft, InvoiceDraft, InvoiceKey
from billing.invoice_rows import (
    DISCOUNT_NAMES,
    INVOICE_NAMES,
    LINE_NAMES,
    LineTexts,
    consolidated_invoice,
    invoice_discount,
    invoice_of,
    invoice_texts,
)
from billing.models import Invoice, InvoiceDiscount, InvoiceLine, InvoiceStatus
from billing.parties import keep_words

BATCH_SIZE = 1_000
REFRESHED_FIELDS = [
    "period_end",
    "ends_at",
    "currency",
    "subtotal",
    "discount",
    "tax",
    "tax_included",
    "taxes",
    "total",
    "issuer",
    "recipient",
    "plan_name",
    "plan_terms",
    "watermark",
    "drawn_up_at",
    "issue_after",
]


def new_invoices(
    drafts: Sequence[InvoiceDraft], *, existing: Mapping[InvoiceKey, Invoice], grace_days: int
) -> list[Invoice]:
    """Give the invoices of drafts, not yet written; those in `existing`, by key, keep their ids."""
    replaced = [existing.get(draft.due.key) for draft in drafts]
    new_ids = iter(next_ids(Invoice, sum(1 for invoice in replaced if invoice is None)))
    return [
        invoice_of(draft, invoice.pk if invoice else next(new_ids), grace_days=grace_days)
        for draft, invoice in zip(drafts, replaced, strict=True)
    ]


def store_lines(
    rows: Sequence[Invoice], drafts: Sequence[InvoiceDraft], *, existing: Mapping[InvoiceKey, Invoice]
) -> None:
    """Write the lines and coupons of invoices, before the invoices: an issued one has its lines when it is written."""
    refreshed = [row for row, draft in zip(rows, drafts, strict=True) if draft.due.key in existing]
    if refreshed:
        InvoiceLine.objects.filter(invoice__in=refreshed).delete()
        InvoiceDiscount.objects.filter(invoice__in=refreshed).delete()
    ids = iter(next_ids(InvoiceLine, sum(len(draft.lines) for draft in drafts)))
    texts = LineTexts()
    copy_rows(
        InvoiceLine,
        LINE_NAMES,
        [
            texts.of(next(ids), row.pk, line)
            for row, draft in zip(rows, drafts, strict=True)
            for line in draft.lines
        ],
    )
    _store_discounts(rows, drafts)


def store_invoices(
    rows: Sequence[Invoice], drafts: Sequence[InvoiceDraft], *, existing: Mapping[InvoiceKey, Invoice]
) -> None:
    """Write the invoices of drafts; `existing` holds stored drafts that they replace, by key.

    Parts are written like any other; `store_consolidated` then puts them on their invoices.
    Rows travel by COPY, several times faster than inserts. Raises IntegrityError when an invoice for the period
    appeared meanwhile.
    """
    keep_words([draft.recipient for draft in drafts])
    replaced = [existing.get(draft.due.key) for draft in drafts]
    refreshed = [row for row, invoice in zip(rows, replaced, strict=True) if invoice is not None]
    if any(invoice is not None and invoice.part_of_id for invoice in replaced):
        # Taken off the invoice they were part of: one that becomes an invoice of its own has tax again.
        Invoice.objects.filter(pk__in=[row.pk for row in refreshed]).update(part_of=None, part_n=None)
    if refreshed:
        Invoice.objects.bulk_update(refreshed, REFRESHED_FIELDS, batch_size=BATCH_SIZE)
    shared: dict[int, str] = {}
    fresh = [row for row, invoice in zip(rows, replaced, strict=True) if invoice is None]
    copy_rows(Invoice, INVOICE_NAMES, [invoice_texts(row, shared) for row in fresh])


def _store_discounts(rows: Sequence[Invoice], drafts: Sequence[InvoiceDraft]) -> None:
    used = [
        invoice_discount(row, each)
        for row, draft in zip(rows, drafts, strict=True)
        for each in draft.discounts
    ]
    for discount, pk in zip(used, next_ids(InvoiceDiscount, len(used)), strict=True):
        discount.pk = pk
    copy_rows(
        InvoiceDiscount,
        DISCOUNT_NAMES,
        [[copied(discount.__dict__[name]) for name in DISCOUNT_NAMES] for discount in used],
    )


def store_consolidated(
    wholes: Sequence[ConsolidatedDraft],
    rows: Sequence[Invoice],
    drafts: Sequence[InvoiceDraft],
    *,
    before: Sequence[Invoice],
) -> list[Invoice]:
    """Write the consolidated invoices of drafts just stored as `rows`, which learn what they are part of.

    `before` are these drafts as they were stored: a consolidated draft that is still wanted keeps its id, one that
    nothing is part of any more goes.
    """
    was_on = {(row.subscription_id, row.period_start, row.kind): row.part_of_id for row in before}
    old = {pk for pk in was_on.values() if pk is not None}
    if not wholes and not old:
        return []
    keep_words([whole.recipient for whole in wholes])
    by_key = {draft.due.key: row for row, draft in zip(rows, drafts, strict=True)}
    reusable = set(
        Invoice.objects.filter(pk__in=old, status=InvoiceStatus.DRAFT).values_list("pk", flat=True)
    )
    Invoice.objects.filter(part_of__in=reusable).update(part_of=None, part_n=None)
    stored: list[Invoice] = []
    fresh: list[Invoice] = []
    parts: list[Invoice] = []
    new_ids = iter(next_ids(Invoice, len(wholes)))
    for whole in wholes:
        mine = [by_key[part.due.key] for part in whole.parts]
        kept = next((pk for part in whole.parts if (pk := was_on.get(part.due.key)) in reusable), None)
        reusable.discard(kept or 0)
        row = consolidated_invoice(whole, kept or next(new_ids), mine)
        (fresh if kept is None else stored).append(row)
        for part, placed in zip(mine, whole.parts, strict=True):
            part.part_of_id, part.part_n = row.pk, placed.part_n
            parts.append(part)
    if stored:
        Invoice.objects.bulk_update(
            stored, [*REFRESHED_FIELDS, "starts_at", "period_start", "zone"], batch_size=BATCH_SIZE
        )
    copy_rows(Invoice, INVOICE_NAMES, [invoice_texts(row, {}) for row in fresh])
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE billing_invoice part SET part_of_id = placed.whole_id, part_n = placed.n
            FROM unnest(%s::bigint[], %s::bigint[], %s::integer[]) AS placed (id, whole_id, n)
            WHERE part.id = placed.id
            """,
            [
                [part.pk for part in parts],
                [part.part_of_id for part in parts],
                [part.part_n for part in parts],
            ],
        )
    Invoice.objects.filter(pk__in=reusable).delete()
    return [*stored, *fresh]
