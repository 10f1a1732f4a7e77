"""The evidence of an invoice: every outcome it billed, as a file that a customer can add up and audit.

Where single outcomes have a price, each has its amount, and they add up to the line before it is rounded: one price, or
prices by dimension; in the order in which they happened, the place among included units and graduated tiers. Where
volume tiers, packages, minimums or maximums price a line as a whole, its working stands there. No cost is in it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db.models import Q
from django.http import StreamingHttpResponse
from django.utils import timezone

from billing.formatting import amount_text
from billing.line_events import events_of_line
from billing.models import Invoice, InvoiceLine, LineKind
from billing.outcomes import told_outcomes
from billing.rating import UsageRate, currency_digits, parse_rate, round_amount
from billing.rating.exact import ZERO, exactly
from billing.rating.marginal import Marginal, marginal
from customers.spreadsheets import csv_cell
from metering.meter_types import MeterType
from metering.models import Event

CHUNK = 1_000
BYTE_ORDER_MARK = "\ufeff"  # spreadsheets read the file as UTF-8 with it
COLUMNS = (
    "line", "record", "description", "change", "key", "subject", "kind", "occurred_at", "settles_at", "quantity",
    "unit_amount", "amount", "priced_as", "state", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evidence:
    """One event behind a line. `unit_amount` and `amount` are None where single outcomes have no price.

    `priced_as` says which of several prices it has.

    `change` is counted; on an adjustment added or taken_back. `settles_at` and `state` are None on a meter that
    counts events without rules. `quantity` is None of an event that reverses or confirms an outcome.
    """

    event: Event
    change: str
    quantity: Decimal | None
    unit_amount: Decimal | None
    amount: Decimal | None
    priced_as: str
    settles_at: str | None
    state: str | None
    reason: str

    def cells(self) -> dict[str, Any]:
        """Give what is written of it, decimals and instants as text."""
        return {
            "change": self.change,
            "key": self.event.key,
            "subject": self.event.subject,
            "kind": (self.event.dimensions or {}).get("kind"),
            "occurred_at": _instant(self.event.occurred_at),
            "settles_at": self.settles_at,
            "quantity": _plain(self.quantity),
            "unit_amount": _plain(self.unit_amount),
            "amount": _plain(self.amount),
            "priced_as": self.priced_as,
            "state": self.state,
            "reason": self.reason,
        }


@dataclass(slots=True)
class Sum:
    """What the outcomes of a line add up to so far."""

    quantity: Decimal = ZERO
    amount: Decimal = ZERO

    @exactly
    def add(self, each: Evidence) -> None:
        sign = -1 if each.change == "taken_back" else 1
        self.quantity += sign * (each.quantity or ZERO)
        self.amount += sign * (each.amount or ZERO)


def evidence_lines(invoice: Invoice) -> list[InvoiceLine]:
    """Give the lines whose events are results that are counted one by one."""
    lines = InvoiceLine.objects.filter(
        Q(invoice=invoice) | Q(invoice__part_of=invoice),
        kind__in=[LineKind.USAGE, LineKind.ADJUSTMENT],
        meter__type=MeterType.COUNT,
    )
    return list(
        lines.select_related("invoice__subscription__plan", "meter", "adjusts__invoice").order_by("n")
    )


def evidence_of(line: InvoiceLine) -> Iterator[Evidence]:
    """Give what is behind a line, oldest first, with what became of it until now. Holds a thousand at a time."""
    assert line.meter is not None  # held by evidence_lines
    now = timezone.now()
    prices = prices_of(line)
    events = events_of_line(line).iterator(chunk_size=CHUNK)
    while chunk := list(islice(events, CHUNK)):
        told = {}
        if line.meter.is_outcome:
            alive = [each.pk for each in chunk if each.signal is None and each.voided_batch_id is None]
            rows = Event.objects.filter(pk__in=alive).select_related("meter")
            told = {each.event.pk: each for each in told_outcomes(list(rows), now=now)}
        for event in chunk:
            outcome = told.get(event.pk)
            quantity = None if event.signal is not None else event.counted_value
            taken_back = bool(getattr(event, "taken_back", False))
            voided = line.meter.is_outcome and event.signal is None and outcome is None
            priced = None
            if prices is not None and quantity is not None:
                priced = prices.next(_texts(event.dimensions), quantity)
            yield Evidence(
                event=event,
                change="counted" if line.kind == LineKind.USAGE else "taken_back" if taken_back else "added",
                quantity=quantity,
                unit_amount=None if priced is None else priced.unit_amount,
                amount=None if priced is None else priced.amount,
                priced_as="" if priced is None else priced.label,
                settles_at=_instant(outcome.settlement.settles_at) if outcome else None,
                state=outcome.state.value if outcome else event.signal or ("voided" if voided else None),
                reason=outcome.reason if outcome else "",
            )


def prices_of(line: InvoiceLine) -> Marginal | None:
    """Give what prices the single outcomes of a line; None where they have no price of their own.

    Of an adjustment they have one where it does not depend on other outcomes: what was added and taken back is not all.
    """
    terms = parse_rate(line.terms)
    prices = marginal(terms) if isinstance(terms, UsageRate) else None
    if prices is None or any(step.get("kind") in ("minimum", "maximum") for step in line.working):
        return None
    if line.adjusts is not None and (prices.is_ordered or prices.has_limits or line.adjusts.discount):
        return None
    return prices


def price_alone(line: InvoiceLine, event: Event) -> Decimal | None:
    """Give what one outcome of a line costs, rounded; None where that depends on others. No other event is read."""
    prices = prices_of(line)
    if prices is None or prices.is_ordered:
        return None
    priced = prices.next(_texts(event.dimensions), event.counted_value)
    return round_amount(priced.amount, currency_digits(line.invoice.currency))


def explanation(line: InvoiceLine, found: Sum) -> str:
    """Say how the outcomes of a line lead to its amount."""
    amount = amount_text(line.amount, line.invoice.currency)
    prices = prices_of(line)
    if prices is None or (line.amount and not found.quantity):
        if line.kind == LineKind.ADJUSTMENT:
            return f"What changed in an earlier period; its working gives {amount}."
        return (
            f"Its price, minimum or maximum is of the quantity as a whole, not of single outcomes; its working gives "
            f"{amount}."
        )
    ordered = "In the order in which they happened, the" if prices.is_ordered else "The"
    if found.amount == line.amount:
        return f"{ordered} amounts of the outcomes add up to {amount}, the line."
    return (
        f"{ordered} amounts of the outcomes add up to {found.amount:f}; a line is rounded once, to {amount}."
    )


def evidence_csv(invoice: Invoice) -> Iterator[str]:
    """Write the evidence as CSV: outcomes (`record` outcome), then the line itself, then its working where it explains.

    Text that a spreadsheet would run is marked as text.
    """
    writer = csv.writer(_Echo())
    yield BYTE_ORDER_MARK + writer.writerow(COLUMNS)

    def row(line: InvoiceLine, record: str, cells: Mapping[str, Any]) -> str:
        # Decimals are text of our own by now, and may be negative: only what others wrote is marked.
        ours = {"quantity", "unit_amount", "amount"}
        whole = {"line": line.n, "record": record, "description": line.description, **cells}
        return str(
            writer.writerow(
                [whole.get(name) if name in ours else csv_cell(whole.get(name)) for name in COLUMNS]
            )
        )

    for line in evidence_lines(invoice):
        found = Sum()
        for each in evidence_of(line):
            found.add(each)
            yield row(line, "outcome", each.cells())
        yield row(line, "line", _line_cells(line) | {"reason": explanation(line, found)})
        if line.unit_amount is None:
            for step in line.working:
                cells = {name: step.get(name) for name in ("quantity", "unit_amount", "amount")}
                yield row(line, "working", cells | {"reason": step.get("label", "")})


def evidence_json(invoice: Invoice) -> Iterator[str]:
    """Write the evidence as one JSON object, piece by piece."""
    head = {"invoice": invoice.number, "currency": invoice.currency}
    yield json.dumps(head)[:-1] + ', "lines": ['
    for place, line in enumerate(evidence_lines(invoice)):
        found = Sum()
        start = {
            "n": line.n,
            "description": line.description,
            "meter": line.meter.code if line.meter else None,
        }
        yield (", " if place else "") + json.dumps(start)[:-1] + ', "outcomes": ['
        for count, each in enumerate(evidence_of(line)):
            found.add(each)
            yield (", " if count else "") + json.dumps(each.cells())
        end = _line_cells(line) | {
            "working": line.working,
            "outcomes_quantity": _plain(found.quantity),
            "outcomes_amount": None if prices_of(line) is None else _plain(found.amount),
            "explanation": explanation(line, found),
        }
        yield "], " + json.dumps(end)[1:]
    yield "]}"


FORMATS = {
    "csv": ("text/csv; charset=utf-8", evidence_csv),
    "json": ("application/json", evidence_json),
}


def evidence_file(invoice: Invoice, kind: str) -> StreamingHttpResponse:
    """Give the evidence as a file to keep; `kind` is one of FORMATS."""
    content_type, write = FORMATS[kind]
    name = f"{invoice.number or 'draft'}-evidence.{kind}"
    return StreamingHttpResponse(
        write(invoice),
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _line_cells(line: InvoiceLine) -> dict[str, Any]:
    return {
        "quantity": _plain(line.quantity),
        "unit_amount": _plain(line.unit_amount),
        "amount": amount_text(line.amount, line.invoice.currency),
    }


def _texts(dimensions: Mapping[str, object] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (dimensions or {}).items()}


def _plain(value: Decimal | None) -> str | None:
    """Write a decimal in plain digits without needless zeros."""
    if value is None:
        return None
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _instant(at: Any) -> str:
    return str(at.isoformat().replace("+00:00", "Z"))


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text
