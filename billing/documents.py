"""Invoices as pages and PDF files. All that is printed is in the invoice; rendering fetches nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.template.loader import render_to_string

from billing.drafts import DraftLine, InvoiceDraft
from billing.errors import BillingError
from billing.explaining import LineWords, explain_line
from billing.formatting import period
from billing.models import Invoice, InvoiceLine, InvoiceStatus
from metering.periods import local_day

Days = tuple[date, date]
MARKS = {InvoiceStatus.DRAFT: "Draft", InvoiceStatus.VOID: "Void", InvoiceStatus.PAID: "Paid"}


class DocumentsUnavailable(BillingError):
    """This machine cannot make PDF files."""

    code = "documents_unavailable"


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """A line as stored or drawn up, and its explanation. `period` is written where it is not the invoice's."""

    line: InvoiceLine | DraftLine
    words: LineWords
    period: str


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """What an invoice shows. `[period_start, period_end)` are local days in `zone`; amounts in major units.

    `mark` is printed large on what is not simply an invoice to pay: Draft, Void, Paid.
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
    tax: Decimal
    total: Decimal
    paid: Decimal
    due: Decimal


def invoice_document(invoice: Invoice | InvoiceDraft) -> InvoiceDocument:
    """Collect what an invoice shows, for one stored or only drawn up. Lines cost one query when stored."""
    if isinstance(invoice, InvoiceDraft):
        return _drawn_up(invoice)
    invoice_days = invoice.period_start, invoice.period_end
    return InvoiceDocument(
        number=invoice.number or "",
        mark=""
        if invoice.total == 0 and invoice.status == InvoiceStatus.PAID
        else MARKS.get(InvoiceStatus(invoice.status), ""),
        issuer=invoice.issuer,
        recipient=invoice.recipient,
        issued_on=invoice.issued_at and local_day(invoice.issued_at, invoice.zone),
        due_on=invoice.due_on,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        zone=invoice.zone,
        plan_name=invoice.plan_name,
        currency=invoice.currency,
        lines=tuple(
            _line(line, (line.period_start, line.period_end), of=invoice_days, currency=invoice.currency)
            for line in invoice.lines.all()
        ),
        subtotal=invoice.subtotal,
        tax=invoice.tax,
        total=invoice.total,
        paid=invoice.amount_paid,
        due=Decimal(0) if invoice.status == InvoiceStatus.VOID else invoice.amount_due,
    )


def invoice_html(invoice: Invoice | InvoiceDraft) -> str:
    """Give the printable page of an invoice, complete in itself: no link, script or picture from anywhere."""
    return render_to_string("documents/invoice.html", {"document": invoice_document(invoice)})


def invoice_pdf(invoice: Invoice | InvoiceDraft) -> bytes:
    """Give an invoice as a PDF file; the same invoice gives the same file.

    Raises DocumentsUnavailable when the system libraries of the PDF engine are missing.
    """
    html = invoice_html(invoice)
    weasyprint = _engine()
    identifier = hashlib.sha256(html.encode()).digest()[:16]
    # Names, addresses and descriptions come from outside; whatever they say, it reaches nothing.
    refuses_all_but_embedded = weasyprint.urls.URLFetcher(allowed_protocols=["data"])
    page = weasyprint.HTML(string=html, base_url=None, url_fetcher=refuses_all_but_embedded)
    return bytes(page.write_pdf(pdf_identifier=identifier, pdf_tags=True))


def invoice_file_name(invoice: Invoice | InvoiceDraft, *, suffix: str = ".pdf") -> str:
    """Give a file name of plain letters: INV-2026-000001.pdf, draft-acme-2026-10-01.pdf."""
    if isinstance(invoice, Invoice) and invoice.number:
        return f"{invoice.number}{suffix}"
    start = invoice.due.period.start_on if isinstance(invoice, InvoiceDraft) else invoice.period_start
    code = "".join(
        letter for letter in invoice.recipient.get("code", "") if letter.isalnum() or letter in "._-"
    )
    return f"draft-{code}-{start:%Y-%m-%d}{suffix}"


def _drawn_up(draft: InvoiceDraft) -> InvoiceDocument:
    covered = draft.due.period
    days = covered.start_on, covered.end_on
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
            _line(line, (line.period.start_on, line.period.end_on), of=days, currency=draft.currency)
            for line in draft.lines
        ),
        subtotal=draft.subtotal,
        tax=draft.tax,
        total=draft.total,
        paid=Decimal(0),
        due=draft.total,
    )


def _line(line: InvoiceLine | DraftLine, days: Days, *, of: Days, currency: str) -> DocumentLine:
    return DocumentLine(line, explain_line(line, currency=currency), "" if days == of else period(*days))


def _engine() -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where libraries are missing it prints an essay
            import weasyprint
            import weasyprint.urls
    except OSError as missing:
        raise DocumentsUnavailable(
            "PDF files need system libraries that this server lacks: " + str(missing).splitlines()[0] + ". "
            "On Debian or Ubuntu: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0."
        ) from missing
    return weasyprint
