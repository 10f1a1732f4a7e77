"""What changed what customers owe, entry by entry: invoices, credit notes, payments, write-offs, voids.

The accounting export and the statement of account read the same entries, so both always end at what is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeVar

from django.db.models import F, Q, QuerySet

from billing.models import ChangeKind, CreditNote, Invoice, InvoiceChange, InvoiceStatus, Payment
from billing.wording import word
from customers.models import Customer
from metering.periods import local_day

# The kinds in the order of a day, and the words for each.
KINDS = {
    "invoice": "invoice",
    "credits_applied": "credits_used",
    "credit_note": "credit_note",
    "payment": "payment",
    "refund": "refund",
    "moved": "moved",
    "reversal": "reversal",
    "write_off": "written_off",
    "reinstate": "reinstate",
    "void": "invoice_voided",
    "closed": "closed",
    "reopened": "reopened",
}
# What a customer is told of a decision that is the company's own affair; the reason is not said.
TOLD = {"write_off": "closed", "reinstate": "reopened"}
# A day begins up to fourteen hours before it does in UTC, and ends up to twelve after.
A_DAY = timedelta(days=1)
Row = TypeVar("Row", Invoice, CreditNote, InvoiceChange)


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. `amount` adds to what the customer owes, or takes off it; `net` and `tax` are parts of documents.

    `on` is the day in the invoice's zone, for payments the day of the money.
    """

    on: date
    at: datetime
    kind: str
    number: str
    invoice: str
    customer_code: str
    customer: str
    currency: str
    net: Decimal | None
    tax: Decimal | None
    amount: Decimal
    due_on: date | None
    note: str
    method: str = ""

    @property
    def title(self) -> str:
        """Say what happened, in the language of the document that is being written."""
        return word(KINDS[self.kind])

    @property
    def text(self) -> str:
        """Give what else there is to say: how was paid and with which reference, or why."""
        return f"{word(self.method) if self.method else ''} {self.note}".strip()


def told_to_customer(entry: Entry) -> Entry:
    """Give an entry as the customer's statement says it."""
    told = TOLD.get(entry.kind)
    return entry if told is None else replace(entry, kind=told, note="", method="")


def entries(*, first: date | None, last: date, customer: Customer | None = None) -> list[Entry]:
    """Give the entries of the days `[first, last]`, oldest first; None: from the beginning."""
    found = [
        entry
        for entry in _all(first, last, customer)
        if (first is None or first <= entry.on) and entry.on <= last
    ]
    return sorted(found, key=lambda entry: (entry.on, entry.at, list(KINDS).index(entry.kind), entry.number))


def _all(first: date | None, last: date, customer: Customer | None) -> Iterator[Entry]:
    of_invoice = Q() if customer is None else Q(invoice__customer=customer)
    of = Q() if customer is None else Q(customer=customer)
    issued = (
        Invoice.objects.filter(of, part_of=None)
        .exclude(status=InvoiceStatus.DRAFT)
        .select_related("customer")
    )
    for invoice in _between(issued, "issued_at", first, last):
        yield from _issued(invoice)
    notes = CreditNote.objects.filter(of_invoice).select_related("invoice__customer")
    for note in _between(notes, "issued_at", first, last):
        on = local_day(note.issued_at, note.zone)
        net = note.tax - note.total + note.tax_included
        yield _entry(note.invoice, on, note.issued_at, "credit_note", note.number, -note.total, note=note.reason,
                     net=net, tax=-note.tax - note.tax_included)  # fmt: skip
    payments = Payment.objects.filter(of_invoice, received_on__lte=last).select_related("invoice__customer")
    if first is not None:
        payments = payments.filter(received_on__gte=first)
    for payment in payments.iterator(1000):
        yield _entry(payment.invoice, payment.received_on, payment.recorded_at, payment.kind, str(payment.pk),
                     -payment.amount, note=payment.reason or payment.reference, method=payment.method)  # fmt: skip
    changes = InvoiceChange.objects.filter(of_invoice).exclude(kind=ChangeKind.APPROVED)
    for change in _between(changes.select_related("invoice__customer"), "recorded_at", first, last):
        invoice = change.invoice
        on = local_day(change.recorded_at, invoice.zone)
        amount = invoice.credits_applied - invoice.total if change.kind == ChangeKind.VOID else -change.amount
        number = invoice.number or ""
        yield _entry(invoice, on, change.recorded_at, change.kind, number, amount, note=change.reason)


def _issued(invoice: Invoice) -> Iterator[Entry]:
    assert invoice.issued_at is not None  # held by invoice_numbered_when_issued
    on = local_day(invoice.issued_at, invoice.zone)
    tax = invoice.tax + invoice.tax_included
    yield _entry(invoice, on, invoice.issued_at, "invoice", invoice.number or "", invoice.total,
                 note=invoice.plan_name, net=invoice.total - tax, tax=tax, due_on=invoice.due_on)  # fmt: skip
    if invoice.credits_applied:
        yield _entry(
            invoice, on, invoice.issued_at, "credits_applied", invoice.number or "", -invoice.credits_applied
        )


def _between(rows: QuerySet[Row], name: str, first: date | None, last: date) -> Iterator[Row]:
    rows = rows.filter(**{f"{name}__lt": datetime.combine(last, time(), UTC) + 2 * A_DAY})
    if first is not None:
        rows = rows.filter(**{f"{name}__gte": datetime.combine(first, time(), UTC) - A_DAY})
    return rows.order_by(F(name), "pk").iterator(1000)


def _entry(
    invoice: Invoice,
    on: date,
    at: datetime,
    kind: str,
    number: str,
    amount: Decimal,
    *,
    note: str = "",
    method: str = "",
    net: Decimal | None = None,
    tax: Decimal | None = None,
    due_on: date | None = None,
) -> Entry:
    return Entry(on, at, kind, number, invoice.number or "", invoice.customer.code, invoice.recipient.get("name", ""),
                 invoice.currency, net, tax, amount, due_on, note, method)  # fmt: skip
