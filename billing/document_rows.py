"""The rows of documents: lines with their working, and the sums below them, in the words of the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from billing.drafts import DraftLine
from billing.explaining import LineWords, explain_line
from billing.formatting import money, number, period
from billing.models import CreditNoteLine, Invoice, InvoiceLine, LineKind
from billing.parts import discounts_of
from billing.wording import label, word

Days = tuple[date, date]
# What these say was written by people, not by the application.
WRITTEN_BY_PEOPLE = (LineKind.USAGE, LineKind.ITEM, LineKind.ONE_TIME)


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """A line as stored or drawn up, and its explanation. `period` is written where it is not the invoice's."""

    line: InvoiceLine | DraftLine
    description: str
    words: LineWords
    period: str


@dataclass(frozen=True, slots=True)
class CreditRow:
    """One line of a credit note; `n` is that of the invoice's line."""

    n: int
    description: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class SumRow:
    """One row below the lines, such as a coupon or a tax rate. `base` is what it was reckoned on, in words."""

    name: str
    amount: Decimal
    base: str = ""


def line_row(line: InvoiceLine | DraftLine, days: Days, *, of: Days, currency: str) -> DocumentLine:
    """Give a line of the days `days` on an invoice of the days `of`."""
    words = explain_line(line, currency=currency)
    return DocumentLine(
        line, _description(line, line.description), words, "" if days == of else period(*days)
    )


def credit_row(line: CreditNoteLine) -> CreditRow:
    """Give a line of a credit note. Its invoice line is loaded by the caller."""
    return CreditRow(line.invoice_line.n, _description(line.invoice_line, line.description), line.amount)


def discount_rows(invoice: Invoice) -> tuple[SumRow, ...]:
    """Give what coupons take off; one query where there is any."""
    if not invoice.discount:
        return ()
    return tuple(SumRow(row.name, row.amount) for row in discounts_of(invoice))


def settled_rows(invoice: Invoice) -> tuple[SumRow, ...]:
    """Give what was paid, credited and written off so far."""
    rows = (
        SumRow(word("credits_used"), invoice.credits_applied),
        SumRow(word("paid"), invoice.amount_paid),
        SumRow(word("credited"), invoice.amount_credited),
        SumRow(word("closed"), invoice.amount_written_off),
    )
    return tuple(row for row in rows if row.amount)


def tax_rows(taxes: Sequence[Mapping[str, Any]], currency: str) -> tuple[SumRow, ...]:
    """Give the tax summary: one row for each rate, with what it was reckoned on."""
    rows = []
    for tax in taxes:
        percent = f" {number(Decimal(str(tax['percent'])))} %" if Decimal(str(tax["percent"])) else ""
        base = money(Decimal(str(tax["base"])), currency)
        on = word("tax_base_included" if tax.get("inclusive") else "tax_base", amount=base)
        name = str(tax["name"]) if tax.get("treatment") == "taxed" else label(str(tax["name"]))
        rows.append(SumRow(f"{name}{percent}".strip() or word("tax"), Decimal(str(tax["amount"])), on))
    return tuple(rows)


def tax_sentences(taxes: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Give why no tax is charged, each reason once. A sentence that staff wrote stays as it is."""
    return tuple(dict.fromkeys(label(str(tax["sentence"])) for tax in taxes if tax.get("sentence")))


def _description(line: InvoiceLine | DraftLine, text: str) -> str:
    return text if line.kind in WRITTEN_BY_PEOPLE else label(text)
