"""Reconciliation: what arrived = what became of it, and what was accepted = billed + not yet billed + free + voided.

An event is billed when it lies in the period and meter of an issued invoice's usage line of its customer and was placed
at or below that invoice's watermark; free of charge when no subscription prices its meter on its day; voided when a
correction took it back; else not yet billed. Draft and void invoices bill nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import pairwise

from billing.models import InvoiceLine, InvoiceStatus, LineKind, MeterCoverage, ReconciliationRun
from customers.models import Customer
from metering.models import Event, Meter
from metering.periods import month_period, start_of_day
from metering.reconciling import (
    Intake,
    Mismatch,
    Segment,
    Standing,
    Standings,
    count_arrivals,
    count_arrivals_of,
    count_standings,
    events_standing,
    find_mismatches,
)

NOT_BILLING = (InvoiceStatus.DRAFT, InvoiceStatus.VOID)
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Every count of `[start, end)`. `arrivals` go by the time of receipt, `standings` by the time events occurred.

    `mismatched_rows` compares the ledger with the stored rows of every batch received in that time, of all customers.
    `difference` is 0 when every event is accounted for exactly once; anything else is an alarm.
    """

    start: datetime
    end: datetime
    customer: Customer | None
    arrivals: tuple[Intake, ...]
    mismatched_rows: int
    mismatches: tuple[Mismatch, ...]
    standings: tuple[Standings, ...]

    @property
    def arrived(self) -> Intake:
        """The arrivals of all sources together."""
        return _together(self.arrivals, known=self.customer is None)

    def standing(self, name: str) -> int:
        """Give one count over all meters: `accepted`, `billed`, `voided_after_billing` and so on."""
        return sum(int(getattr(each, name)) for each in self.standings)

    @property
    def taken_back(self) -> int:
        """How many events were voided after an invoice counted them."""
        return self.standing("voided_after_billing")

    @property
    def difference(self) -> int:
        return (
            self.mismatched_rows
            + sum(abs(each.difference) for each in self.arrivals)
            + sum(abs(each.difference) for each in self.standings)
        )


def reconcile(
    start: datetime, end: datetime, *, customer: Customer | None = None, by_customer: bool = False
) -> Reconciliation:
    """Account for every event of `[start, end)`, of all customers or of one. Writes nothing.

    `by_customer` gives the standings of each customer and meter, else of each meter. One statement counts all
    standings, so they are of one moment.
    """
    arrivals = count_arrivals(start, end) if customer is None else count_arrivals_of(customer, start, end)
    mismatched, mismatches = find_mismatches(start, end)
    standings = count_standings(
        segments_between(start, end, customer=customer),
        start=start,
        end=end,
        customer_id=customer.pk if customer else None,
        by_customer=by_customer,
    )
    return Reconciliation(
        start, end, customer, tuple(arrivals), mismatched, tuple(mismatches), tuple(standings)
    )


def reconcile_month(day: date, *, now: datetime) -> Reconciliation:
    """Reconcile the calendar month of a day, in UTC, over all customers, and keep how it came out for the alarm."""
    period = month_period(day.year, day.month, "UTC")
    found = reconcile(period.start, period.end)
    outcome = {"ran_at": now, "difference": found.difference}
    if not found.difference:
        outcome["clean_at"] = now
    ReconciliationRun.objects.update_or_create(start=period.start, end=period.end, defaults=outcome)
    return found


def alarms() -> list[ReconciliationRun]:
    """Give the months whose last reconciliation found a difference, the newest first."""
    return list(ReconciliationRun.objects.exclude(difference=0).order_by("-start"))


def events_of(
    standing: Standing,
    *,
    meter: Meter,
    start: datetime,
    end: datetime,
    customer: Customer | None = None,
    after: Event | None = None,
    limit: int = 100,
) -> list[Event]:
    """Give the events behind one count, oldest first; `after` is the last one of the page before."""
    return events_standing(
        segments_between(start, end, customer=customer, meter=meter),
        standing,
        meter=meter,
        start=start,
        end=end,
        customer_id=customer.pk if customer else None,
        after=None if after is None else (after.occurred_at, after.pk),
        limit=limit,
    )


def segments_between(
    start: datetime, end: datetime, *, customer: Customer | None = None, meter: Meter | None = None
) -> list[Segment]:
    """Give the priced times of every customer and meter inside `[start, end)`, cut where their invoices change."""
    priced: dict[Pair, list[tuple[datetime, datetime]]] = {}
    billed: dict[Pair, dict[int, tuple[datetime, datetime, int]]] = {}
    for pair, first, last in _coverages(customer, meter):
        if first < end and last > start:
            priced.setdefault(pair, []).append((max(first, start), min(last, end)))
    for pair, invoice, first, last, watermark in _billed_lines(customer, meter, start, end):
        if first < end and last > start:
            billed.setdefault(pair, {})[invoice] = (max(first, start), min(last, end), watermark)
    return [
        segment
        for pair in sorted(priced.keys() | billed.keys())
        for segment in _cut(pair, priced.get(pair, []), list(billed.get(pair, {}).values()))
    ]


def _cut(
    pair: Pair, priced: list[tuple[datetime, datetime]], billed: list[tuple[datetime, datetime, int]]
) -> Iterable[Segment]:
    """Cut overlapping times into segments that touch and never overlap."""
    spans = [*priced, *((first, last) for first, last, _ in billed)]
    edges = sorted({edge for span in spans for edge in span})
    for first, last in pairwise(edges):
        marks = sorted((mark for start, end, mark in billed if start <= first and last <= end), reverse=True)
        if marks or any(start <= first and last <= end for start, end in priced):
            yield Segment(
                *pair, first, last, marks[0] if marks else None, marks[1] if len(marks) > 1 else None
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


def _billed_lines(
    customer: Customer | None, meter: Meter | None, start: datetime, end: datetime
) -> Iterable[tuple[Pair, int, datetime, datetime, int]]:
    """Give customer and meter, invoice, first and last instant and watermark of each usage line that bills.

    Two rates of one plan for one meter are two lines of one invoice: the events are billed once.
    """
    rows = (
        InvoiceLine.objects.filter(
            kind=LineKind.USAGE, period_end__gte=start.date(), period_start__lte=end.date()
        )
        .exclude(invoice__status__in=NOT_BILLING)
        .values_list(
            "invoice__customer_id",
            "meter_id",
            "invoice_id",
            "period_start",
            "period_end",
            "invoice__zone",
            "invoice__watermark",
        )
    )
    if customer is not None:
        rows = rows.filter(invoice__customer=customer)
    if meter is not None:
        rows = rows.filter(meter=meter)
    for customer_id, meter_id, invoice, first, last, zone, watermark in rows.iterator():
        yield (customer_id, meter_id), invoice, _midnight(first, zone), _midnight(last, zone), watermark


@lru_cache(maxsize=10_000)
def _midnight(day: date, zone: str) -> datetime:
    return start_of_day(day, zone)


_FAR = start_of_day(date(9999, 1, 1), "UTC")


def _together(arrivals: Iterable[Intake], *, known: bool) -> Intake:
    rows = list(arrivals)

    def total(name: str) -> int:
        return sum(getattr(each, name) or 0 for each in rows)

    return Intake(
        source=None,
        received=total("received") if known else None,
        accepted=total("accepted"),
        duplicates=total("duplicates") if known else None,
        conflicts=total("conflicts"),
        unmatched=total("unmatched"),
        rejected=total("rejected") if known else None,
        released=total("released"),
    )
