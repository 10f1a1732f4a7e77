"""What a workload costs each month whatever it is used: accrued evenly over the month and spread by usage."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fractions import Fraction

from billing.cost_cuts import CostEntry, CostScope, Cut, nobodys_entry
from billing.cost_times import ends, months, part_of, starts
from billing.models import CostRate
from billing.sharing import ZERO
from metering.assigning import Assignment
from metering.cells import Cell, measure_cells
from metering.models import Meter


def fixed_costs(
    scope: CostScope, row: CostRate, meters: Collection[Meter], cells: Sequence[Cell], cut: Cut
) -> Iterable[CostEntry]:
    """Spread a fixed cost over the usage of its workload: one entry for each cell, or one that is nobody's.

    `cells` are those of all `meters`, cut by what finds the workload.
    """
    assert row.amount is not None
    assert row.workload_id is not None  # held by costrate_meter_or_workload
    for month in months(scope.start, scope.end):
        first = max(month.start, starts(row), scope.start)
        last = min(month.end, ends(row), scope.end)
        if first >= last:
            continue
        if row.currency != scope.currency:
            reason = f"Its fixed cost is in {row.currency}, and nothing is converted."
            yield nobodys_entry(row, first, None, reason=reason)
            continue
        amount = Fraction(row.amount) * part_of(first, last, month.start, month.end)
        mine = [cell for cell in cells if first <= cut.at(cell) < last]
        if scope.customer_ids is None:
            everything, of_all = mine, cut
        else:
            of_all = Cut([first, last], ["workload_id", *scope.assignment.needed])
            everything = measure_cells(list(meters), of_all.edges, group_by=of_all.names)
        family = _basis(row, everything, of_all, scope.assignment)
        whole = sum(
            (_weight(row, cell) for cell in everything if _is_in(family, cell, of_all, scope.assignment)),
            ZERO,
        )
        if not whole:
            if scope.customer_ids is None:
                yield nobodys_entry(row, first, amount)
            continue
        for cell in mine:
            weight = _weight(row, cell)
            if weight and _is_in(family, cell, cut, scope.assignment):
                cost = amount * weight / whole
                yield CostEntry(row, None, row.workload_id, cut.at(cell), cut.values(cell), ZERO, 0, cost)


def _basis(row: CostRate, cells: Sequence[Cell], cut: Cut, assignment: Assignment) -> set[int] | None:
    """Give the workloads whose usage a fixed cost is spread by: its own and those that are part of it.

    Where they have none, those of the workload it is part of; where nobody has any, None: all usage.
    """
    used = {cut.workload_of(cell, assignment) for cell in cells if _weight(row, cell)}
    at = row.workload_id
    while at is not None:
        family = assignment.family_of(at)
        if family & used:
            return family
        at = assignment.workloads[at].parent_id
    return None


def _is_in(family: set[int] | None, cell: Cell, cut: Cut, assignment: Assignment) -> bool:
    return family is None or cut.workload_of(cell, assignment) in family


def _weight(row: CostRate, cell: Cell) -> Fraction:
    if row.meter_id is None:
        return Fraction(cell.events)
    return max(cell.quantity, ZERO) if cell.meter_id == row.meter_id else ZERO
