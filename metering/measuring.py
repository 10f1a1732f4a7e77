"""measure(): how much of a meter was used, by customer, period and dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from metering.aggregation import Total, total_spans, total_windows
from metering.errors import InvalidWindow, UndeclaredDimension
from metering.models import Meter
from metering.periods import Interval, windows
from metering.quantities import converted, quantity_of, rounded
from metering.spans import Asked, Span

MAX_WINDOWS = 10_000
ALWAYS_GROUPABLE = ("customer", "workload", "subject")


@dataclass(frozen=True, slots=True)
class GroupMeasure:
    """One group's share of a measure; `dimensions` are the group's values by name."""

    dimensions: Mapping[str, str]
    quantity: Decimal
    events: int
    values: tuple[Decimal, ...] | None = None
    windows: tuple[Decimal, ...] | None = None


class Measure(NamedTuple):
    """A quantity, the number of events behind it, and its groups where groups were asked for.

    `values` are the events' values, converted and not rounded; `windows` the peaks of a windowed meter,
    converted and rounded, that the quantity is the sum of. Both are oldest first, and on the groups where
    there are groups.
    """

    quantity: Decimal
    events: int
    groups: tuple[GroupMeasure, ...] = ()
    values: tuple[Decimal, ...] | None = None
    windows: tuple[Decimal, ...] | None = None


class Point(NamedTuple):
    """What was used from an instant to the next point. A tuple, because charts of all customers have very many."""

    start: datetime
    value: Decimal


@dataclass(frozen=True, slots=True)
class Series:
    """One group over time: a point per window, zero where nothing happened, and the total over all of it."""

    group: Mapping[str, str]
    total: Decimal
    points: tuple[Point, ...]


NOTHING = Measure(Decimal(0), 0)
NO_VALUES = Measure(Decimal(0), 0, values=())


def measure(
    meter: Meter,
    spans: Sequence[Span],
    *,
    group_by: Sequence[str] = (),
    with_values: bool = False,
    as_of: int | None = None,
) -> dict[int, Measure]:
    """Measure one meter for many customers and times at once, as `measure_all` does."""
    return measure_all([Asked(meter, spans, group_by, with_values)], as_of=as_of)[0]


def measure_all(asked: Sequence[Asked], *, as_of: int | None = None) -> list[dict[int, Measure]]:
    """Measure meters for many customers and times; give for each thing asked a measure per slot, zero where nothing
    happened.

    `as_of` is a ledger position, None counts everything committed. The quantity is taken over all events, never over
    the groups: they need not add up to it. Each is converted and rounded by the meter once, from its own exact total.
    """
    for each in asked:
        _require_declared(each.meter, each.group_by)
    return [
        _measures(each, totals) for each, totals in zip(asked, total_spans(asked, as_of=as_of), strict=True)
    ]


def _measures(asked: Asked, totals: Sequence[Total]) -> dict[int, Measure]:
    meter, spans, group_by, with_values = asked
    whole: dict[int, Total] = {}
    parts: dict[int, list[Total]] = {}
    for total in totals:
        if group_by and total.group is not None:
            parts.setdefault(total.slot, []).append(total)
        else:
            whole[total.slot] = total
    nothing = NO_VALUES if with_values and not group_by else NOTHING
    return {
        slot: Measure(
            quantity_of(meter, total),
            total.events,
            tuple(_group(meter, part, group_by) for part in sorted(parts.get(slot, []), key=_by_group)),
            None if group_by else _values(meter, total),
            None if group_by else _peaks(meter, total),
        )
        for slot, total in whole.items()
    } | {span.slot: nothing for span in spans if span.slot not in whole}


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
    top: int | None = None,
) -> list[Series]:
    """Measure one meter over time, cut at the local boundaries of `interval`; without one, totals only.

    `group_by` names `customer`, `workload`, `subject` or declared dimensions. The total is taken over all
    events, never over the points, and rounded by the meter; points are not rounded. The largest totals come
    first, those alone up to `top`. Without groups there is always one series.
    """
    names = [_qualified(meter, name) for name in group_by]
    allowed = {_qualified(meter, name): values for name, values in (filters or {}).items()}
    whole = total_windows(
        [(start, end)], meter=meter, zone=zone, customer_id=customer_id, group_by=names, filters=allowed
    )
    totals = {_by_group(total): quantity_of(meter, total) for total in whole}
    if not group_by:
        totals.setdefault((), Decimal(0))
    shown = sorted(totals.items(), key=lambda each: (-each[1], each[0]))[:top]
    if len(shown) < len(totals):  # read no events of groups that are left out, as far as names alone tell
        allowed |= {name: sorted({group[place] for group, _ in shown}) for place, name in enumerate(names)}
    cuts = windows(start, end, interval=interval, zone=zone) if interval else []
    if len(cuts) > MAX_WINDOWS:
        raise InvalidWindow(
            f"That is {len(cuts)} points; ask for {MAX_WINDOWS} at most or a longer interval."
        )
    values: dict[tuple[tuple[str, ...], int], Decimal] = {}
    if cuts:
        for total in total_windows(
            cuts, meter=meter, zone=zone, customer_id=customer_id, group_by=names, filters=allowed
        ):
            values[_by_group(total), total.slot] = converted(meter, total.amount, over=total.over)
    return [
        Series(
            dict(zip(group_by, group, strict=True)),
            quantity,
            tuple(
                Point(first, values.get((group, slot), Decimal(0))) for slot, (first, _) in enumerate(cuts)
            ),
        )
        for group, quantity in shown
    ]


def _group(meter: Meter, total: Total, group_by: Sequence[str]) -> GroupMeasure:
    return GroupMeasure(
        dict(zip(group_by, total.group or (), strict=True)),
        quantity_of(meter, total),
        total.events,
        _values(meter, total),
        _peaks(meter, total),
    )


def _by_group(total: Total) -> tuple[str, ...]:
    return total.group or ()


def _values(meter: Meter, total: Total) -> tuple[Decimal, ...] | None:
    return None if total.values is None else tuple(converted(meter, value) for value in total.values)


def _peaks(meter: Meter, total: Total) -> tuple[Decimal, ...] | None:
    return (
        None if total.peaks is None else tuple(rounded(meter, converted(meter, peak)) for peak in total.peaks)
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
