"""Cells: what many meters measured at once, in the finest groups that somebody asks for, as exact fractions.

Costs are made of these: a total is taken once and then shared out over its cells, so that every way of grouping
comes to the same sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from metering.aggregation import CellTotal, Group, total_cells, total_sums
from metering.meter_types import MeterType
from metering.models import Meter
from metering.quantities import converted, quantity_of, rounded


@dataclass(frozen=True, slots=True)
class Cell:
    """What one meter's events of one group come to in one slot.

    Slot n is the time from the n-th edge to the next. `values` are the groups asked for, in that order; `quantity`
    is in the meter's unit. `events` counts those that count.
    """

    meter_id: int
    slot: int
    values: tuple[Group, ...]
    quantity: Fraction
    events: int


@dataclass(frozen=True, slots=True)
class Whole:
    """What one meter measured in one span by dimensions, as a rate reads it: see `metering.measuring.GroupMeasure`."""

    dimensions: tuple[str, ...]
    quantity: Decimal
    values: tuple[Decimal, ...] | None
    windows: tuple[Decimal, ...] | None


def is_plain_sum(meter: Meter) -> bool:
    """Say whether a meter is the sum of its cells, however they are cut, and all its events count."""
    return (
        meter.type in (MeterType.COUNT, MeterType.SUM)
        and not meter.filters
        and not meter.is_outcome
        and not meter.window
        and not meter.rounding_function
    )


def measure_cells(
    meters: Sequence[Meter],
    edges: Sequence[datetime],
    *,
    group_by: Sequence[str] = (),
    customer_ids: Sequence[int] | None = None,
) -> list[Cell]:
    """Measure meters of all customers, or of some, between edges in time: one query for all sums, one per other meter.

    `group_by` names `customer_id`, `workload_id` (of a WorkloadName), `subject`, `source` or `dimension:NAME`.
    """
    by_id = {meter.pk: meter for meter in meters}
    plain = [meter for meter in meters if is_plain_sum(meter)]
    totals: list[CellTotal] = []
    if plain:
        totals += total_sums(plain, edges, group_by=group_by, customer_ids=customer_ids)
    for meter in meters:
        if not is_plain_sum(meter):
            totals += total_cells(meter, edges, group_by=group_by, customer_ids=customer_ids)
    return [
        Cell(
            each.meter_id,
            each.total.slot,
            each.group,
            _quantity(by_id[each.meter_id], each),
            each.total.events,
        )
        for each in totals
    ]


def measure_whole(
    meter: Meter, start: datetime, end: datetime, *, dimensions: Sequence[str], with_values: bool
) -> list[Whole]:
    """Measure one meter of all customers together in `[start, end)`, by dimensions, as a rate reads it."""
    totals = total_cells(
        meter,
        [start, end],
        group_by=[f"dimension:{name}" for name in dimensions],
        with_values=with_values,
    )
    return [
        Whole(
            tuple(str(value) for value in each.group),
            quantity_of(meter, each.total),
            _converted(meter, each.total.values),
            None
            if each.total.peaks is None
            else tuple(rounded(meter, converted(meter, peak)) for peak in each.total.peaks),
        )
        for each in totals
    ]


def _quantity(meter: Meter, cell: CellTotal) -> Fraction:
    if is_plain_sum(meter):  # the common case, in whole numbers where it can be: there may be very many cells
        if meter.factor == meter.divisor == 1:
            return Fraction(cell.total.amount)
        return Fraction(cell.total.amount) * Fraction(meter.factor) / Fraction(meter.divisor)
    return Fraction(quantity_of(meter, cell.total))


def _converted(meter: Meter, values: tuple[Decimal, ...] | None) -> tuple[Decimal, ...] | None:
    return None if values is None else tuple(converted(meter, value) for value in values)
