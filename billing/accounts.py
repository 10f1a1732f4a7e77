"""A customer's account: what is due by currency, and the statement that explains how it came to that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Min, Q, Sum
from django.template.loader import render_to_string

from billing.journal import Entry, entries, told_to_customer
from billing.models import BILLED, Invoice, InvoiceStatus
from billing.models.invoices import SETTLED
from billing.parties import as_written_for, issuer_now, recipient_of
from billing.printing import logo_of, pdf_of, plain_name
from customers.models import Customer
from metering.periods import local_day

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Balance:
    """What a customer owes in one currency; `overdue` is the part past its due day, `credit` what is theirs.

    `unpaid` counts the invoices that are still to pay, `first_due_on` is the earliest of their due days.
    """

    currency: str
    due: Decimal
    overdue: Decimal
    credit: Decimal
    unpaid: int
    first_due_on: date | None


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One entry, and what was owed after it."""

    entry: Entry
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Statement:
    """The entries of the days `[first, last]` in one currency, between two balances."""

    issuer: Mapping[str, str]
    recipient: Mapping[str, str]
    currency: str
    first: date
    last: date
    opening: Decimal
    rows: tuple[StatementRow, ...]

    @property
    def closing(self) -> Decimal:
        return self.rows[-1].balance if self.rows else self.opening


def balances(customer: Customer, *, now: datetime) -> list[Balance]:
    """Give what is due by currency, in one query; a currency without invoices is left out."""
    today = local_day(now, customer.timezone)
    due = F("total") - SETTLED
    unpaid = Q(status=InvoiceStatus.ISSUED)
    late = unpaid & Q(due_on__lt=today)
    rows = (
        Invoice.objects.filter(customer=customer, status__in=BILLED, part_of=None)
        .order_by("currency")
        .values("currency")
        .annotate(
            open=Sum(due, filter=unpaid),
            late=Sum(due, filter=late),
            over=Sum(due, filter=Q(status=InvoiceStatus.PAID)),
            unpaid=Count("pk", filter=unpaid),
            first=Min("due_on", filter=unpaid),
        )
    )
    return [
        Balance(
            currency=row["currency"],
            due=row["open"] or ZERO,
            overdue=row["late"] or ZERO,
            credit=-(row["over"] or ZERO),
            unpaid=row["unpaid"],
            first_due_on=row["first"],
        )
        for row in rows
    ]


def statement_of(customer: Customer, currency: str, *, first: date, last: date) -> Statement:
    """Give the statement of account of some days; the opening balance is the sum of everything before."""
    opening, rows = ZERO, []
    running = ZERO
    for entry in entries(first=None, last=last, customer=customer):
        if entry.currency != currency:
            continue
        running += entry.amount
        if entry.on < first:
            opening = running
        else:
            rows.append(StatementRow(told_to_customer(entry), running))
    issuer = issuer_now()
    return Statement(issuer, recipient_of(customer), currency, first, last, opening, tuple(rows))


def statement_pdf(statement: Statement) -> bytes:
    """Give a statement as a PDF file. Raises DocumentsUnavailable."""
    with as_written_for(statement.recipient) as words:
        context: dict[str, Any] = {"document": statement, "words": words, "logo": logo_of(statement.issuer)}
        return pdf_of(render_to_string("documents/statement.html", context))


def statement_file_name(statement: Statement, *, suffix: str) -> str:
    code = plain_name(statement.recipient.get("code", ""))
    return (
        f"statement-{code}-{statement.currency}-{statement.first:%Y-%m-%d}-{statement.last:%Y-%m-%d}{suffix}"
    )
