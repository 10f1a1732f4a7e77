"""Which days and currency a statement of account is for, and the statement as a file of rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django import forms

from billing.accounts import Statement, balances, statement_of
from billing.formatting import amount_text
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

    def __init__(self, data: Mapping[str, Any], *, customer: Customer, now: datetime) -> None:
        held = [balance.currency for balance in balances(customer, now=now)]
        currencies = sorted({customer.currency, *held}, key=lambda each: (each != customer.currency, each))
        today = local_day(now, customer.timezone)
        usual = {"first": today - timedelta(days=365), "last": today, "currency": currencies[0]}
        super().__init__({name: data.get(name) or value for name, value in usual.items()})
        self.customer = customer
        choice: Any = self.fields["currency"]
        choice.choices = [(currency, currency) for currency in currencies]

    def clean(self) -> dict[str, Any]:
        sent: dict[str, Any] = super().clean() or {}
        first, last = sent.get("first"), sent.get("last")
        if first and last and not EARLIEST <= first <= last <= LATEST:
            self.add_error("last", "Choose a day on or after the first.")
        return sent

    def statement(self) -> Statement:
        """Give what was chosen; the form is valid."""
        sent = self.cleaned_data
        return statement_of(self.customer, sent["currency"], first=sent["first"], last=sent["last"])


@dataclass(frozen=True, slots=True)
class Spell:
    """Days that people often ask for, first and last included."""

    label: str
    first: date
    last: date


def usual_spells(today: date) -> list[Spell]:
    """Give the days that people often ask for, the latest first."""
    month = today.replace(day=1)
    before = month - timedelta(days=1)
    return [
        Spell("This month", month, today),
        Spell("Last month", before.replace(day=1), before),
        Spell("This year", date(today.year, 1, 1), today),
        Spell("Last year", date(today.year - 1, 1, 1), date(today.year - 1, 12, 31)),
    ]


def statement_csv(statement: Statement) -> str:
    """Give a statement as CSV, its opening balance first; texts that a spreadsheet would run are neutralised."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(("date", "type", "number", "invoice", "text", "currency", "amount", "balance"))
    opening = amount_text(statement.opening, statement.currency)
    writer.writerow((statement.first, "balance_before", "", "", "", statement.currency, "", opening))
    for row in statement.rows:
        entry = row.entry
        amount, balance = (amount_text(value, statement.currency) for value in (entry.amount, row.balance))
        cells = (entry.on, entry.kind, entry.number, entry.invoice, entry.text, statement.currency)
        writer.writerow((*map(csv_cell, cells), amount, balance))
    return file.getvalue()
