"""Invoices and credit notes as pages and PDF files. What is printed was frozen with them; rendering fetches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.template.loader import render_to_string

from billing.document_rows import (
    CreditRow,
    DocumentLine,
    SumRow,
    credit_row,
    discount_rows,
    line_row,
    settled_rows,
    tax_rows,
    tax_sentences,
)
from billing.drafts import InvoiceDraft
from billing.models import CreditNote, Invoice, InvoiceKind, InvoiceStatus
from billing.parties import as_written_for
from billing.parts import lines_of, parts_of
from billing.printing import logo_of, pdf_of, plain_name
from billing.wording import word
from metering.periods import local_day

MARKS = {InvoiceStatus.DRAFT: "Draft", InvoiceStatus.VOID: "Void", InvoiceStatus.PAID: "Paid"}


@dataclass(frozen=True, slots=True)
class LineGroup:
    """The lines of one customer on a consolidated invoice. `subtotal` is what they come to before coupons and tax.

    `zone` is written where the customer's days begin at another moment than the payer's.
    """

    customer: str
    plans: tuple[str, ...]
    zone: str
    lines: tuple[DocumentLine, ...]
    subtotal: Decimal


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """What an invoice shows. `[period_start, period_end)` are local days in `zone`; amounts in major units.

    `mark` is printed large on what is not simply an invoice to pay: Draft, Void, Paid. `settled` are the payments,
    credits, credit notes and write-offs so far, each to be taken off the total. `groups` are the lines by customer
    where several are billed together, empty elsewhere. `paid_by` names who pays for a part; nothing is due on it.
    """

    number: str
    mark: str
    issuer: Mapping[str, str]
    recipient: Mapping[str, str]
    issued_on: date | None
    due_on: date | None
    period_start: date
    period_end: date
    zone: str
    plan_name: str
    currency: str
    lines: tuple[DocumentLine, ...]
    subtotal: Decimal
    discounts: tuple[SumRow, ...]
    tax: Decimal
    taxes: tuple[SumRow, ...]
    sentences: tuple[str, ...]
    total: Decimal
    settled: tuple[SumRow, ...]
    paid: Decimal
    due: Decimal
    one_off: bool = False
    groups: tuple[LineGroup, ...] = ()
    paid_by: str = ""


@dataclass(frozen=True, slots=True)
class CreditNoteDocument:
    """What a credit note shows. `due_after` is what is due on the invoice as it stands today."""

    number: str
    invoice_number: str
    invoice_issued_on: date | None
    issued_on: date
    issuer: Mapping[str, str]
    recipient: Mapping[str, str]
    reason: str
    currency: str
    lines: tuple[CreditRow, ...]
    subtotal: Decimal
    discount: Decimal
    tax: Decimal
    taxes: tuple[SumRow, ...]
    total: Decimal


def invoice_document(invoice: Invoice | InvoiceDraft) -> InvoiceDocument:
    """Collect what an invoice shows, for one stored or only drawn up.

    Stored lines cost one query; those of a consolidated invoice four, whatever the number of its parts.
    """
    if isinstance(invoice, InvoiceDraft):
        return _drawn_up(invoice)
    invoice_days = invoice.period_start, invoice.period_end
    lines = {
        line.pk: line_row(
            line, (line.period_start, line.period_end), of=invoice_days, currency=invoice.currency
        )
        for line in lines_of(invoice)
    }
    taxes: Sequence[Mapping[str, Any]] = invoice.taxes
    return InvoiceDocument(
        number=invoice.number or "",
        mark=_mark(invoice),
        issuer=invoice.issuer,
        recipient=invoice.recipient,
        issued_on=invoice.issued_at and local_day(invoice.issued_at, invoice.zone),
        due_on=invoice.due_on,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        zone=invoice.zone,
        plan_name=invoice.plan_name,
        currency=invoice.currency,
        lines=tuple(lines.values()),
        subtotal=invoice.subtotal,
        discounts=discount_rows(invoice),
        tax=invoice.tax,
        taxes=tax_rows(taxes, invoice.currency),
        sentences=tax_sentences(taxes),
        total=invoice.total,
        settled=settled_rows(invoice),
        paid=invoice.amount_paid,
        due=Decimal(0) if invoice.status in (InvoiceStatus.VOID, InvoiceStatus.PART) else invoice.amount_due,
        one_off=invoice.kind == InvoiceKind.ONE_OFF,
        groups=_groups(invoice, lines),
        paid_by="" if invoice.part_of is None else invoice.part_of.recipient.get("name", ""),
    )


def _groups(invoice: Invoice, lines: Mapping[int, DocumentLine]) -> tuple[LineGroup, ...]:
    """Give the lines of a consolidated invoice by customer, in the order of its parts."""
    by_customer: dict[int, list[Invoice]] = {}
    for part in parts_of(invoice):
        by_customer.setdefault(part.customer_id, []).append(part)
    return tuple(
        LineGroup(
            customer=parts[0].recipient.get("name", ""),
            plans=tuple(dict.fromkeys(part.plan_name for part in parts)),
            zone="" if parts[0].zone == invoice.zone else parts[0].zone,
            lines=tuple(lines[line.pk] for part in parts for line in part.lines.all()),
            subtotal=sum((part.subtotal for part in parts), Decimal(0)),
        )
        for parts in by_customer.values()
    )


def credit_note_document(note: CreditNote) -> CreditNoteDocument:
    """Collect what a credit note shows. Its invoice is loaded by the caller; lines cost one query."""
    invoice = note.invoice
    return CreditNoteDocument(
        number=note.number,
        invoice_number=invoice.number or "",
        invoice_issued_on=invoice.issued_at and local_day(invoice.issued_at, invoice.zone),
        issued_on=local_day(note.issued_at, note.zone),
        issuer=note.issuer,
        recipient=note.recipient,
        reason=note.reason,
        currency=note.currency,
        lines=tuple(map(credit_row, note.lines.select_related("invoice_line"))),
        subtotal=note.subtotal,
        discount=note.discount,
        tax=note.tax,
        taxes=tax_rows(note.taxes, note.currency),
        total=note.total,
    )


def invoice_html(invoice: Invoice | InvoiceDraft) -> str:
    """Give the printable page of an invoice, complete in itself: no link, script or picture from anywhere.

    It is in its recipient's language, with the words frozen with it; its locale writes amounts and days.
    """
    with as_written_for(invoice.recipient) as words:
        context = {"document": invoice_document(invoice), "words": words, "logo": logo_of(invoice.issuer)}
        return render_to_string("documents/invoice.html", context)


def invoice_pdf(invoice: Invoice | InvoiceDraft) -> bytes:
    """Give an invoice as a PDF file; the same invoice gives the same file. Raises DocumentsUnavailable."""
    return pdf_of(invoice_html(invoice))


def credit_note_html(note: CreditNote) -> str:
    """Give the printable page of a credit note, complete in itself."""
    with as_written_for(note.recipient) as words:
        context = {"document": credit_note_document(note), "words": words, "logo": logo_of(note.issuer)}
        return render_to_string("documents/credit_note.html", context)


def credit_note_pdf(note: CreditNote) -> bytes:
    """Give a credit note as a PDF file. Raises DocumentsUnavailable."""
    return pdf_of(credit_note_html(note))


def invoice_file_name(invoice: Invoice | InvoiceDraft, *, suffix: str = ".pdf") -> str:
    """Give a file name of plain letters: INV-2026-000001.pdf, draft-acme-2026-10-01.pdf."""
    if isinstance(invoice, Invoice) and invoice.number:
        return f"{invoice.number}{suffix}"
    start = invoice.due.period.start_on if isinstance(invoice, InvoiceDraft) else invoice.period_start
    return f"draft-{plain_name(invoice.recipient.get('code', ''))}-{start:%Y-%m-%d}{suffix}"


def credit_note_file_name(note: CreditNote) -> str:
    return f"{note.number}.pdf"


def _mark(invoice: Invoice) -> str:
    if invoice.status == InvoiceStatus.PAID and not (invoice.amount_paid or invoice.credits_applied):
        return ""  # nothing was to pay, or all of it was credited
    return MARKS.get(InvoiceStatus(invoice.status), "")


def _drawn_up(draft: InvoiceDraft) -> InvoiceDocument:
    covered = draft.due.period
    days = covered.start_on, covered.end_on
    taxes = [tax.as_json() for tax in draft.taxes]
    discounts = tuple(SumRow(each.name, each.amount) for each in draft.discounts)
    used = (SumRow(word("credits_used"), draft.credits_applied),) if draft.credits_applied else ()
    return InvoiceDocument(
        number="",
        mark=MARKS[InvoiceStatus.DRAFT],
        issuer=draft.issuer,
        recipient=draft.recipient,
        issued_on=None,
        due_on=None,
        period_start=covered.start_on,
        period_end=covered.end_on,
        zone=covered.zone,
        plan_name=draft.due.subscription.plan.name,
        currency=draft.currency,
        lines=tuple(
            line_row(line, (line.period.start_on, line.period.end_on), of=days, currency=draft.currency)
            for line in draft.lines
        ),
        subtotal=draft.subtotal,
        discounts=discounts,
        tax=draft.tax,
        taxes=tax_rows(taxes, draft.currency),
        sentences=tax_sentences(taxes),
        total=draft.total,
        settled=used,
        paid=Decimal(0),
        due=draft.amount_due,
    )
