"""Where outcomes stand: what issued invoices counted, what counts now, and why the others do not.

A line counted an outcome when it counts in the line's period as of the last position up to which that was settled. It
is billed while it counts now too, or waived if it came with a difference that staff waived; else a later invoice has to
take it back. What counts now and was counted by no line is not yet billed, also where it settles in a later month.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import combinations
from uuid import UUID

from billing.line_events import given_back
from billing.models import MeterCoverage
from billing.outcomes import settle_outcomes
from billing.segments import BilledLine, billed_lines
from billing.subscription_periods import whole_period
from customers.models import Customer
from metering.behind import counted_outcomes
from metering.models import Event, Meter
from metering.outcomes import Settlement
from metering.periods import local_day, start_of_day
from metering.spans import Span
from metering.standings import OutcomeStanding, Standing, StandingOutcome

SETTLED_AT_ONCE = 5_000

# The lines that counted an outcome, by its id, each with whether it was billed then or waived (FREE).
Counted = Mapping[UUID, Sequence[tuple[BilledLine, Standing]]]


def standing_outcomes(
    start: datetime, end: datetime, *, customer: Customer | None = None, meter: Meter | None = None
) -> list[StandingOutcome]:
    """Say where each outcome stands that occurred in `[start, end)`. Customers without a price are left out.

    A few queries for each outcome meter, and one for each position up to which its lines were settled.
    """
    meters = Meter.objects.all() if meter is None else [meter]
    return [
        outcome
        for each in meters
        if each.is_outcome
        for outcome in _of_meter(each, start, end, customer=customer)
    ]


def _of_meter(
    meter: Meter, start: datetime, end: datetime, *, customer: Customer | None
) -> Iterator[StandingOutcome]:
    until = end + timedelta(microseconds=int((meter.verification_hours or 0) * 3_600_000_000))
    lines = billed_lines(customer, meter, start, until)
    spans = [
        *_priced_periods(meter, start, until, customer=customer),
        *(Span(0, pair[0], line.first, line.last) for pair, each in lines.items() for line in each),
    ]
    counted = _counted_by(
        meter, [(customer_id, line) for (customer_id, _), each in lines.items() for line in each]
    )
    counts = {event for event, _ in counted_outcomes(meter, _numbered(spans))}
    occurred = Event.objects.filter(
        meter=meter,
        customer__in={span.customer_id for span in spans},
        occurred_at__gte=start,
        occurred_at__lt=end,
        signal=None,
    )
    voided = dict(occurred.values_list("pk", "voided_batch_id"))
    given = set(given_back().filter(event_id__in=[event for event in counted if event not in counts]))
    why_not = _why_not([event for event, batch in voided.items() if batch is None and event not in counts])
    for event, batch in voided.items():
        by = counted.get(event, ())
        if batch is None and event in counts:
            yield StandingOutcome(event, _standing(by), invoices=_invoices_of_one_time(by))
        else:
            why = why_not.get(event, OutcomeStanding.UNPRICED)
            yield StandingOutcome(event, why, to_take_back=bool(by) and event not in given)


def _standing(counted_by: Sequence[tuple[BilledLine, Standing]]) -> OutcomeStanding:
    if not counted_by:
        return OutcomeStanding.NOT_YET_BILLED
    billed = any(standing == Standing.BILLED for _, standing in counted_by)
    return OutcomeStanding.BILLED if billed else OutcomeStanding.WAIVED


def _priced_periods(
    meter: Meter, start: datetime, until: datetime, *, customer: Customer | None
) -> Iterator[Span]:
    """Give the billing periods of the customers whose plans price a meter, where they touch a time."""
    rows = MeterCoverage.objects.filter(meter=meter).select_related(
        "subscription__plan", "subscription__customer"
    )
    if customer is not None:
        rows = rows.filter(customer=customer)
    for row in rows.iterator():
        if row.during.isempty:
            continue
        subscription, lower, upper = row.subscription, row.during.lower, row.during.upper
        zone = subscription.timezone
        day, last_day = max(lower, local_day(start, zone)), local_day(until, zone)
        while day <= last_day and (upper is None or day < upper):
            period = whole_period(subscription, day)
            first_on = max(period.start_on, lower)
            last_on = period.end_on if upper is None else min(period.end_on, upper)
            yield Span(0, row.customer_id, start_of_day(first_on, zone), start_of_day(last_on, zone))
            day = period.end_on


def _counted_by(meter: Meter, lines: Sequence[tuple[int, BilledLine]]) -> Counted:
    """Give the outcomes that lines of customers counted when they were settled last.

    Where staff waived a difference, it matters with which settlement an outcome came, so all of them are read.
    """
    marks = [line.settled() for _, line in lines]
    read = [each if any(standing == Standing.FREE for _, standing in each) else each[-1:] for each in marks]
    by_position: dict[int, list[int]] = {}
    for place, each in enumerate(read):
        for position, _ in each:
            by_position.setdefault(position, []).append(place)
    counted: dict[tuple[int, int], set[UUID]] = {}
    for position, places in by_position.items():
        spans = [
            Span(place, lines[place][0], lines[place][1].first, lines[place][1].last) for place in places
        ]
        for event, place in counted_outcomes(meter, spans, as_of=position):
            counted.setdefault((place, position), set()).add(event)
    found: dict[UUID, list[tuple[BilledLine, Standing]]] = {}
    for place, each in enumerate(read):
        came_with: dict[UUID, Standing] = {}
        for position, standing in each:
            now = counted.get((place, position), set())
            came_with = {event: came_with.get(event, standing) for event in now}
        for event, standing in came_with.items():
            found.setdefault(event, []).append((lines[place][1], standing))
    return found


def _numbered(spans: Sequence[Span]) -> list[Span]:
    return [Span(slot, span.customer_id, span.start, span.end) for slot, span in enumerate(spans)]


def _invoices_of_one_time(counted_by: Sequence[tuple[BilledLine, Standing]]) -> int:
    """Give 2 when invoices of overlapping times billed the same outcome, which must never be."""
    lines = [line for line, standing in counted_by if standing == Standing.BILLED]
    twice = any(
        one.invoice != other.invoice and one.first < other.last and other.first < one.last
        for one, other in combinations(lines, 2)
    )
    return 2 if twice else min(1, len(lines))


def _why_not(events: Sequence[UUID]) -> dict[UUID, OutcomeStanding]:
    """Say why outcomes do not count."""
    found = {}
    for first in range(0, len(events), SETTLED_AT_ONCE):
        ids = events[first : first + SETTLED_AT_ONCE]
        for each in _settled(ids):
            found[each.fact.id] = _reason(each)
    return found


def _settled(ids: Sequence[UUID]) -> Iterable[Settlement]:
    rows = list(Event.objects.filter(pk__in=ids).select_related("meter", "customer", "workload"))
    now = max((row.occurred_at for row in rows), default=None)
    return [] if now is None else [each.settlement for each in settle_outcomes(rows, now=now)]


def _reason(settlement: Settlement) -> OutcomeStanding:
    if settlement.reversed_by is not None:
        return OutcomeStanding.REVERSED
    if not settlement.is_proven:
        return OutcomeStanding.UNPROVEN
    return OutcomeStanding.UNPRICED if settlement.repeats is None else OutcomeStanding.REPEATED
