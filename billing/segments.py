"""Which times of a customer and meter have a price, and what invoices and waivers settled of them, by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import lru_cache
from itertools import pairwise

from billing.models import BILLED, AdjustmentWaiver, InvoiceLine, LineKind, LineSettlement, MeterCoverage
from customers.models import Customer
from metering.models import Meter
from metering.periods import start_of_day
from metering.standings import FIRST_POSITION, LAST_POSITION, Segment, Standing

Pair = tuple[int, int]


@dataclass(slots=True)
class BilledLine:
    """A usage line of an issued invoice: its time, and what holds up to each position at which it was settled."""

    invoice: int
    first: datetime
    last: datetime
    marks: list[tuple[int, Standing]] = field(default_factory=list)

    def settled(self) -> list[tuple[int, Standing]]:
        """Give the marks that settled the line, in their order: without those of invoices that are void now."""
        return sorted(mark for mark in self.marks if mark[1] != Standing.NOT_YET_BILLED)

    def standing_up_to(self, position: int) -> Standing:
        """Say what became of events that were placed at a position."""
        later = [mark for mark in self.marks if mark[0] >= position]
        return min(later)[1] if later else Standing.NOT_YET_BILLED


def segments_between(
    start: datetime, end: datetime, *, customer: Customer | None = None, meter: Meter | None = None
) -> list[Segment]:
    """Give the priced times of every customer and meter inside `[start, end)`, cut where what was billed changes."""
    priced: dict[Pair, list[tuple[datetime, datetime]]] = {}
    for pair, first, last in _coverages(customer, meter):
        if first < end and last > start:
            priced.setdefault(pair, []).append((max(first, start), min(last, end)))
    billed = billed_lines(customer, meter, start, end)
    return [
        segment
        for pair in sorted(priced.keys() | billed.keys())
        for segment in _cut(pair, priced.get(pair, []), _inside(billed.get(pair, []), start, end))
    ]


def _inside(lines: Iterable[BilledLine], start: datetime, end: datetime) -> list[BilledLine]:
    return [
        replace(line, first=max(line.first, start), last=min(line.last, end))
        for line in lines
        if line.first < end and line.last > start
    ]


def _cut(
    pair: Pair, priced: Sequence[tuple[datetime, datetime]], billed: Sequence[BilledLine]
) -> Iterable[Segment]:
    """Cut overlapping times into segments that touch and never overlap."""
    spans = [*priced, *((line.first, line.last) for line in billed)]
    edges = sorted({edge for span in spans for edge in span})
    for first, last in pairwise(edges):
        lines = [line for line in billed if line.first <= first and last <= line.last]
        if lines:
            yield from _stretches(pair, first, last, lines)
        elif any(start <= first and last <= end for start, end in priced):
            yield Segment(*pair, first, last)


def _stretches(pair: Pair, first: datetime, last: datetime, lines: Sequence[BilledLine]) -> Iterable[Segment]:
    """Cut the ledger at every position up to which something was settled.

    Two rates of one plan for one meter are two lines of an invoice: an event is billed when one of them billed it.
    """
    edges = sorted({position for line in lines for position, _ in line.marks})
    for after, upto in pairwise([FIRST_POSITION, *edges, LAST_POSITION]):
        standings = [(line.standing_up_to(upto), line.invoice) for line in lines]
        kinds = {standing for standing, _ in standings}
        yield Segment(
            *pair,
            first,
            last,
            standing=next(
                each for each in (Standing.BILLED, Standing.NOT_YET_BILLED, Standing.FREE) if each in kinds
            ),
            after=after,
            upto=upto,
            invoices=len({invoice for standing, invoice in standings if standing == Standing.BILLED}),
        )


def _coverages(customer: Customer | None, meter: Meter | None) -> Iterable[tuple[Pair, datetime, datetime]]:
    rows = MeterCoverage.objects.values_list("customer_id", "meter_id", "during", "subscription__timezone")
    if customer is not None:
        rows = rows.filter(customer=customer)
    if meter is not None:
        rows = rows.filter(meter=meter)
    for customer_id, meter_id, during, zone in rows.iterator():
        if during.isempty:
            continue
        last = _FAR if during.upper is None else _midnight(during.upper, zone)
        yield (customer_id, meter_id), _midnight(during.lower, zone), last


def billed_lines(
    customer: Customer | None, meter: Meter | None, start: datetime, end: datetime
) -> dict[Pair, list[BilledLine]]:
    """Give the usage lines of issued invoices whose days touch a time, by customer and meter. Three queries."""
    rows = InvoiceLine.objects.filter(
        kind=LineKind.USAGE,
        period_end__gte=start.date(),
        period_start__lte=end.date(),
        invoice__status__in=BILLED,
    )
    if customer is not None:
        rows = rows.filter(invoice__customer=customer)
    if meter is not None:
        rows = rows.filter(meter=meter)
    by_id: dict[int, BilledLine] = {}
    by_pair: dict[Pair, list[BilledLine]] = {}
    columns = (
        "id", "invoice__customer_id", "meter_id", "invoice_id", "period_start", "period_end", "invoice__zone",
        "invoice__watermark",
    )  # fmt: skip
    for pk, customer_id, meter_id, invoice, first_on, last_on, zone, watermark in rows.values_list(
        *columns
    ).iterator():
        line = BilledLine(
            invoice, _midnight(first_on, zone), _midnight(last_on, zone), [(watermark, Standing.BILLED)]
        )
        by_id[pk] = line
        by_pair.setdefault((customer_id, meter_id), []).append(line)
    settled = LineSettlement.objects.filter(line__in=rows.values("id"))
    for pk, position, status in settled.values_list("line_id", "position", "invoice__status").iterator():
        if pk in by_id:  # what a void invoice settled is open until the line is settled again
            standing = Standing.BILLED if status in BILLED else Standing.NOT_YET_BILLED
            by_id[pk].marks.append((position, standing))
    waived = AdjustmentWaiver.objects.filter(line__in=rows.values("id"))
    credited = set(waived.filter(credit_note__isnull=False).values_list("line_id", "position"))
    for pk, position in waived.values_list("line_id", "position").iterator():
        if pk in by_id:
            standing = Standing.BILLED if (pk, position) in credited else Standing.FREE
            by_id[pk].marks.append((position, standing))
    return by_pair


@lru_cache(maxsize=10_000)
def _midnight(day: date, zone: str) -> datetime:
    return start_of_day(day, zone)


_FAR = start_of_day(date(9999, 1, 1), "UTC")
