"""A customer's credit notes: one of them, and its PDF file. Invoices and the statement lead to them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from billing.documents import credit_note_document, credit_note_file_name, credit_note_pdf
from billing.models import CreditNote
from billing.portal.access import for_customer, page
from billing.printing import DocumentsUnavailable
from customers.models import Customer


def visible_credit_note(customer: Customer, number: str) -> CreditNote:
    """Give one of a customer's credit notes. Raises Http404 for every other number, whoever's it is."""
    rows = CreditNote.objects.filter(invoice__customer=customer).select_related("invoice")
    return get_object_or_404(rows, number=number)


@require_safe
@for_customer
def credit_note(request: HttpRequest, *, customer: Customer, number: str) -> HttpResponseBase:
    """Show one credit note with its lines and tax."""
    found = visible_credit_note(customer, number)
    return page(
        request,
        "portal/credit_note.html",
        section="invoices",
        note=found,
        document=credit_note_document(found),
    )


@require_safe
@for_customer
def credit_note_file(request: HttpRequest, *, customer: Customer, number: str) -> HttpResponseBase:
    """Download one credit note as PDF."""
    found = visible_credit_note(customer, number)
    try:
        content = credit_note_pdf(found)
    except DocumentsUnavailable:
        return page(request, "portal/no_pdf.html", section="invoices", invoice=found.invoice, status=503)
    return HttpResponse(
        content,
        content_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="{credit_note_file_name(found)}"'},
    )
