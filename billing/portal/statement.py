"""The statement of account: what was invoiced, credited and paid on some days, and what is due after each."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.core.paginator import InvalidPage, Page, Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.accounts import Statement, StatementRow, balances, statement_file_name, statement_pdf
from billing.portal.access import for_customer, page
from billing.printing import DocumentsUnavailable
from billing.statement_files import DaysForm, statement_csv, usual_spells
from customers.models import Customer
from metering.periods import local_day

PER_PAGE = 50


@require_safe
@for_customer
def statement(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    """Show balances and the statement of the days `first` to `last`, the latest `page` of it when none is chosen.

    404 for a page that there is not.
    """
    now = timezone.now()
    held = balances(customer, now=now)
    chooser = DaysForm(request.GET, customer=customer, now=now)
    shown = chooser.statement() if chooser.is_valid() else None
    chosen = request.GET.copy()
    chosen.pop("page", None)
    return page(
        request,
        "portal/statement.html",
        section="statement",
        balances=held,
        chooser=chooser,
        document=shown,
        part=None if shown is None else _part(shown, request.GET.get("page")),
        spells=usual_spells(local_day(now, customer.timezone)),
        several=len(held) > 1,
        query=chosen.urlencode(),
        status=200 if shown else 400,
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A page of a statement: its entries, and what was owed before them."""

    page: Page[StatementRow]
    before: Decimal


def _part(shown: Statement, wanted: str | None) -> Part:
    pages = Paginator(shown.rows, PER_PAGE)
    try:
        found = pages.page(wanted or pages.num_pages)
    except InvalidPage as missing:
        raise Http404 from missing
    skipped = (found.number - 1) * PER_PAGE
    return Part(found, shown.rows[skipped - 1].balance if skipped else shown.opening)


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
