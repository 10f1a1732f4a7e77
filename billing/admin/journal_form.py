"""Which days to export for accounting, and the files."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse, HttpResponseBase
from unfold.widgets import UnfoldAdminDateWidget, UnfoldAdminSelectWidget

from billing.admin.csv_files import csv_response
from billing.formatting import amount_text
from billing.journal import Entry, entries

COLUMNS = (
    "date", "type", "number", "invoice", "customer_code", "customer", "currency", "net", "tax", "amount", "due_on",
    "text",
)  # fmt: skip
LONGEST = timedelta(days=732)


class JournalForm(forms.Form):
    first = forms.DateField(label="From", widget=UnfoldAdminDateWidget)
    last = forms.DateField(label="Until", widget=UnfoldAdminDateWidget)
    kind = forms.ChoiceField(
        label="File", choices=[("csv", "CSV"), ("json", "JSON")], widget=UnfoldAdminSelectWidget
    )

    def __init__(self, data: Any = None, *, now: datetime) -> None:
        last = now.date().replace(day=1) - timedelta(days=1)
        super().__init__(data, initial={"first": last.replace(day=1), "last": last, "kind": "csv"})

    def clean(self) -> dict[str, Any]:
        sent: dict[str, Any] = super().clean() or {}
        first, last = sent.get("first"), sent.get("last")
        if first and last and not timedelta(0) <= last - first <= LONGEST:
            self.add_error("last", "Choose a day on or after the first, two years later at most.")
        return sent

    def file(self) -> HttpResponseBase:
        """Give the entries in the form that was asked for; amounts below zero take off what customers owe."""
        first, last = self.cleaned_data["first"], self.cleaned_data["last"]
        rows = entries(first=first, last=last)
        name = f"journal-{first:%Y-%m-%d}-{last:%Y-%m-%d}"
        if self.cleaned_data["kind"] == "csv":
            return csv_response(f"{name}.csv", COLUMNS, (list(_values(entry)) for entry in rows))
        body = {
            "first": f"{first}",
            "last": f"{last}",
            "entries": [dict(zip(COLUMNS, _texts(entry), strict=True)) for entry in rows],
        }
        headers = {"Content-Disposition": f'attachment; filename="{name}.json"'}
        return HttpResponse(
            json.dumps(body, ensure_ascii=False), content_type="application/json", headers=headers
        )


def _values(entry: Entry) -> tuple[object, ...]:
    def amount(value: Any) -> Any:
        return "" if value is None else type(value)(amount_text(value, entry.currency))

    return (
        entry.on, entry.kind, entry.number, entry.invoice, entry.customer_code, entry.customer, entry.currency,
        amount(entry.net), amount(entry.tax), amount(entry.amount), entry.due_on or "", entry.text,
    )  # fmt: skip


def _texts(entry: Entry) -> list[str | None]:
    return [None if value == "" else str(value) for value in _values(entry)]
