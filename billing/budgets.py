"""Where budgets stand: what a month has cost or brought so far, and what it comes to at the same pace.

The figures are those of the pages: costs and revenue of the days from the first of the month to the end of today, in
UTC, by the same functions. All budgets share a handful of queries. What is not known is said, never taken as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import accumulate

from billing.cost_cuts import CostEntry
from billing.cost_entries import Costed, cost_entries
from billing.cost_times import midnight
from billing.costing import CostReport, group_costs
from billing.margins import Margin, MarginReport, margins
from billing.models import Budget, BudgetMeasure
from billing.months import Month
from billing.revenue import Revenue, revenue_lines

# Before the third day a month says too little about its end.
FORECAST_FROM = 3
NOTHING = Fraction(0)


@dataclass(frozen=True, slots=True)
class BudgetState:
    """One budget in one month. `spent` is None for a margin, and `margin` for the rest; amounts are exact.

    `unknown` are sentences on what is missing: with any, the true cost is higher than the one given.
    """

    budget: Budget
    month: Month
    days: int
    spent: Fraction | None = None
    margin: Margin | None = None
    unknown: tuple[str, ...] = ()

    @property
    def days_of_month(self) -> int:
        return (self.month.following - self.month.first).days

    @property
    def on(self) -> date:
        """The last day that is in the figures."""
        return self.month.first + timedelta(days=self.days - 1)

    @property
    def percent(self) -> Fraction | None:
        """Give how much of the amount is used, or the margin, in percent; None where nothing was billed."""
        if self.margin is not None:
            return self.margin.percent
        assert self.spent is not None
        assert self.budget.amount is not None  # held by budget_amount_or_margin
        return self.spent * 100 / Fraction(self.budget.amount)

    @property
    def forecast(self) -> Fraction | None:
        """Give the whole month at the pace so far; None for a margin, and before the third day."""
        if self.spent is None or self.days < FORECAST_FROM:
            return None
        return self.spent * self.days_of_month / self.days

    @property
    def reached(self) -> list[int]:
        """Give the thresholds that are reached."""
        percent = self.percent
        if self.margin is not None or percent is None:
            return []
        return [each for each in sorted(self.budget.thresholds) if percent >= each]

    @property
    def is_exceeded(self) -> bool:
        """Tell whether the amount is used up, or the margin too low."""
        percent = self.percent
        if percent is None:
            return False
        if self.budget.least_percent is not None:
            return percent < Fraction(self.budget.least_percent)
        return percent >= 100

    @property
    def will_exceed(self) -> bool:
        """Tell whether the amount is not used up and is going to be."""
        if self.forecast is None or self.is_exceeded or self.days >= self.days_of_month:
            return False
        assert self.budget.amount is not None
        return self.forecast > Fraction(self.budget.amount)


def budget_states(budgets: Sequence[Budget], month: Month, *, now: datetime) -> list[BudgetState]:
    """Give where budgets stand in a month that has begun. Writes nothing."""
    last = _last_day(month, now)
    days = (last - month.first).days
    found: dict[int, BudgetState] = {}
    for currency in sorted({budget.currency for budget in budgets}):
        figures = _Figures(month, last, currency, now)
        for budget in budgets:
            if budget.currency == currency:
                spent, margin, unknown = figures.of(budget)
                found[budget.pk] = BudgetState(budget, month, days, spent, margin, tuple(unknown))
    return [found[budget.pk] for budget in budgets]


@dataclass(slots=True)
class _Figures:
    """The figures of all budgets in one currency, each worked out when the first budget asks for it."""

    month: Month
    last: date
    currency: str
    now: datetime
    costed: Costed | None = None
    revenue: Revenue | None = None
    reports: dict[str, MarginReport] = field(default_factory=dict)

    def of(self, budget: Budget) -> tuple[Fraction | None, Margin | None, list[str]]:
        match budget.measure:
            case BudgetMeasure.COST:
                report = self._costs_of(budget)
                return report.total, None, _unknown(report)
            case BudgetMeasure.SPEND:
                return self._spend(budget), None, self._unpriced(budget)
        margin, unknown = self._margin(budget)
        return None, margin, unknown

    def _costs_of(self, budget: Budget) -> CostReport:
        costed = self._all_costs()
        return group_costs(costed, (), only=_of_budget(budget, costed))

    def _all_costs(self) -> Costed:
        if self.costed is None:
            self.costed = cost_entries(
                midnight(self.month.first), midnight(self.last), group_by=("workload", "customer"),
                currency=self.currency,
            )  # fmt: skip
        return self.costed

    def _all_revenue(self) -> Revenue:
        if self.revenue is None:
            self.revenue = revenue_lines(self.month.first, self.last, now=self.now, currency=self.currency)
        return self.revenue

    def _spend(self, budget: Budget) -> Fraction:
        lines = (
            line
            for line in self._all_revenue().lines
            if (budget.customer_id is not None and line.customer_id == budget.customer_id)
            or (budget.plan_code and line.plan == budget.plan_code)
        )
        return sum((line.earned(self.month.first, self.last) for line in lines), NOTHING)

    def _unpriced(self, budget: Budget) -> list[str]:
        return [
            problem.message
            for due, problem in self._all_revenue().failures
            if budget.customer_id in (None, due.subscription.customer_id)
            and budget.plan_code in ("", due.subscription.plan.code)
        ]

    def _margin(self, budget: Budget) -> tuple[Margin, list[str]]:
        by = "customer" if budget.customer_id else "plan" if budget.plan_code else "workload"
        if by not in self.reports:
            self.reports[by] = margins(
                self.month.first, self.last, group_by=by, now=self.now, currency=self.currency
            )
        report = self.reports[by]
        if by == "workload":
            assert budget.workload_id is not None
            assignment = self._all_costs().assignment
            codes = [assignment.workloads[pk].code for pk in assignment.family_of(budget.workload_id)]
        else:
            codes = [budget.customer.code if budget.customer is not None else budget.plan_code]
        whole = Margin()
        for code in codes:
            part = report.groups.get((code,), Margin())
            whole.revenue += part.revenue
            whole.cost += part.cost
        # A plan's customers share costs by what they earn: what is unknown of anybody may be unknown of the plan.
        costs = _unknown(report) if budget.plan_code else _unknown(self._costs_of(budget))
        return whole, [*costs, *self._unpriced(budget)]


def cost_by_day(budget: Budget, month: Month, *, now: datetime) -> list[Fraction]:
    """Give what a cost budget had spent at the end of each day of a month so far."""
    last = _last_day(month, now)
    groups = ("workload", "customer", "day")
    costed = cost_entries(midnight(month.first), midnight(last), group_by=groups, currency=budget.currency)
    by_day = group_costs(costed, ["day"], only=_of_budget(budget, costed)).groups
    each = (
        by_day.get((f"{month.first + timedelta(days=n):%Y-%m-%d}",)) for n in range((last - month.first).days)
    )
    return list(accumulate(group.cost if group else NOTHING for group in each))


def _last_day(month: Month, now: datetime) -> date:
    """Give the day after the last that is in the figures: tomorrow, in a month that is over its end."""
    return min(now.astimezone(UTC).date() + timedelta(days=1), month.following)


def _of_budget(budget: Budget, costed: Costed) -> Callable[[CostEntry], bool]:
    """Choose the entries of a workload with its parts, or of a customer."""
    if budget.customer_id is None:
        assert budget.workload_id is not None  # held by budget_is_for_one_thing
        family = costed.assignment.family_of(budget.workload_id)
        return lambda each: each.workload_id in family
    # What is unknown and nobody's, such as a fixed cost in another currency, may be this customer's in part.
    return lambda each: (
        each.values.get("customer_id") == budget.customer_id
        or (each.cost is None and "customer_id" not in each.values)
    )


def _unknown(report: CostReport | MarginReport) -> list[str]:
    return list(_sentences(report))


def _sentences(report: CostReport | MarginReport) -> Iterable[str]:
    for each in report.unknown:
        what = each.meter.label if each.meter is not None else "A fixed cost"
        yield f"{what}: {each.reason}"
