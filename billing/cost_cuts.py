"""How costs are cut: what is asked for, the slots of time and groups that it is measured in, and the part of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from billing.models import CostRate
from billing.sharing import ZERO
from metering.aggregation import Group
from metering.assigning import Assignment
from metering.cells import Cell


@dataclass(frozen=True, slots=True)
class CostEntry:
    """What one part of the usage cost. `cost` is None where it is unknown; then `reason` says why.

    `meter_id` is None for a fixed cost. `workload_id` None: unassigned. `values` are by the name of a group asked for
    and as `metering.cells` gives them, None for what belongs to nobody. `at` is when the slot of time begins.
    """

    rate: CostRate | None
    meter_id: int | None
    workload_id: int | None
    at: datetime
    values: Mapping[str, Group]
    quantity: Fraction
    events: int
    cost: Fraction | None
    reason: str = ""


def nobodys_entry(
    row: CostRate, at: datetime, cost: Fraction | None, *, meter_id: int | None = None, reason: str = ""
) -> CostEntry:
    """Give a cost that belongs to no customer, subject or other group."""
    return CostEntry(row, meter_id, row.workload_id, at, {}, ZERO, 0, cost, reason)


@dataclass(frozen=True, slots=True)
class CostScope:
    """What is costed: the time `[start, end)`, in one currency, of all customers where `customer_ids` is None.

    `assignment` finds the workload of usage.
    """

    start: datetime
    end: datetime
    currency: str
    assignment: Assignment
    customer_ids: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Cut:
    """Slots of time, each from one of `edges` to the next, and the names that usage is grouped by in them."""

    edges: Sequence[datetime]
    names: Sequence[str]

    def at(self, cell: Cell) -> datetime:
        """Give when the slot of a cell begins."""
        return self.edges[cell.slot]

    def values(self, cell: Cell) -> dict[str, Group]:
        return dict(zip(self.names, cell.values, strict=True))

    def workload_of(self, cell: Cell, assignment: Assignment) -> int | None:
        """Give the workload that usage belongs to. The cut must be by all that the assignment needs."""
        return assignment.workload_of(cell.meter_id, self.values(cell))
