"""What is left of what was earned: revenue from issued and previewed lines, cost from measures.

Costs belong to UTC days and revenue to the customer's own days; by invoice and by line (billing.invoice_margins) both
have the invoice's own instants. What cannot be told apart is shown apart: nothing is spread where nothing says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction

from billing.cost_entries import cost_entries, currency_of_costs
from billing.cost_times import midnight
from billing.costing import CostReport, Unknown, Values, group_costs
from billing.errors import CostsUnclear
from billing.revenue import RevenueLine, revenue_lines
from billing.sharing import ZERO, share_out
from customers.models import Customer
from metering.assigning import Assignment
from metering.cells import Cell, measure_cells
from metering.models import Meter
from metering.periods import Period

MARGIN_GROUPS = ("customer", "plan", "meter", "workload", "subject", "month")
HUNDRED = 100


@dataclass(slots=True)
class Margin:
    """Revenue and cost of one group, exact. `percent` is None where nothing was earned."""

    revenue: Fraction = ZERO
    cost: Fraction = ZERO

    @property
    def margin(self) -> Fraction:
        return self.revenue - self.cost

    @property
    def percent(self) -> Fraction | None:
        return self.margin * HUNDRED / self.revenue if self.revenue else None


@dataclass(slots=True)
class MarginReport:
    """Margins by the values of `names`, the least profitable first.

    `unassigned` is revenue and cost that belong to no group, such as a fee to no ticket. `failures` are sentences on
    customers whose revenue is not known because their usage cannot be priced.
    """

    first: date
    last: date
    currency: str
    names: tuple[str, ...]
    groups: dict[Values, Margin] = field(default_factory=dict)
    unassigned: Margin = field(default_factory=Margin)
    unknown: list[Unknown] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def whole(self) -> Margin:
        every = [*self.groups.values(), self.unassigned]
        return Margin(sum((each.revenue for each in every), ZERO), sum((each.cost for each in every), ZERO))

    def at(self, values: Values) -> Margin:
        return self.groups.setdefault(values, Margin()) if any(values) else self.unassigned

    def sort(self) -> MarginReport:
        """Put what earns least first; give the report itself."""
        self.groups = dict(sorted(self.groups.items(), key=lambda each: (each[1].margin, each[0])))
        return self


def margins(
    first: date,
    last: date,
    *,
    group_by: str,
    now: datetime,
    currency: str | None = None,
    customer_ids: Sequence[int] | None = None,
) -> MarginReport:
    """Give the margins of the days `[first, last)` by one of MARGIN_GROUPS. Writes nothing.

    By invoice and line: billing.invoice_margins. Raises CostsUnclear for another group, or where costs are in several
    currencies and none is named.
    """
    if group_by not in MARGIN_GROUPS:
        message = f"Group by one of: {', '.join(MARGIN_GROUPS)}."
        raise CostsUnclear(message, fields={"group_by": message})
    currency = currency_of_costs(currency)
    revenue = revenue_lines(first, last, now=now, currency=currency, customer_ids=customer_ids)
    names = ("customer", "subject") if group_by == "subject" else (group_by,)
    report = MarginReport(first, last, currency, names)
    report.failures = [problem.message for _, problem in revenue.failures]
    work = _Work(report, revenue.lines, midnight(first), midnight(last), customer_ids)
    match group_by:
        case "plan":
            work.by_plan()
        case "workload" | "subject":
            work.by_events(group_by)
        case "month":
            work.by_month()
        case _:
            work.by_own(group_by)
    return report.sort()


@dataclass(slots=True)
class _Work:
    report: MarginReport
    lines: Sequence[RevenueLine]
    start: datetime
    end: datetime
    customer_ids: Sequence[int] | None

    def _costs(self, *group_by: str) -> CostReport:
        costed = cost_entries(
            self.start,
            self.end,
            group_by=group_by,
            currency=self.report.currency,
            customer_ids=self.customer_ids,
        )
        found = group_costs(costed, group_by)
        self.report.unknown = found.unknown
        return found

    def _add_costs(self, found: CostReport) -> None:
        for values, group in found.groups.items():
            self.report.at(values).cost += group.cost
        self.report.unassigned.cost += found.unassigned

    def _earned(self) -> Iterable[tuple[RevenueLine, Fraction]]:
        for line in self.lines:
            yield line, line.earned(self.report.first, self.report.last)

    def by_own(self, name: str) -> None:
        """By customer or meter: lines and costs both say whose they are."""
        of_meters = dict(Meter.objects.values_list("pk", "code"))
        codes = customer_codes(self.lines) if name == "customer" else of_meters
        for line, amount in self._earned():
            pk = line.customer_id if name == "customer" else line.meter_id
            self.report.at((codes[pk] if pk is not None else "",)).revenue += amount
        self._add_costs(self._costs(name))

    def by_month(self) -> None:
        day = self.report.first
        while day < self.report.last:
            following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            month = self.report.at((f"{day:%Y-%m}",))
            for line in self.lines:
                month.revenue += line.earned(day, min(following, self.report.last))
            day = following
        self._add_costs(self._costs("month"))

    def by_plan(self) -> None:
        """A customer's cost goes to its plan; where it has several, in proportion to what they earn."""
        codes = customer_codes(self.lines)
        plans: dict[str, dict[str, Fraction]] = {}
        for line, amount in self._earned():
            self.report.at((line.plan,)).revenue += amount
            of_customer = plans.setdefault(codes[line.customer_id], {})
            of_customer[line.plan] = of_customer.get(line.plan, ZERO) + amount
        found = self._costs("customer")
        self.report.unassigned.cost += found.unassigned
        for (code,), group in found.groups.items():
            shares = _shares(group.cost, plans.get(code, {}))
            for plan, share in shares.items():
                self.report.at((plan,)).cost += share
            if not shares:
                self.report.unassigned.cost += group.cost

    def by_events(self, name: str) -> None:
        """By workload or subject: a usage line is earned by its events, each by its quantity."""
        assignment = Assignment.load()
        codes = customer_codes(self.lines)
        names = ["workload_id", *assignment.needed] if name == "workload" else ["subject"]
        cells = cells_of_lines(self.lines, names)
        for line, amount in self._earned():
            behind = cells.get((line.customer_id, line.meter_id, line.period), [])
            shares = share_out(amount, [cell.quantity for cell in behind])
            if not behind or shares is None:
                self.report.unassigned.revenue += amount
                continue
            for cell, share in zip(behind, shares, strict=True):
                values = dict(zip([*names, "customer_id"], cell.values, strict=True))
                if name == "workload":
                    pk = assignment.workload_of(cell.meter_id, values)
                    self.report.at(
                        (assignment.workloads[pk].code if pk is not None else "",)
                    ).revenue += share
                elif values["subject"]:
                    self.report.at((codes[line.customer_id], str(values["subject"]))).revenue += share
                else:
                    self.report.unassigned.revenue += share
        if name == "workload":
            self._add_costs(self._costs("workload"))
            return
        found = self._costs("customer", "subject")
        self.report.unassigned.cost += found.unassigned
        for values_of, group in found.groups.items():
            whose = values_of if values_of[1] else ("", "")
            self.report.at(whose).cost += group.cost


def _shares(amount: Fraction, earned: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Share a cost over plans by what they earn; evenly where they earn nothing."""
    shares = share_out(amount, positive(list(earned.values())))
    return dict(zip(earned, shares or [], strict=bool(earned)))


def positive(weights: Sequence[Fraction]) -> list[Fraction]:
    """Give weights that can be shared by: none below zero, and all alike where they come to nothing."""
    kept = [max(weight, ZERO) for weight in weights]
    return kept if any(kept) else [Fraction(1)] * len(kept)


def customer_codes(lines: Iterable[RevenueLine]) -> dict[int, str]:
    """Give the codes of the customers of lines."""
    return dict(
        Customer.objects.filter(pk__in={line.customer_id for line in lines}).values_list("pk", "code")
    )


def cells_of_lines(
    lines: Sequence[RevenueLine], names: Sequence[str]
) -> dict[tuple[int, int | None, Period], list[Cell]]:
    """Measure what is behind usage lines, by customer, meter and period: one query for the sums of each period."""
    periods: dict[Period, tuple[set[int], set[int]]] = {}
    for line in lines:
        if line.meter_id is not None:
            meters, customers = periods.setdefault(line.period, (set(), set()))
            meters.add(line.meter_id)
            customers.add(line.customer_id)
    by_id = Meter.objects.in_bulk({pk for meters, _ in periods.values() for pk in meters})
    found: dict[tuple[int, int | None, Period], list[Cell]] = {}
    for period, (meters, customers) in periods.items():
        for cell in measure_cells(
            [by_id[pk] for pk in sorted(meters)],
            [period.start, period.end],
            group_by=[*names, "customer_id"],
            customer_ids=sorted(customers),
        ):
            customer = cell.values[-1]
            assert isinstance(customer, int)  # grouped by it, and counted events have one
            found.setdefault((customer, cell.meter_id, period), []).append(cell)
    return found
