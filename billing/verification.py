"""Verifying many invoices: in chunks, by several processes, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import QuerySet

from billing.models import Invoice, InvoiceStatus
from billing.months import Month
from billing.processes import map_in_processes
from billing.rerating import UnknownModel
from billing.verifying import Difference, archived_before, verify_invoice

CHUNK = 100
# Below so many invoices, starting processes takes longer than it saves.
WORTH_PROCESSES = 500


@dataclass(slots=True)
class Verified:
    """What verifying gave: invoices looked at, those that differ, those with events archived, and every difference."""

    checked: int = 0
    differing: int = 0
    not_computable: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, other: Verified) -> None:
        self.checked += other.checked
        self.differing += other.differing
        self.not_computable += other.not_computable
        self.differences += other.differences


def invoices_to_verify(
    *, month: Month | None = None, customer_codes: Sequence[str] = ()
) -> QuerySet[Invoice]:
    """Give the issued invoices, of periods that begin in a month and of some customers where they are named."""
    rows = Invoice.objects.exclude(status__in=(InvoiceStatus.DRAFT, InvoiceStatus.VOID))
    if month is not None:
        rows = rows.filter(period_start__gte=month.first, period_start__lt=month.following)
    if customer_codes:
        rows = rows.filter(customer__code__in=customer_codes)
    return rows.order_by("id")


def verify(
    invoices: QuerySet[Invoice],
    *,
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Verified:
    """Compute invoices again; the order of the differences is that of the invoices. Writes nothing.

    With more than one process, they share the work in chunks, each with a connection of its own. `on_progress` gets
    (invoices done, of how many).
    """
    total = invoices.count()
    whole = Verified()
    chunks = _chunks(invoices)
    parts = (
        map(verify_chunk, chunks)
        if processes <= 1 or total < WORTH_PROCESSES
        else map_in_processes(verify_chunk, chunks, processes=processes)
    )
    for part in parts:
        whole.add(part)
        if on_progress is not None:
            on_progress(whole.checked, total)
    return whole


def verify_chunk(ids: Sequence[int]) -> Verified:
    """Compute some invoices again."""
    found = Verified()
    archived = archived_before()
    rows = Invoice.objects.filter(id__in=ids).order_by("id")
    loaded = ("lines__meter", "lines__adjusts__invoice", "lines__adjusts__meter", "parts__lines")
    for invoice in rows.prefetch_related(*loaded):
        found.checked += 1
        try:
            verdict = verify_invoice(invoice, archived=archived)
        except UnknownModel as unknown:
            found.differing += 1
            found.differences.append(f"{invoice.number}: {unknown}")
            continue
        found.differing += bool(verdict.differences)
        found.not_computable += bool(verdict.archived)
        found.differences += [str(each) for each in _in_order(verdict.differences)]
    return found


def _in_order(differences: Iterable[Difference]) -> list[Difference]:
    return sorted(differences, key=lambda each: (each.line is None, each.line or 0))


def _chunks(invoices: QuerySet[Invoice]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for pk in invoices.values_list("id", flat=True).iterator(chunk_size=10_000):
        chunk.append(pk)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
