"""Storing drafts and giving out numbers: the only code that writes invoices.

`store_drafts` and `issue` run inside one transaction of the caller's. Numbers are taken from a row that stays locked
until the commit, so they have no gaps; the constraint on (subscription, period, kind) refuses a second invoice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, Field, JSONField, Model
from msgspec.json import encode as encode_json
from psycopg import Copy, sql

from billing.drafts import (
    AnyDraft,
    ConsolidatedDraft,
    DraftDiscount,
    DraftLine,
    InvoiceDraft,
    InvoiceKey,
)
from billing.models import Invoice, InvoiceDiscount, InvoiceKind, InvoiceLine, InvoiceSeries, InvoiceStatus
from billing.parties import keep_words
from billing.spending import apply_credits
from billing.telling import tell_issued
from metering.periods import local_day

BATCH_SIZE = 1_000


def issue_after(draft: InvoiceDraft, *, grace_days: int) -> datetime:
    """Give the end of the grace days: until then a draft may still change. At the start they count from the start."""
    due = draft.due
    begins = due.period.start if due.kind == InvoiceKind.AT_START else due.period.end
    return begins + timedelta(days=grace_days)


def ends_grace(draft: AnyDraft, *, grace_days: int) -> datetime:
    """Give the end of the grace days of any draft: the last of its parts'."""
    parts = draft.parts if isinstance(draft, ConsolidatedDraft) else (draft,)
    return max(issue_after(part, grace_days=grace_days) for part in parts)


def store_drafts(
    drafts: Sequence[InvoiceDraft],
    *,
    existing: Mapping[InvoiceKey, Invoice],
    grace_days: int,
) -> list[Invoice]:
    """Write drafts with their lines; `existing` holds stored drafts to replace, by key.

    Parts are written like any other; `store_consolidated` then puts them on their invoices.
    Rows travel by COPY, several times faster than inserts. Raises IntegrityError when an invoice for the period
    appeared meanwhile.
    """
    keep_words([draft.recipient for draft in drafts])
    replaced = [existing.get(draft.due.key) for draft in drafts]
    new_ids = iter(_next_ids(Invoice, sum(1 for invoice in replaced if invoice is None)))
    rows = [
        _invoice(draft, invoice.pk if invoice else next(new_ids), grace_days=grace_days)
        for draft, invoice in zip(drafts, replaced, strict=True)
    ]
    refreshed = [row for row, invoice in zip(rows, replaced, strict=True) if invoice is not None]
    if any(invoice is not None and invoice.part_of_id for invoice in replaced):
        # Taken off the invoice they were part of: one that becomes an invoice of its own has tax again.
        Invoice.objects.filter(pk__in=[row.pk for row in refreshed]).update(part_of=None, part_n=None)
    if refreshed:
        InvoiceLine.objects.filter(invoice__in=refreshed).delete()
        InvoiceDiscount.objects.filter(invoice__in=refreshed).delete()
        Invoice.objects.bulk_update(refreshed, REFRESHED_FIELDS, batch_size=BATCH_SIZE)
    _copy(Invoice, [row for row, invoice in zip(rows, replaced, strict=True) if invoice is None])
    _copy_lines(rows, drafts)
    _add(
        InvoiceDiscount,
        [
            invoice_discount(row, each)
            for row, draft in zip(rows, drafts, strict=True)
            for each in draft.discounts
        ],
    )
    return rows


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
    new_ids = iter(_next_ids(Invoice, len(wholes)))
    for whole in wholes:
        mine = [by_key[part.due.key] for part in whole.parts]
        kept = next((pk for part in whole.parts if (pk := was_on.get(part.due.key)) in reusable), None)
        reusable.discard(kept or 0)
        row = _consolidated(whole, kept or next(new_ids), mine)
        (fresh if kept is None else stored).append(row)
        for part, placed in zip(mine, whole.parts, strict=True):
            part.part_of_id, part.part_n = row.pk, placed.part_n
            parts.append(part)
    if stored:
        Invoice.objects.bulk_update(
            stored, [*REFRESHED_FIELDS, "starts_at", "period_start", "zone"], batch_size=BATCH_SIZE
        )
    _copy(Invoice, fresh)
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


def _consolidated(whole: ConsolidatedDraft, pk: int, parts: Sequence[Invoice]) -> Invoice:
    return Invoice(
        pk=pk,
        customer_id=whole.customer.pk,
        subscription=None,
        kind=InvoiceKind.CONSOLIDATED,
        starts_at=min(part.starts_at for part in parts),
        ends_at=max(part.ends_at for part in parts),
        period_start=whole.period.start_on,
        period_end=whole.period.end_on,
        zone=whole.period.zone,
        currency=whole.currency,
        subtotal=whole.subtotal,
        discount=whole.discount,
        tax=whole.tax,
        tax_included=whole.tax_included,
        taxes=[tax.as_json() for tax in whole.taxes],
        total=whole.total,
        issuer=dict(whole.issuer),
        recipient=dict(whole.recipient),
        plan_name=whole.title,
        plan_code="",
        plan_version=0,
        watermark=whole.watermark,
        drawn_up_at=whole.drawn_up_at,
        issue_after=max(part.issue_after for part in parts),
    )


def _add(model: type[Model], rows: Sequence[Model]) -> None:
    for row, pk in zip(rows, _next_ids(model, len(rows)), strict=True):
        row.pk = pk
    _copy(model, rows)


def _next_ids(model: type[Model], count: int) -> list[int]:
    if not count:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [model._meta.db_table, count],
        )
        return [row[0] for row in cursor.fetchall()]


def _copy(model: type[Model], rows: Sequence[Model]) -> None:
    """Write rows that have their keys, in one COPY; values go through their fields as in any insert."""
    if not rows:
        return
    prepare = [(field.attname, _preparer(field)) for field in model._meta.concrete_fields]
    with _copying(model, [name for name, _ in prepare]) as copy:
        for row in rows:
            copy.write_row([change(getattr(row, name)) for name, change in prepare])


@contextmanager
def _copying(model: type[Model], names: Sequence[str]) -> Iterator[Copy]:
    """Open a COPY into the columns of a model, given by the names of its fields' values."""
    columns = {field.attname: str(field.column) for field in model._meta.concrete_fields}
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(model._meta.db_table),
        sql.SQL(", ").join([sql.Identifier(columns[name]) for name in names]),
    )
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.cursor.copy(statement) as copy,
    ):
        yield copy


def _preparer(field: Field[Any, Any]) -> Callable[[Any], Any]:
    if isinstance(field, JSONField):
        return lambda value: None if value is None else encode_json(value).decode()
    return lambda value: value


def take_numbers(series: str, count: int) -> range:
    """Take the next numbers of a series. It stays locked until the commit, and a rollback gives them back: no gaps."""
    InvoiceSeries.objects.get_or_create(prefix=series)
    InvoiceSeries.objects.filter(prefix=series).update(last_number=F("last_number") + count)
    last = InvoiceSeries.objects.values_list("last_number", flat=True).get(prefix=series)
    return range(last - count + 1, last + 1)


def numbered(series: str, sequence: int) -> str:
    """Write a number of a series: INV-2026-000001."""
    return f"{series}-{sequence:06d}"


def issue(invoices: Sequence[Invoice], *, now: datetime) -> None:
    """Number drafts and freeze them, in the order given, and pay what credits cover.

    Nothing is locked but the series, the credit grants of their customers and the invoices. The days to pay are the
    customer's, or the usual ones; they count from the invoice's day in its own zone, which is the day printed on it.
    Where nothing is left to pay, the invoice is paid at once.
    """
    if not invoices:
        return
    prefix = f"INV-{now.year}"
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


def _invoice(draft: InvoiceDraft, pk: int, *, grace_days: int) -> Invoice:
    subscription, period = draft.due.subscription, draft.due.period
    return Invoice(
        pk=pk,
        customer_id=subscription.customer_id,
        subscription=subscription,
        kind=draft.due.kind,
        starts_at=period.start,
        ends_at=period.end,
        period_start=period.start_on,
        period_end=period.end_on,
        zone=period.zone,
        currency=draft.currency,
        subtotal=draft.subtotal,
        discount=draft.discount,
        tax=draft.tax,
        tax_included=draft.tax_included,
        taxes=[tax.as_json() for tax in draft.taxes],
        total=draft.total,
        issuer=dict(draft.issuer),
        recipient=dict(draft.recipient),
        plan_name=subscription.plan.name,
        plan_code=subscription.plan.code,
        plan_version=subscription.plan.version,
        watermark=draft.watermark,
        drawn_up_at=draft.drawn_up_at,
        issue_after=issue_after(draft, grace_days=grace_days),
        plan_terms=None if draft.plan_terms is None else dict(draft.plan_terms),
    )


def invoice_line(invoice: Invoice, line: DraftLine) -> InvoiceLine:
    """Give a line as it is stored with its invoice."""
    values = line_values(invoice.pk, line)
    values |= {
        "meter_definition": None if line.meter is None else line.meter.definition(),
        "terms": dict(line.terms),
        "working": [step.as_json() for step in line.working],
    }
    return InvoiceLine(**values)


def line_values(invoice_id: int, line: DraftLine) -> dict[str, Any]:
    """Give what a line is stored with, by the names of its columns, all but its key; JSON as it is."""
    return {
        "invoice_id": invoice_id,
        "n": line.n,
        "kind": line.kind,
        "description": line.description,
        "rate_id": line.rate_id,
        "meter_id": None if line.meter is None else line.meter.pk,
        "meter_definition": line.meter,
        "unit": line.unit,
        "quantity": line.quantity,
        "unit_amount": line.unit_amount,
        "amount": line.amount,
        "discount": line.discount,
        "tax_category": line.tax_category,
        "taxed_by": list(line.taxed_by),
        "terms": line.terms,
        "working": line.working,
        "period_start": line.period.start_on,
        "period_end": line.period.end_on,
        "adjusts_id": line.adjusts_id,
        "adjustment_n": line.adjustment_n,
        "adjusts_plan": line.adjusts_plan,
        "subscription_id": line.subscription_id,
        "fee_start": line.fee_start,
        "fee_n": line.fee_n,
    }


def _copy_lines(invoices: Sequence[Invoice], drafts: Sequence[InvoiceDraft]) -> None:
    """Write the lines of drafts in one COPY, without a model's object for each; what many share is written once."""
    count = sum(len(draft.lines) for draft in drafts)
    if not count:
        return
    ids = iter(_next_ids(InvoiceLine, count))
    names = [field.attname for field in InvoiceLine._meta.concrete_fields if field.attname != "id"]
    definitions: dict[int | None, str | None] = {None: None}
    terms: dict[int, str] = {}  # by identity: the drafts keep them alive until all are written
    with _copying(InvoiceLine, ["id", *names]) as copy:
        for invoice, draft in zip(invoices, drafts, strict=True):
            for line in draft.lines:
                values = line_values(invoice.pk, line)
                meter = line.meter
                if values["meter_id"] not in definitions and meter is not None:
                    definitions[meter.pk] = encode_json(meter.definition()).decode()
                if id(line.terms) not in terms:
                    terms[id(line.terms)] = encode_json(dict(line.terms)).decode()
                values["meter_definition"] = definitions[values["meter_id"]]
                values["terms"] = terms[id(line.terms)]
                values["working"] = encode_json([step.as_json() for step in line.working]).decode()
                copy.write_row([next(ids), *(values[name] for name in names)])


def invoice_discount(invoice: Invoice, discount: DraftDiscount) -> InvoiceDiscount:
    """Give what a coupon took off as it is stored with its invoice."""
    return InvoiceDiscount(
        invoice=invoice,
        n=discount.n,
        customer_coupon_id=discount.customer_coupon_id,
        use_n=discount.use_n,
        name=discount.name,
        kind=discount.kind,
        value=discount.value,
        amount=discount.amount,
    )
