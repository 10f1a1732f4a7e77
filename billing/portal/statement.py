"""The statement of account: what was invoiced, credited and paid on some days, and what is due after each."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.accounts import balances, statement_file_name, statement_pdf
from billing.portal.access import for_customer, page
from billing.printing import DocumentsUnavailable
from billing.statement_files import DaysForm, statement_csv
from customers.models import Customer


@require_safe
@for_customer
def statement(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    """Show balances and the statement of the days `first` to `last`."""
    now = timezone.now()
    held = balances(customer, now=now)
    chooser = DaysForm(request.GET, customer=customer, now=now)
    shown = chooser.statement() if chooser.is_valid() else None
    return page(
        request,
        "portal/statement.html",
        section="statement",
        balances=held,
        chooser=chooser,
        document=shown,
        several=len(held) > 1,
        query=request.GET.urlencode(),
        status=200 if shown else 400,
    )


@require_safe
@for_customer
def statement_file(request: HttpRequest, *, customer: Customer, kind: str) -> HttpResponseBase:
    """Download the statement as `pdf` or `csv`; 404 for days that cannot be chosen."""
    chooser = DaysForm(request.GET, customer=customer, now=timezone.now())
    if not chooser.is_valid():
        raise Http404
    shown = chooser.statement()
    name = statement_file_name(shown, suffix=f".{kind}")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if kind == "csv":
        return HttpResponse(statement_csv(shown), content_type="text/csv; charset=utf-8", headers=headers)
    try:
        return HttpResponse(statement_pdf(shown), content_type="application/pdf", headers=headers)
    except DocumentsUnavailable:
        return page(request, "portal/no_pdf.html", section="statement", status=503)
