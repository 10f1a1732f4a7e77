"""Reading usage by day: the figures of `measure_series`, for all customers at once, without reading every event.

Rows of UsageByDay that lie inside a day asked for are added up. A row that a boundary cuts through, because the day
is of a zone that is neither UTC nor the customer's, is replaced by its events. So the answer is exact in every zone,
as of the position folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from customers.models import Customer
from metering.aggregation import Span, Total, total_spans
from metering.folding import ADDITIVE
from metering.measuring import Point, Series
from metering.models import Meter, Rollup
from metering.periods import Interval, start_of_day, windows
from metering.quantities import EXACT, converted, quantity_of

Key = tuple[int, int]

# Only the rows of the span are read; the array of boundaries is searched, never joined.
WHOLE_ROWS = """
SELECT {customer}, place - 1, sum(amount), sum(events)::bigint
FROM (
    SELECT customer_id, amount, events, ends_at, width_bucket(starts_at, %(edges)s::timestamptz[]) AS place
    FROM metering_usagebyday
    WHERE meter_id = %(meter)s AND starts_at >= %(first)s AND starts_at < %(last)s
      AND (%(one)s::bigint IS NULL OR customer_id = %(one)s)
) day
WHERE ends_at <= (%(edges)s::timestamptz[])[place + 1]
GROUP BY 1, 2
"""
CUT_ROWS = """
SELECT customer_id, starts_at, ends_at
FROM metering_usagebyday
WHERE meter_id = %(meter)s AND starts_at > %(first)s - interval '2 days' AND starts_at < %(last)s
  AND ends_at > %(first)s AND events <> 0 AND (%(one)s::bigint IS NULL OR customer_id = %(one)s)
  AND CASE WHEN starts_at < %(first)s THEN true
           ELSE ends_at > (%(edges)s::timestamptz[])[width_bucket(starts_at, %(edges)s::timestamptz[]) + 1] END
"""


def folded_position() -> int:
    """Give the ledger position that usage by day is as of."""
    state = Rollup.objects.filter(singleton=True).first()
    return 0 if state is None else state.folded_position


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """A series per customer, or one over all, and the ledger position its figures are as of."""

    series: tuple[Series, ...]
    as_of: int


def is_rolled_up(meter: Meter) -> bool:
    """Say whether usage by day holds a meter: only sums can be added up from days."""
    return meter.type in ADDITIVE and not meter.is_outcome


def daily_usage(
    meter: Meter,
    *,
    start_on: date,
    end_on: date,
    zone: str,
    interval: Interval = Interval.DAY,
    by_customer: bool = False,
    customer_id: int | None = None,
) -> DailyUsage:
    """Give what `measure_series` gives for the local days `[start_on, end_on)`, as of the position folded last.

    Highest totals first; a customer without events has no series. Raises ValueError for a meter that is not rolled up
    and for hours.
    """
    if not is_rolled_up(meter):
        raise ValueError(f"{meter.label} is not a sum of its days: measure it.")
    if interval is Interval.HOUR:
        raise ValueError("Usage by day knows no hours: measure them.")
    cut = windows(start_of_day(start_on, zone), start_of_day(end_on, zone), interval=interval, zone=zone)
    edges = [first for first, _ in cut] + ([cut[-1][1]] if cut else [])
    while True:
        as_of = folded_position()
        found = _totals(meter, edges, by_customer=by_customer, customer_id=customer_id, as_of=as_of)
        if folded_position() == as_of:
            break  # else a folder was quicker than this reading: the parts may not be of one position
    groups: dict[int, dict[int, tuple[Decimal, int]]] = {}
    for (customer, slot), total in found.items():
        groups.setdefault(customer, {})[slot] = total
    if not by_customer:
        groups.setdefault(0, {})
    codes = dict(Customer.objects.filter(pk__in=groups).values_list("pk", "code")) if by_customer else {}
    series = [
        _series(meter, slots, cut, group={"customer": codes[customer]} if by_customer else {})
        for customer, slots in groups.items()
    ]
    series.sort(key=lambda each: (-each.total, tuple(each.group.values())))
    return DailyUsage(tuple(series), as_of)


def _totals(
    meter: Meter, edges: Sequence[datetime], *, by_customer: bool, customer_id: int | None, as_of: int
) -> dict[Key, tuple[Decimal, int]]:
    """Give amount and events by customer (0 for all together) and place of the window."""
    if not edges:
        return {}
    shape: dict[str, Any] = {
        "meter": meter.pk,
        "edges": list(edges),
        "first": edges[0],
        "last": edges[-1],
        "one": customer_id,
    }
    found: dict[Key, tuple[Decimal, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(WHOLE_ROWS.format(customer="customer_id" if by_customer else "0"), shape)
        for customer, slot, amount, events in cursor.fetchall():
            found[customer, slot] = (amount, events)
        cursor.execute(CUT_ROWS, shape)
        cut_rows = cursor.fetchall()
    for key, total in _from_events(meter, cut_rows, edges, by_customer=by_customer, as_of=as_of):
        amount, events = found.get(key, (Decimal(0), 0))
        found[key] = (EXACT.add(amount, total.amount), events + total.events)
    return {key: total for key, total in found.items() if total[1]}


def _from_events(
    meter: Meter,
    rows: Sequence[tuple[int, datetime, datetime]],
    edges: Sequence[datetime],
    *,
    by_customer: bool,
    as_of: int,
) -> list[tuple[Key, Total]]:
    """Measure the parts of rows that boundaries cut through."""
    spans: list[Span] = []
    keys: list[Key] = []
    for customer, starts_at, ends_at in rows:
        for place in range(len(edges) - 1):
            first, last = max(starts_at, edges[place]), min(ends_at, edges[place + 1])
            if first < last:
                spans.append(Span(len(spans), customer, first, last))
                keys.append((customer if by_customer else 0, place))
    return [(keys[total.slot], total) for total in total_spans(spans, meter=meter, as_of=as_of)]


def _series(
    meter: Meter,
    slots: dict[int, tuple[Decimal, int]],
    cut: Sequence[tuple[datetime, datetime]],
    *,
    group: dict[str, str],
) -> Series:
    averaged = meter.type == "average"

    def total(slot: int, amount: Decimal, events: int) -> Total:
        return Total(slot, None, amount, Decimal(events) if averaged else Decimal(1), events)

    values = {
        slot: converted(meter, amount, over=total(slot, amount, events).over)
        for slot, (amount, events) in slots.items()
    }
    amount = Decimal(0)
    for each in slots.values():
        amount = EXACT.add(amount, each[0])
    events = sum(each[1] for each in slots.values())
    return Series(
        group,
        quantity_of(meter, total(0, amount, events)) if events else Decimal(0),
        tuple(Point(first, values.get(slot, Decimal(0))) for slot, (first, _) in enumerate(cut)),
    )
