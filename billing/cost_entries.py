"""What each part of internal work cost, in the finest cut that somebody asks for: quantities at cost rates.

Each meter is rated as a whole, by calendar month in UTC and by the rate that holds, as a provider bills it. The parts
have their share of that by quantity, so every way of grouping comes to the same total. A fixed monthly cost accrues
evenly over the month and is spread by usage. Where the cost is unknown there is a reason, never a zero.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction

from billing.cost_cuts import CostEntry, CostScope, Cut
from billing.cost_times import ends, midnight, months, starts
from billing.errors import CostsUnclear
from billing.fixed_costs import fixed_costs
from billing.models import CostRate, CostRateKind
from billing.sharing import ZERO
from billing.usage_costs import UsageCostRate, usage_costs
from metering.assigning import Assignment
from metering.cells import Cell, measure_cells
from metering.models import Meter, MeterStatus

DEFAULT_CURRENCY = "USD"
STORED = {"customer": "customer_id", "workload": "workload_id", "subject": "subject"}
NOT_EVENTS = ("meter", "day", "month")


@dataclass(slots=True)
class Costed:
    """All that was used and what it cost in `[start, end)`, in one currency. Amounts are exact fractions."""

    start: datetime
    end: datetime
    currency: str
    assignment: Assignment
    meters: Mapping[int, Meter]
    entries: list[CostEntry] = field(default_factory=list)

    @property
    def total(self) -> Fraction:
        """The sum of what is known."""
        return sum((each.cost for each in self.entries if each.cost is not None), ZERO)


def currency_of_costs(wanted: str | None = None) -> str:
    """Give the currency to cost in: the one wanted, else the only one of the cost rates. Raises CostsUnclear."""
    if wanted:
        return wanted
    known = set(
        CostRate.objects.filter(withdrawn_at=None).order_by().values_list("currency", flat=True).distinct()
    )
    if len(known) > 1:
        names = ", ".join(sorted(known))
        message = f"There are cost rates in {names}. Name the currency: nothing is converted."
        raise CostsUnclear(message, fields={"currency": message})
    return known.pop() if known else DEFAULT_CURRENCY


def cost_entries(
    start: datetime,
    end: datetime,
    *,
    group_by: Collection[str] = (),
    currency: str,
    customer_ids: Sequence[int] | None = None,
) -> Costed:
    """Cost everything that was used in `[start, end)`, cut as finely as `group_by` asks.

    `group_by` names `workload`, `meter`, `customer`, `subject`, `day`, `month` or dimensions. `customer_ids` gives only
    the part of some customers, which is the same as in the whole. One query measures all sums, one each other meter.
    """
    meters = {meter.pk: meter for meter in Meter.objects.exclude(status=MeterStatus.DRAFT)}
    live = list(CostRate.objects.filter(withdrawn_at=None).select_related("meter", "workload"))
    live = [row for row in live if starts(row) < end and start < ends(row)]
    rates = [UsageCostRate.read(row) for row in live if row.kind == CostRateKind.USAGE]
    fixed = [row for row in live if row.kind == CostRateKind.FIXED]
    scope = CostScope(start, end, currency, Assignment.load(), customer_ids)
    names = _names(set(group_by), rates, scope.assignment, with_workload=bool(fixed))
    cut = Cut(_edges(start, end, live, by_day="day" in group_by), names)
    cells = measure_cells(list(meters.values()), cut.edges, group_by=cut.names, customer_ids=customer_ids)
    by_meter: dict[int, list[Cell]] = {}
    for cell in cells:
        by_meter.setdefault(cell.meter_id, []).append(cell)
    costed = Costed(start, end, currency, scope.assignment, meters)
    for meter_id, meter in meters.items():
        its_rates = [each for each in rates if each.row.meter_id == meter_id]
        costed.entries += usage_costs(scope, meter, its_rates, by_meter.get(meter_id, []), cut)
    for row in fixed:
        costed.entries += fixed_costs(scope, row, meters.values(), cells, cut)
    return costed


def _names(
    group_by: set[str], rates: Sequence[UsageCostRate], assignment: Assignment, *, with_workload: bool
) -> list[str]:
    """Give what events must be grouped by: what was asked, what rates price by, what finds the workload."""
    names = [STORED[name] for name in ("customer", "subject") if name in group_by]
    if with_workload or "workload" in group_by:
        names += ["workload_id", *assignment.needed]
    by_rates = {name for each in rates if each.terms is not None for name in each.terms.dimensions}
    asked = group_by - STORED.keys() - set(NOT_EVENTS)
    return list(dict.fromkeys([*names, *(f"dimension:{name}" for name in sorted(by_rates | asked))]))


def _edges(start: datetime, end: datetime, rows: Sequence[CostRate], *, by_day: bool) -> list[datetime]:
    """Cut the time where a month, a rate or a day begins, so that each slot has one rate of a meter."""
    cuts = {start, end}
    cuts |= {month.start for month in months(start, end)}
    for row in rows:
        cuts |= {starts(row), ends(row)}
    if by_day:
        day = start.astimezone(UTC).date()
        cuts |= {midnight(date.fromordinal(n)) for n in range(day.toordinal(), end.date().toordinal() + 1)}
    return sorted(cut for cut in cuts if start <= cut <= end)
