"""The statement of account: what was invoiced, credited and paid on some days, and what is due after each."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.accounts import Statement, balances, statement_file_name, statement_of, statement_pdf
from billing.api.amounts import amount_text
from billing.documents import DocumentsUnavailable
from billing.portal.access import for_customer, page
from customers.models import Customer
from customers.spreadsheets import csv_cell
from metering.periods import local_day

EARLIEST, LATEST = date(2000, 1, 1), date(2100, 1, 1)


class DaysForm(forms.Form):
    """Which days and which currency; the last twelve months in the customer's own currency when nothing is chosen."""

    first = forms.DateField(
        label="From", required=False, label_suffix="", widget=forms.DateInput(attrs={"type": "date"})
    )
    last = forms.DateField(
        label="Until", required=False, label_suffix="", widget=forms.DateInput(attrs={"type": "date"})
    )
    currency = forms.ChoiceField(required=False, label_suffix="")

    def __init__(self, data: Any, *, currencies: list[str], today: date) -> None:
        usual = {"first": today - timedelta(days=365), "last": today, "currency": currencies[0]}
        super().__init__({name: data.get(name) or value for name, value in usual.items()})
        choice: Any = self.fields["currency"]
        choice.choices = [(currency, currency) for currency in currencies]

    def clean(self) -> dict[str, Any]:
        sent: dict[str, Any] = super().clean() or {}
        first, last = sent.get("first"), sent.get("last")
        if first and last and not EARLIEST <= first <= last <= LATEST:
            self.add_error("last", "Choose a day on or after the first.")
        return sent


@require_safe
@for_customer
def statement(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    """Show balances and the statement of the days `first` to `last`."""
    now = timezone.now()
    held = balances(customer, now=now)
    chooser = _chooser(request, customer)
    shown = _statement(chooser, customer) if chooser.is_valid() else None
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
    chooser = _chooser(request, customer)
    if not chooser.is_valid():
        raise Http404
    shown = _statement(chooser, customer)
    name = statement_file_name(shown, suffix=f".{kind}")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if kind == "csv":
        return HttpResponse(_csv(shown), content_type="text/csv; charset=utf-8", headers=headers)
    try:
        return HttpResponse(statement_pdf(shown), content_type="application/pdf", headers=headers)
    except DocumentsUnavailable:
        return page(request, "portal/no_pdf.html", section="statement", status=503)


def _chooser(request: HttpRequest, customer: Customer) -> DaysForm:
    now = timezone.now()
    currencies = [balance.currency for balance in balances(customer, now=now)]
    ordered = sorted({customer.currency, *currencies}, key=lambda each: (each != customer.currency, each))
    return DaysForm(request.GET, currencies=ordered, today=local_day(now, customer.timezone))


def _statement(chooser: DaysForm, customer: Customer) -> Statement:
    sent = chooser.cleaned_data
    return statement_of(customer, sent["currency"], first=sent["first"], last=sent["last"])


def _csv(shown: Statement) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(("date", "type", "number", "invoice", "text", "currency", "amount", "balance"))
    opening = amount_text(shown.opening, shown.currency)
    writer.writerow((shown.first, "balance_before", "", "", "", shown.currency, "", opening))
    for row in shown.rows:
        entry = row.entry
        amount, balance = (amount_text(value, shown.currency) for value in (entry.amount, row.balance))
        cells = (entry.on, entry.kind, entry.number, entry.invoice, entry.text, shown.currency)
        writer.writerow((*map(csv_cell, cells), amount, balance))
    return file.getvalue()
