"""Lines of an invoice or a preview as a page shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from billing.documents import invoice_document
from billing.drafts import AnyDraft, DraftLine
from billing.explaining import LineWords, explain_line
from billing.formatting import money
from billing.models import Invoice, InvoiceLine


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line with its explanation. `plain` is the calculation of a line that needs no further steps.

    Where several customers are billed together, `begins` names the one whose lines begin here, and `ends` says what
    they come to.
    """

    n: int
    description: str
    words: LineWords
    has_events: bool
    begins: str = ""
    ends: str = ""

    @property
    def plain(self) -> str:
        steps = self.words.steps
        return steps[0].calculation if len(steps) == 1 and not (steps[0].label or steps[0].group) else ""


def draft_rows(draft: AnyDraft) -> list[LineRow]:
    return [_row(line, draft.currency, has_events=line.events > 0) for line in draft.lines]


def worked_rows(lines: Iterable[DraftLine], currency: str) -> list[LineRow]:
    """Explain lines that no event stands behind, as those of an example."""
    return [_row(line, currency, has_events=False) for line in lines]


def invoice_rows(invoice: Invoice, lines: Iterable[InvoiceLine]) -> list[LineRow]:
    """Explain stored lines from what was frozen on them."""
    return [
        _row(line, invoice.currency, has_events=line.meter_id is not None or line.adjusts_id is not None)
        for line in lines
    ]


def document_rows(invoice: Invoice) -> list[LineRow]:
    """Explain the lines of an invoice, those of a consolidated one by customer."""
    groups = invoice_document(invoice).groups
    if not groups:
        return invoice_rows(invoice, invoice.lines.all())
    rows: list[LineRow] = []
    for group in groups:
        own = invoice_rows(invoice, (each.line for each in group.lines if isinstance(each.line, InvoiceLine)))
        if own:
            own[0] = replace(own[0], begins=group.customer)
            own[-1] = replace(own[-1], ends=f"{group.customer}: {money(group.subtotal, invoice.currency)}")
        rows += own
    return rows


def _row(line: DraftLine | InvoiceLine, currency: str, *, has_events: bool) -> LineRow:
    return LineRow(line.n, line.description, explain_line(line, currency=currency), has_events)
