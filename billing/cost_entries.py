"""What each part of internal work cost, in the finest cut that somebody asks for: quantities at cost rates.

Each meter is rated as a whole, by calendar month in UTC and by the rate that holds, as a provider bills it. The parts
have their share of that by quantity, so every way of grouping comes to the same total. A fixed monthly cost accrues
evenly over the month and is spread by usage. Where the cost is unknown there is a reason, never a zero.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction

from billing.cost_times import ends, midnight, months, part_of, starts
from billing.errors import CostsUnclear
from billing.models import CostRate, CostRateKind
from billing.rating import TermsError, UsageRate, needs_event_amounts, parse_rate
from billing.sharing import ZERO, cost_by_values, is_linear, no_row, share_out, unit_price
from metering.aggregation import Group
from metering.assigning import Assignment
from metering.cells import Cell, Whole, is_plain_sum, measure_cells, measure_whole
from metering.models import Meter, MeterStatus

DEFAULT_CURRENCY = "USD"
NO_RATE = "There is no cost rate for this meter."
STORED = {"customer": "customer_id", "workload": "workload_id", "subject": "subject"}
NOT_EVENTS = ("meter", "day", "month")


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
    priced = [_Priced.read(row) for row in live if row.kind == CostRateKind.USAGE]
    fixed = [row for row in live if row.kind == CostRateKind.FIXED]
    work = _Work(start, end, currency, priced, fixed, Assignment.load(), meters, set(group_by), customer_ids)
    return Costed(start, end, currency, work.assignment, meters, work.entries())


@dataclass(frozen=True, slots=True)
class _Priced:
    """A usage cost rate, read once. `terms` is None where they cannot be read; then `problem` says why."""

    row: CostRate
    terms: UsageRate | None
    problem: str
    linear: bool

    @classmethod
    def read(cls, row: CostRate) -> _Priced:
        try:
            terms = parse_rate(row.terms)
        except TermsError as refused:
            return cls(row, None, refused.message, linear=True)
        assert isinstance(terms, UsageRate)  # add_cost_rate wrote them
        return cls(row, terms, "", is_linear(terms))

    def holds(self, at: datetime) -> bool:
        return starts(self.row) <= at < ends(self.row)


@dataclass(slots=True)
class _Work:
    """One costing. Slots of time are cut where a month, a rate or a day begins, so each has one rate of a meter."""

    start: datetime
    end: datetime
    currency: str
    priced: list[_Priced]
    fixed: list[CostRate]
    assignment: Assignment
    meters: Mapping[int, Meter]
    group_by: set[str]
    customer_ids: Sequence[int] | None

    def entries(self) -> list[CostEntry]:
        edges = self._edges(self.start, self.end)
        names = self._names()
        cells = measure_cells(
            list(self.meters.values()), edges, group_by=names, customer_ids=self.customer_ids
        )
        found: list[CostEntry] = []
        by_meter: dict[int, list[Cell]] = {}
        for cell in cells:
            by_meter.setdefault(cell.meter_id, []).append(cell)
        for meter_id, meter in self.meters.items():
            found += self._of_meter(meter, by_meter.get(meter_id, []), edges, names)
        for row in self.fixed:
            found += self._of_fixed(row, cells, edges, names)
        return found

    def _names(self) -> list[str]:
        """Give what events must be grouped by: what was asked, what rates price by, what finds the workload."""
        names = [STORED[name] for name in ("customer", "subject") if name in self.group_by]
        if self.fixed or "workload" in self.group_by:
            names += ["workload_id", *self.assignment.needed]
        by_rates = {name for each in self.priced if each.terms is not None for name in each.terms.dimensions}
        asked = self.group_by - STORED.keys() - set(NOT_EVENTS)
        return list(dict.fromkeys([*names, *(f"dimension:{name}" for name in sorted(by_rates | asked))]))

    def _edges(self, start: datetime, end: datetime) -> list[datetime]:
        cuts = {start, end}
        cuts |= {month.start for month in months(start, end)}
        for row in [*(each.row for each in self.priced), *self.fixed]:
            cuts |= {starts(row), ends(row)}
        if "day" in self.group_by:
            day = start.astimezone(UTC).date()
            cuts |= {
                midnight(date.fromordinal(n)) for n in range(day.toordinal(), end.date().toordinal() + 1)
            }
        return sorted(cut for cut in cuts if start <= cut <= end)

    # What a meter counted

    def _of_meter(
        self, meter: Meter, cells: Sequence[Cell], edges: Sequence[datetime], names: Sequence[str]
    ) -> Iterable[CostEntry]:
        rates = [each for each in self.priced if each.row.meter_id == meter.pk]
        whole: list[Cell] = []
        for cell in cells:
            at = edges[cell.slot]
            rate = next((each for each in rates if each.holds(at)), None)
            if rate is None:
                yield self._entry(cell, names, at, rate=None, cost=None, reason=_no_rate(rates, at))
            elif problem := self._problem(rate):
                yield self._entry(cell, names, at, rate=rate.row, cost=None, reason=problem)
            elif rate.linear and is_plain_sum(meter):
                yield self._at_one_price(cell, names, at, rate)
            else:
                whole.append(cell)
        for rate in rates:
            if not self._problem(rate) and not (rate.linear and is_plain_sum(meter)):
                for month in months(self.start, self.end):
                    first, last = max(month.start, starts(rate.row)), min(month.end, ends(rate.row))
                    if max(first, self.start) < min(last, self.end):
                        yield from self._of_whole(meter, rate, first, last, whole, edges, names)

    def _problem(self, rate: _Priced) -> str:
        if rate.row.currency != self.currency:
            return f"Its cost rate is in {rate.row.currency}, and nothing is converted."
        return rate.problem

    def _at_one_price(self, cell: Cell, names: Sequence[str], at: datetime, rate: _Priced) -> CostEntry:
        assert rate.terms is not None
        values = _dimensions(rate.terms, dict(zip(names, cell.values, strict=True)))
        price = unit_price(rate.terms, values)
        if price is None:
            return self._entry(cell, names, at, rate=rate.row, cost=None, reason=no_row(rate.terms, values))
        return self._entry(cell, names, at, rate=rate.row, cost=cell.quantity * price)

    def _of_whole(
        self,
        meter: Meter,
        rate: _Priced,
        first: datetime,
        last: datetime,
        cells: Sequence[Cell],
        edges: Sequence[datetime],
        names: Sequence[str],
    ) -> Iterable[CostEntry]:
        """Rate the time `[first, last)` of one rate in one month as a whole; give the shares of what was asked for."""
        assert rate.terms is not None
        wholes: list[Whole] = measure_whole(
            meter, first, last, dimensions=rate.terms.dimensions, with_values=needs_event_amounts(rate.terms)
        )
        costs, reasons, left = cost_by_values(rate.terms, wholes)
        partial = self.customer_ids is not None or first < self.start or self.end < last
        if partial:  # the share is one of everything, so everything has to be known
            names = [*names, *([] if "customer_id" in names else ["customer_id"])]
            edges = sorted({first, last, *(edge for edge in edges if first < edge < last)})
            inside = measure_cells([meter], edges, group_by=names)
        else:
            inside = [cell for cell in cells if first <= edges[cell.slot] < last]
        by_values: dict[tuple[str, ...], list[Cell]] = {}
        for cell in inside:
            named = _dimensions(rate.terms, dict(zip(names, cell.values, strict=True)))
            by_values.setdefault(tuple(named.values()), []).append(cell)
        for values, members in by_values.items():
            shares = share_out(costs.get(values, ZERO), [cell.quantity for cell in members])
            reason = reasons.get(values, "")
            if shares is None:
                left += costs[values]
            for place, cell in enumerate(members):
                at = edges[cell.slot]
                if partial and not self._asked(at, names, cell):
                    continue
                cost = None if reason else shares[place] if shares else ZERO
                yield self._entry(cell, names, at, rate=rate.row, cost=cost, reason=reason)
        if left and self.customer_ids is None:
            # Owed whatever was used, such as a minimum: it belongs to nobody, and to the time by its length.
            begin, finish = max(first, self.start), min(last, self.end)
            yield self._nobodys(
                rate.row, begin, left * part_of(begin, finish, first, last), meter_id=meter.pk
            )

    def _asked(self, at: datetime, names: Sequence[str], cell: Cell) -> bool:
        if not self.start <= at < self.end:
            return False
        return self.customer_ids is None or cell.values[names.index("customer_id")] in self.customer_ids

    # What a workload costs each month

    def _of_fixed(
        self, row: CostRate, cells: Sequence[Cell], edges: Sequence[datetime], names: Sequence[str]
    ) -> Iterable[CostEntry]:
        assert row.amount is not None
        assert row.workload_id is not None  # held by costrate_meter_or_workload
        for month in months(self.start, self.end):
            first = max(month.start, starts(row), self.start)
            last = min(month.end, ends(row), self.end)
            if first >= last:
                continue
            if row.currency != self.currency:
                reason = f"Its fixed cost is in {row.currency}, and nothing is converted."
                yield self._nobodys(row, first, None, reason=reason)
                continue
            amount = Fraction(row.amount) * part_of(first, last, month.start, month.end)
            mine = [cell for cell in cells if first <= edges[cell.slot] < last]
            if self.customer_ids is None:
                everything, of_all = mine, names
            else:
                of_all = ["workload_id", *self.assignment.needed]
                everything = measure_cells(list(self.meters.values()), [first, last], group_by=of_all)
            family = self._basis(row, everything, of_all)
            whole = sum((_weight(row, cell) for cell in everything if self._in(family, cell, of_all)), ZERO)
            if not whole:
                if self.customer_ids is None:
                    yield self._nobodys(row, first, amount)
                continue
            for cell in mine:
                weight = _weight(row, cell)
                if weight and self._in(family, cell, names):
                    yield CostEntry(
                        row,
                        None,
                        row.workload_id,
                        edges[cell.slot],
                        dict(zip(names, cell.values, strict=True)),
                        ZERO,
                        0,
                        amount * weight / whole,
                    )

    def _basis(self, row: CostRate, cells: Sequence[Cell], names: Sequence[str]) -> set[int] | None:
        """Give the workloads whose usage a fixed cost is spread by: its own and those that are part of it.

        Where they have none, those of the workload it is part of; where nobody has any, None: all usage.
        """
        used = {
            self.assignment.workload_of(cell.meter_id, dict(zip(names, cell.values, strict=True)))
            for cell in cells
            if _weight(row, cell)
        }
        at = row.workload_id
        while at is not None:
            family = self.assignment.family_of(at)
            if family & used:
                return family
            at = self.assignment.workloads[at].parent_id
        return None

    def _in(self, family: set[int] | None, cell: Cell, names: Sequence[str]) -> bool:
        if family is None:
            return True
        values = dict(zip(names, cell.values, strict=True))
        return self.assignment.workload_of(cell.meter_id, values) in family

    # Entries

    def _entry(
        self,
        cell: Cell,
        names: Sequence[str],
        at: datetime,
        *,
        rate: CostRate | None,
        cost: Fraction | None,
        reason: str = "",
    ) -> CostEntry:
        values = dict(zip(names, cell.values, strict=True))
        workload = self.assignment.workload_of(cell.meter_id, values) if "workload_id" in values else None
        return CostEntry(rate, cell.meter_id, workload, at, values, cell.quantity, cell.events, cost, reason)

    def _nobodys(
        self,
        row: CostRate,
        at: datetime,
        cost: Fraction | None,
        *,
        meter_id: int | None = None,
        reason: str = "",
    ) -> CostEntry:
        return CostEntry(row, meter_id, row.workload_id, at, {}, ZERO, 0, cost, reason)


def _no_rate(rates: Sequence[_Priced], at: datetime) -> str:
    later = min((starts(each.row) for each in rates if starts(each.row) > at), default=None)
    if later is not None:
        return f"There is no cost rate for this meter before {later:%Y-%m-%d}."
    ended = max((ends(each.row) for each in rates if ends(each.row) <= at), default=None)
    return NO_RATE if ended is None else f"There is no cost rate for this meter from {ended:%Y-%m-%d} on."


def _weight(row: CostRate, cell: Cell) -> Fraction:
    if row.meter_id is None:
        return Fraction(cell.events)
    return max(cell.quantity, ZERO) if cell.meter_id == row.meter_id else ZERO


def _dimensions(terms: UsageRate, values: Mapping[str, Group]) -> dict[str, str]:
    return {name: str(values[f"dimension:{name}"]) for name in terms.dimensions}
