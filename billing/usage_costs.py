"""What the usage of a meter cost: quantities at usage cost rates.

A rate without tiers or limits prices each part by itself. Any other rates the meter as a whole, by calendar month, and
the parts have their share of that by quantity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from billing.cost_cuts import CostEntry, CostScope, Cut, nobodys_entry
from billing.cost_times import ends, months, part_of, starts
from billing.models import CostRate
from billing.rating import TermsError, UsageRate, needs_event_amounts, parse_rate
from billing.sharing import ZERO, cost_by_values, is_linear, no_row, share_out, unit_price
from metering.aggregation import Group
from metering.cells import Cell, Whole, is_plain_sum, measure_cells, measure_whole
from metering.models import Meter

NO_RATE = "There is no cost rate for this meter."


@dataclass(frozen=True, slots=True)
class UsageCostRate:
    """A usage cost rate, read once. `terms` is None where they cannot be read; then `problem` says why."""

    row: CostRate
    terms: UsageRate | None
    problem: str
    is_linear: bool

    @classmethod
    def read(cls, row: CostRate) -> UsageCostRate:
        try:
            terms = parse_rate(row.terms)
        except TermsError as refused:
            return cls(row, None, refused.message, is_linear=True)
        assert isinstance(terms, UsageRate)  # add_cost_rate wrote them
        return cls(row, terms, "", is_linear(terms))

    def holds(self, at: datetime) -> bool:
        return starts(self.row) <= at < ends(self.row)

    def problem_in(self, currency: str) -> str:
        """Say why nothing can be costed by it in a currency; empty when it can."""
        if self.row.currency != currency:
            return f"Its cost rate is in {self.row.currency}, and nothing is converted."
        return self.problem


def usage_costs(
    scope: CostScope, meter: Meter, rates: Sequence[UsageCostRate], cells: Sequence[Cell], cut: Cut
) -> Iterable[CostEntry]:
    """Cost what a meter counted: one entry for each cell, and one for what is owed whatever was used.

    `cells` are the meter's, cut so that each has one rate; `rates` are the meter's.
    """
    whole: list[Cell] = []
    for cell in cells:
        at = cut.at(cell)
        rate = next((each for each in rates if each.holds(at)), None)
        if rate is None:
            yield _entry(scope, cell, cut, rate=None, cost=None, reason=_no_rate(rates, at))
        elif problem := rate.problem_in(scope.currency):
            yield _entry(scope, cell, cut, rate=rate.row, cost=None, reason=problem)
        elif rate.is_linear and is_plain_sum(meter):
            yield _at_one_price(scope, cell, cut, rate)
        else:
            whole.append(cell)
    for rate in rates:
        if not rate.problem_in(scope.currency) and not (rate.is_linear and is_plain_sum(meter)):
            for month in months(scope.start, scope.end):
                first, last = max(month.start, starts(rate.row)), min(month.end, ends(rate.row))
                if max(first, scope.start) < min(last, scope.end):
                    yield from _of_whole(scope, meter, rate, first, last, whole, cut)


def _at_one_price(scope: CostScope, cell: Cell, cut: Cut, rate: UsageCostRate) -> CostEntry:
    assert rate.terms is not None
    values = _dimensions(rate.terms, cut.values(cell))
    price = unit_price(rate.terms, values)
    if price is None:
        return _entry(scope, cell, cut, rate=rate.row, cost=None, reason=no_row(rate.terms, values))
    return _entry(scope, cell, cut, rate=rate.row, cost=cell.quantity * price)


def _of_whole(
    scope: CostScope,
    meter: Meter,
    rate: UsageCostRate,
    first: datetime,
    last: datetime,
    cells: Sequence[Cell],
    cut: Cut,
) -> Iterable[CostEntry]:
    """Rate the time `[first, last)` of one rate in one month as a whole; give the shares of what was asked for."""
    assert rate.terms is not None
    wholes: list[Whole] = measure_whole(
        meter, first, last, dimensions=rate.terms.dimensions, with_values=needs_event_amounts(rate.terms)
    )
    costs, reasons, left = cost_by_values(rate.terms, wholes)
    partial = scope.customer_ids is not None or first < scope.start or scope.end < last
    if partial:  # the share is one of everything, so everything has to be known
        names = [*cut.names, *([] if "customer_id" in cut.names else ["customer_id"])]
        cut = Cut(sorted({first, last, *(edge for edge in cut.edges if first < edge < last)}), names)
        inside = measure_cells([meter], cut.edges, group_by=cut.names)
    else:
        inside = [cell for cell in cells if first <= cut.at(cell) < last]
    by_values: dict[tuple[str, ...], list[Cell]] = {}
    for cell in inside:
        named = _dimensions(rate.terms, cut.values(cell))
        by_values.setdefault(tuple(named.values()), []).append(cell)
    for values, members in by_values.items():
        shares = share_out(costs.get(values, ZERO), [cell.quantity for cell in members])
        reason = reasons.get(values, "")
        if shares is None:
            left += costs[values]
        for place, cell in enumerate(members):
            if partial and not _is_asked(scope, cell, cut):
                continue
            cost = None if reason else shares[place] if shares else ZERO
            yield _entry(scope, cell, cut, rate=rate.row, cost=cost, reason=reason)
    if left and scope.customer_ids is None:
        # Owed whatever was used, such as a minimum: it belongs to nobody, and to the time by its length.
        begin, finish = max(first, scope.start), min(last, scope.end)
        share = left * part_of(begin, finish, first, last)
        yield nobodys_entry(rate.row, begin, share, meter_id=meter.pk)


def _is_asked(scope: CostScope, cell: Cell, cut: Cut) -> bool:
    if not scope.start <= cut.at(cell) < scope.end:
        return False
    return scope.customer_ids is None or cut.values(cell)["customer_id"] in scope.customer_ids


def _entry(
    scope: CostScope,
    cell: Cell,
    cut: Cut,
    *,
    rate: CostRate | None,
    cost: Fraction | None,
    reason: str = "",
) -> CostEntry:
    values = cut.values(cell)
    workload = scope.assignment.workload_of(cell.meter_id, values) if "workload_id" in values else None
    return CostEntry(
        rate, cell.meter_id, workload, cut.at(cell), values, cell.quantity, cell.events, cost, reason
    )


def _no_rate(rates: Sequence[UsageCostRate], at: datetime) -> str:
    later = min((starts(each.row) for each in rates if starts(each.row) > at), default=None)
    if later is not None:
        return f"There is no cost rate for this meter before {later:%Y-%m-%d}."
    ended = max((ends(each.row) for each in rates if ends(each.row) <= at), default=None)
    return NO_RATE if ended is None else f"There is no cost rate for this meter from {ended:%Y-%m-%d} on."


def _dimensions(terms: UsageRate, values: Mapping[str, Group]) -> dict[str, str]:
    return {name: str(values[f"dimension:{name}"]) for name in terms.dimensions}
