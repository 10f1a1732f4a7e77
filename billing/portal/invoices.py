"""A customer's invoices: the list and its CSV, one of them explained, its PDF file. Drafts are not shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.paginator import InvalidPage, Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.dispute_rules import disputable_until, is_disputable, visible_disputes
from billing.documents import invoice_document, invoice_file_name, invoice_pdf
from billing.evidence import evidence_file, evidence_lines
from billing.formatting import amount_text
from billing.lifecycle import State, customer_state, in_state, state_of, told_state
from billing.line_events import leads_to_events
from billing.models import Dispute, DisputedState, DisputeState, Invoice, InvoiceLine, InvoiceStatus
from billing.portal.access import for_customer, page
from billing.portal.compared import compared_with_before
from billing.printing import DocumentsUnavailable
from customers.models import Customer
from customers.spreadsheets import csv_cell
from metering.periods import local_day

PER_PAGE = 20
# What a customer looks for. "issued" is all that is to pay, also what is partly paid or overdue.
STATES = (
    State.OVERDUE,
    State.PAID,
    State.CREDITED,
    State.OVERPAID,
    State.VOID,
    State.WRITTEN_OFF,
    State.PART,
)
CHOICES = (
    ("", "All"),
    (InvoiceStatus.ISSUED.value, "To pay"),
    *((state.value, customer_state(state)) for state in STATES),
)
COLUMNS = (
    "number", "first_day", "last_day", "issued_on", "due_on", "status", "currency", "total", "to_pay",
)  # fmt: skip


def visible_invoices(customer: Customer) -> QuerySet[Invoice]:
    """Give the invoices a customer may see, newest first: all of its own but drafts.

    Of a consolidated invoice, who pays sees the whole, and each other customer on it its own part.
    """
    own_parts = Q(part_of__customer=customer)
    return (
        Invoice.objects.filter(~own_parts | Q(part_of=None), customer=customer)
        .exclude(status=InvoiceStatus.DRAFT)
        .select_related("part_of")
    )


def visible_invoice(customer: Customer, number: str) -> Invoice:
    """Give one of them. Raises Http404 for every other number, whoever's it is."""
    return get_object_or_404(visible_invoices(customer), number=number)


def visible_line(customer: Customer, number: str, n: int) -> tuple[Invoice, InvoiceLine]:
    """Give a line that leads to events, and the invoice on which the customer sees it. Raises Http404."""
    found = visible_invoice(customer, number)
    lines = (
        InvoiceLine.objects.filter(Q(invoice=found) | Q(invoice__part_of=found))
        .select_related(
            "invoice__customer",
            "invoice__subscription__plan",
            "invoice__part_of",
            "meter",
            "adjusts__invoice",
        )
        .filter(leads_to_events())
    )
    return found, get_object_or_404(lines, n=n)


def seen_as(part: Invoice, customer: Customer) -> Invoice:
    """Give the invoice on which a customer sees another: who pays for a part sees the whole."""
    whole = part.part_of
    return whole if whole is not None and whole.customer_id == customer.pk else part


class InvoiceFilter(forms.Form):
    """A part of an invoice's number, the year its period began in, and its state."""

    number = forms.CharField(required=False, max_length=60, label="Number", label_suffix="")
    year = forms.TypedChoiceField(required=False, coerce=int, empty_value=None, label_suffix="")
    status = forms.ChoiceField(required=False, choices=CHOICES, label_suffix="")

    def __init__(self, data: Any, *, years: list[int]) -> None:
        super().__init__(data)
        self.fields["year"].choices = [("", "All"), *((year, year) for year in years)]  # type: ignore[attr-defined]

    @property
    def is_filtered(self) -> bool:
        return any(self.cleaned_data.values())

    def choose(self, invoices: QuerySet[Invoice], *, today: date) -> QuerySet[Invoice]:
        """Give the invoices that match what was chosen; what was left open leaves nothing out."""
        number, year, status = (self.cleaned_data[name] for name in ("number", "year", "status"))
        if number:
            invoices = invoices.filter(number__icontains=number)
        if year:
            invoices = invoices.filter(period_start__year=year)
        if status == InvoiceStatus.ISSUED:
            return invoices.filter(status=InvoiceStatus.ISSUED)
        return in_state(invoices, State(status), today=today) if status else invoices


def _chosen(
    request: HttpRequest, customer: Customer, *, now: datetime
) -> tuple[InvoiceFilter, QuerySet[Invoice]]:
    """Read what was chosen; Http404 for values the page does not offer."""
    visible = visible_invoices(customer)
    years = [day.year for day in visible.dates("period_start", "year", order="DESC")]
    chooser = InvoiceFilter(request.GET, years=years)
    if not chooser.is_valid():
        raise Http404
    return chooser, chooser.choose(visible, today=local_day(now, customer.timezone))


@require_safe
@for_customer
def invoices(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    """List invoices by `number`, `year`, `status` and `page`; 404 for values the page does not offer."""
    chooser, found = _chosen(request, customer, now=timezone.now())
    try:
        shown = Paginator(found, PER_PAGE).page(request.GET.get("page", 1))
    except InvalidPage as missing:
        raise Http404 from missing
    chosen = request.GET.copy()
    chosen.pop("page", None)
    mark_disputed(shown)
    return page(
        request,
        "portal/invoices.html",
        section="invoices",
        chooser=chooser,
        invoices=shown,
        is_filtered=chooser.is_filtered,
        any_dispute=visible_disputes(customer).exists(),
        any_invoice=len(chooser.fields["year"].choices) > 1,  # type: ignore[attr-defined]
        query=chosen.urlencode(),
    )


@require_safe
@for_customer
def invoices_file(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    """Download the list, as it is filtered, as CSV."""
    now = timezone.now()
    _, found = _chosen(request, customer, now=now)
    return HttpResponse(
        _csv(found, now=now),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="invoices.csv"'},
    )


def _csv(invoices: Iterable[Invoice], *, now: datetime) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for each in invoices:
        issued_on = each.issued_at and local_day(each.issued_at, each.zone)
        texts = (
            each.number, each.period_start, each.period_end - timedelta(days=1), issued_on, each.due_on,
            told_state(each, now=now), each.currency,
        )  # fmt: skip
        to_pay = each.amount_due if each.status == InvoiceStatus.ISSUED else Decimal(0)
        amounts = (amount_text(amount, each.currency) for amount in (each.total, to_pay))
        writer.writerow((*map(csv_cell, texts), *amounts))
    return file.getvalue()


@require_safe
@for_customer
def invoice(request: HttpRequest, *, customer: Customer, number: str) -> HttpResponseBase:
    """Show one invoice with the working of every line."""
    found = visible_invoice(customer, number)
    now = timezone.now()
    counted = evidence_lines(found)
    return page(
        request,
        "portal/invoice.html",
        section="invoices",
        invoice=found,
        document=invoice_document(found),
        payments=found.payments.order_by("received_on", "pk"),
        notes=found.credit_notes.order_by("issued_at"),
        compared=compared_with_before(found, visible_invoices(customer))
        if found.status != InvoiceStatus.VOID
        else None,
        to_pay=found.status == InvoiceStatus.ISSUED,
        is_overdue=state_of(found, now=now) == State.OVERDUE,
        has_evidence=bool(counted),
        dispute_until=max(
            (
                until
                for each in counted
                if is_disputable(each, now=now) and (until := disputable_until(each.invoice))
            ),
            default=None,
        ),
        disputes=[dispute_words(each) for each in disputes_on([found])],
    )


def disputes_on(invoices: Collection[Invoice]) -> QuerySet[Dispute]:
    """Give the disputes of invoices and of the parts printed on them, the newest first."""
    rows = Dispute.objects.filter(Q(invoice__in=invoices) | Q(invoice__part_of__in=invoices))
    return rows.select_related("invoice__part_of", "customer").prefetch_related("outcomes")


def dispute_words(dispute: Dispute) -> dict[str, Any]:
    """Give what a list says of a dispute; its outcomes are loaded."""
    states = [each.state for each in dispute.outcomes.all()]
    counts = [(label, states.count(state)) for state, label in DisputedState.choices]
    return {
        "dispute": dispute,
        "count": len(states),
        "said": ", ".join(f"{count} {label.lower()}" for label, count in counts if count),
    }


def mark_disputed(invoices: Iterable[Any]) -> Sequence[Any]:
    """Write on each invoice of a list how many of its disputes wait, and how many were decided."""
    rows = list(invoices)
    by_id = {each.pk: each for each in rows}
    for each in rows:
        each.open_disputes = each.decided_disputes = 0
    for dispute in disputes_on(rows):
        invoice = by_id.get(dispute.invoice_id) or by_id.get(dispute.invoice.part_of_id or 0)
        if invoice is not None and dispute.state == DisputeState.OPEN:
            invoice.open_disputes += 1
        elif invoice is not None:
            invoice.decided_disputes += 1
    return rows


@require_safe
@for_customer
def evidence(request: HttpRequest, *, customer: Customer, number: str, kind: str) -> HttpResponseBase:
    """Download every outcome that an invoice billed, as CSV or JSON."""
    return evidence_file(visible_invoice(customer, number), kind)


@require_safe
@for_customer
def invoice_file(request: HttpRequest, *, customer: Customer, number: str) -> HttpResponseBase:
    """Download one invoice as PDF."""
    found = visible_invoice(customer, number)
    try:
        content = invoice_pdf(found)
    except DocumentsUnavailable:
        return page(request, "portal/no_pdf.html", section="invoices", invoice=found, status=503)
    name = invoice_file_name(found)
    return HttpResponse(
        content,
        content_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
