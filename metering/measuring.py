"""measure(): how much of a meter was used, by customer, period and dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, Inexact

from metering.aggregation import Span, Total, total_spans, total_windows
from metering.errors import InvalidWindow, UndeclaredDimension
from metering.models import Meter
from metering.periods import Interval, windows

# Room for every sum of stored values; one that would have to be rounded raises instead.
EXACT = Context(prec=200, traps=[Inexact])
MAX_WINDOWS = 10_000
ALWAYS_GROUPABLE = ("customer", "workload", "subject")


@dataclass(frozen=True, slots=True)
class GroupMeasure:
    """One group's share of a measure; `dimensions` are the group's values by name."""

    dimensions: Mapping[str, str]
    quantity: Decimal
    events: int
    values: tuple[Decimal, ...] | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity, the number of events behind it, and its groups where groups were asked for."""

    quantity: Decimal
    events: int
    groups: tuple[GroupMeasure, ...] = ()
    values: tuple[Decimal, ...] | None = None


@dataclass(frozen=True, slots=True)
class Point:
    start: datetime
    value: Decimal


@dataclass(frozen=True, slots=True)
class Series:
    """One group over time: a point per window, zero where nothing happened, and the total over all of it."""

    group: Mapping[str, str]
    total: Decimal
    points: tuple[Point, ...]


NOTHING = Measure(Decimal(0), 0)


def measure(
    meter: Meter,
    spans: Sequence[Span],
    *,
    group_by: Sequence[str] = (),
    with_values: bool = False,
    as_of: int | None = None,
) -> dict[int, Measure]:
    """Measure one meter for many customers and times at once; give a measure per slot, zero where nothing happened.

    `group_by` names dimensions the meter declares; `with_values` asks for each event's value too; `as_of` is a
    ledger position, None counts everything committed.
    One query, whatever the number of spans.
    """
    _require_declared(meter, group_by)
    totals = total_spans(
        spans,
        meter_id=meter.pk,
        meter_type=meter.type,
        group_by=group_by,
        with_values=with_values,
        as_of=as_of,
    )
    by_slot: dict[int, list[Total]] = {}
    for total in totals:
        by_slot.setdefault(total.slot, []).append(total)
    return {span.slot: _measure(by_slot.get(span.slot, []), group_by) for span in spans}


def measure_series(
    meter: Meter,
    *,
    start: datetime,
    end: datetime,
    interval: Interval | None,
    zone: str,
    customer_id: int | None = None,
    group_by: Sequence[str] = (),
    filters: Mapping[str, Sequence[str]] | None = None,
) -> list[Series]:
    """Measure one meter over time, cut at the local boundaries of `interval`; without one, totals only.

    `group_by` names `customer`, `workload`, `subject` or declared dimensions. The total is taken over all events,
    never over the points. Without groups there is always one series.
    """
    names = [_qualified(meter, name) for name in group_by]
    allowed = {_qualified(meter, name): values for name, values in (filters or {}).items()}
    whole = total_windows(
        [(start, end)],
        meter_id=meter.pk,
        meter_type=meter.type,
        customer_id=customer_id,
        group_by=names,
        filters=allowed,
    )
    cuts = windows(start, end, interval=interval, zone=zone) if interval else []
    if len(cuts) > MAX_WINDOWS:
        raise InvalidWindow(
            f"That is {len(cuts)} points; ask for {MAX_WINDOWS} at most or a longer interval."
        )
    values: dict[tuple[tuple[str, ...], int], Decimal] = {}
    if cuts:
        for total in total_windows(
            cuts,
            meter_id=meter.pk,
            meter_type=meter.type,
            customer_id=customer_id,
            group_by=names,
            filters=allowed,
        ):
            values[total.group, total.slot] = total.quantity
    totals = {total.group: total.quantity for total in whole}
    if not group_by:
        totals.setdefault((), Decimal(0))
    return [
        Series(
            dict(zip(group_by, group, strict=True)),
            quantity,
            tuple(
                Point(first, values.get((group, slot), Decimal(0))) for slot, (first, _) in enumerate(cuts)
            ),
        )
        for group, quantity in sorted(totals.items(), key=lambda each: (-each[1], each[0]))
    ]


def _measure(totals: Sequence[Total], group_by: Sequence[str]) -> Measure:
    if not totals:
        return NOTHING
    groups = tuple(
        GroupMeasure(
            dict(zip(group_by, total.group, strict=True)),
            total.quantity,
            total.events,
            total.values,
        )
        for total in sorted(totals, key=lambda total: total.group)
    )
    quantity = Decimal(0)
    for total in totals:
        quantity = EXACT.add(quantity, total.quantity)
    return Measure(
        quantity,
        sum(total.events for total in totals),
        groups if group_by else (),
        None if group_by else totals[0].values,
    )


def _require_declared(meter: Meter, names: Sequence[str]) -> None:
    for name in names:
        if name not in meter.dimensions:
            declared = ", ".join(meter.dimensions) or "none"
            raise UndeclaredDimension(f"“{name}” is not a dimension of {meter.label} (declared: {declared}).")


def _qualified(meter: Meter, name: str) -> str:
    if name in meter.dimensions:
        return f"dimension:{name}"
    if name in ALWAYS_GROUPABLE:
        return name
    declared = ", ".join([*ALWAYS_GROUPABLE, *meter.dimensions])
    raise UndeclaredDimension(f"“{name}” is not a dimension of {meter.label}. Group by one of: {declared}.")
