"""Lines of an invoice or a preview as a page shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from billing.drafts import DraftLine, InvoiceDraft
from billing.explaining import LineWords, explain_line
from billing.models import Invoice, InvoiceLine


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line with its explanation. `plain` is the calculation of a line that needs no further steps."""

    n: int
    description: str
    words: LineWords
    has_events: bool

    @property
    def plain(self) -> str:
        steps = self.words.steps
        return steps[0].calculation if len(steps) == 1 and not (steps[0].label or steps[0].group) else ""


def draft_rows(draft: InvoiceDraft) -> list[LineRow]:
    return [_row(line, draft.currency, has_events=line.events > 0) for line in draft.lines]


def worked_rows(lines: Iterable[DraftLine], currency: str) -> list[LineRow]:
    """Explain lines that no event stands behind, as those of an example."""
    return [_row(line, currency, has_events=False) for line in lines]


def invoice_rows(invoice: Invoice, lines: Iterable[InvoiceLine]) -> list[LineRow]:
    """Explain stored lines from what was frozen on them."""
    return [_row(line, invoice.currency, has_events=line.meter_id is not None) for line in lines]


def _row(line: DraftLine | InvoiceLine, currency: str, *, has_events: bool) -> LineRow:
    return LineRow(line.n, line.description, explain_line(line, currency=currency), has_events)
