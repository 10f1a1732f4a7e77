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
from typing import Any, NamedTuple

from django.db import connection

from customers.models import Customer
from metering.aggregation import Total, total_spans
from metering.folding import ADDITIVE
from metering.measuring import Point, Series
from metering.meter_types import MeterType
from metering.models import Meter, Rollup
from metering.periods import Interval, start_of_day, windows
from metering.quantities import EXACT, converted, quantity_of
from metering.spans import Asked, Span

Key = tuple[int, int]
NOTHING = Decimal(0)

# Only the rows of the span are read; the array of boundaries is searched, never joined.
# A customer's days come as one row of arrays: a row for each day took longer to fetch than to add up.
WHOLE_ROWS = """
SELECT customer, array_agg(place - 1), array_agg(amount), array_agg(events)
FROM (
    SELECT {customer} AS customer, place, sum(amount) AS amount, sum(events)::bigint AS events
    FROM (
        SELECT customer_id, amount, events, ends_at, width_bucket(starts_at, %(edges)s::timestamptz[]) AS place
        FROM metering_usagebyday
        WHERE meter_id = %(meter)s AND starts_at >= %(first)s AND starts_at < %(last)s
          AND (%(one)s::bigint IS NULL OR customer_id = %(one)s)
    ) day
    WHERE ends_at <= (%(edges)s::timestamptz[])[place + 1]
    GROUP BY 1, 2
) total
WHERE events <> 0
GROUP BY 1
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
    if not by_customer:
        found.setdefault(0, NO_DAYS)
    codes = dict(Customer.objects.filter(pk__in=found).values_list("pk", "code")) if by_customer else {}
    starts = [first for first, _ in cut]
    series = [
        _series(meter, days, starts, group={"customer": codes[customer]} if by_customer else {})
        for customer, days in found.items()
    ]
    series.sort(key=lambda each: (-each.total, tuple(each.group.values())))
    return DailyUsage(tuple(series), as_of)


class _Days(NamedTuple):
    """Amount and events of those windows of one customer in which something happened, by their places."""

    places: Sequence[int]
    amounts: Sequence[Decimal]
    events: Sequence[int]


NO_DAYS = _Days((), (), ())


def _totals(
    meter: Meter, edges: Sequence[datetime], *, by_customer: bool, customer_id: int | None, as_of: int
) -> dict[int, _Days]:
    """Give what happened by customer, 0 for all together."""
    if not edges:
        return {}
    shape: dict[str, Any] = {
        "meter": meter.pk,
        "edges": list(edges),
        "first": edges[0],
        "last": edges[-1],
        "one": customer_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(WHOLE_ROWS.format(customer="customer_id" if by_customer else "0"), shape)
        found = {customer: _Days(*days) for customer, *days in cursor.fetchall()}
        cursor.execute(CUT_ROWS, shape)
        cut_rows = cursor.fetchall()
    parts: dict[int, dict[int, tuple[Decimal, int]]] = {}
    for (customer, place), total in _from_events(
        meter, cut_rows, edges, by_customer=by_customer, as_of=as_of
    ):
        if customer not in parts:
            places, *totals = found.get(customer, NO_DAYS)
            parts[customer] = dict(zip(places, zip(*totals, strict=True), strict=True))
        amount, events = parts[customer].get(place, (Decimal(0), 0))
        parts[customer][place] = EXACT.add(amount, total.amount), events + total.events
    for customer, days in parts.items():
        amounts, events_ = zip(*days.values(), strict=True)
        found[customer] = _Days(list(days), amounts, events_)
    return found


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
    return [(keys[total.slot], total) for total in total_spans([Asked(meter, spans)], as_of=as_of)[0]]


def _series(meter: Meter, days: _Days, starts: Sequence[datetime], *, group: dict[str, str]) -> Series:
    averaged = meter.type == MeterType.AVERAGE
    amounts = days.amounts
    if averaged:
        amounts = [
            converted(meter, amount, over=Decimal(events))
            for amount, events in zip(amounts, days.events, strict=True)
        ]
    elif not meter.factor == meter.divisor == 1:
        amounts = [converted(meter, amount) for amount in amounts]
    values = [NOTHING] * len(starts)
    for place, amount in zip(days.places, amounts, strict=True):
        values[place] = amount
    quantity, events = NOTHING, sum(days.events)
    if events:
        whole = NOTHING
        for amount in days.amounts:
            whole = EXACT.add(whole, amount)
        quantity = quantity_of(meter, Total(0, None, whole, Decimal(events if averaged else 1), events))
    return Series(group, quantity, tuple(map(Point, starts, values)))
