"""Margins of invoices and of their lines: each invoice as a whole, with the cost of its customer in its own time.

A cost is a line's own where the line bills the same meter, or where its event has a subject that the line counted:
calls and tokens of a ticket are the cost of its line. What is on no line stays on the invoice, in a row of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import pairwise

from billing.cost_cuts import CostEntry
from billing.cost_entries import cost_entries, currency_of_costs
from billing.costing import Unknown, Values, group_costs
from billing.margins import MarginReport, cells_of_lines, customer_codes, positive
from billing.revenue import RevenueLine, revenue_lines
from billing.sharing import ZERO, share_out
from metering.periods import Period

INVOICE = ("invoice", "customer", "plan", "period_start")
LINE = (*INVOICE, "line", "description")
# A line that earns nothing still has its evidence.
LEAST = Fraction(1, 10**9)


def invoice_margins(
    first: date,
    last: date,
    *,
    by_line: bool,
    now: datetime,
    currency: str | None = None,
    customer_ids: Sequence[int] | None = None,
    invoice_id: int | None = None,
) -> MarginReport:
    """Give the margins of invoices, issued and previewed, whose period begins in `[first, last)`. Writes nothing.

    By line, `line` and `description` are empty in the row of what is tied to no line. `invoice_id` shows one invoice;
    the others of its customer still have their share. Raises CostsUnclear like `margins`.
    """
    currency = currency_of_costs(currency)
    revenue = revenue_lines(first, last, now=now, currency=currency, customer_ids=customer_ids)
    lines = [line for line in revenue.lines if first <= line.span.start_on < last]
    report = MarginReport(first, last, currency, LINE if by_line else INVOICE)
    report.failures = [problem.message for _, problem in revenue.failures]
    work = _Work(report, lines, customer_codes(lines), by_line)
    for line in lines:
        report.at(work.name(line)).revenue += line.amount
    for period, customers in _parts(lines).items():
        if period.start < now:
            work.cost(period, min(period.end, now), customers)
    if invoice_id is not None:
        wanted = {work.name(line)[:4] for line in lines if line.invoice_id == invoice_id}
        report.groups = {values: group for values, group in report.groups.items() if values[:4] in wanted}
    return report.sort()


@dataclass(slots=True)
class _Work:
    report: MarginReport
    lines: Sequence[RevenueLine]
    codes: Mapping[int, str]
    by_line: bool

    def name(self, line: RevenueLine) -> Values:
        """Give the values of a line's row; the number is empty where the invoice is previewed."""
        start = line.span.start_on.isoformat()
        invoice = (line.number or "", self.codes[line.customer_id], line.plan, start)
        return (*invoice, str(line.n), line.description) if self.by_line else invoice

    def cost(self, period: Period, end: datetime, customers: Mapping[int, Sequence[RevenueLine]]) -> None:
        """Put the costs of some customers in a time on the invoices that cover it."""
        costed = cost_entries(
            period.start,
            end,
            group_by=["customer", "subject"] if self.by_line else ["customer"],
            currency=self.report.currency,
            customer_ids=sorted(customers),
        )
        self.report.unknown = _merged(self.report.unknown, group_costs(costed, []).unknown)
        tied = self._tied(customers) if self.by_line else {}
        for entry in costed.entries:
            customer = entry.values.get("customer_id")
            lines = customers.get(customer, ()) if isinstance(customer, int) else ()
            if entry.cost and lines:
                self._put(entry, entry.cost, lines, period, tied)

    def _put(
        self,
        entry: CostEntry,
        cost: Fraction,
        lines: Sequence[RevenueLine],
        period: Period,
        tied: Mapping[tuple[int, str, RevenueLine], Fraction],
    ) -> None:
        chosen, weights, is_rest = (
            list(lines),
            [each.earned(period.start_on, period.end_on) for each in lines],
            False,
        )
        if self.by_line:
            own = [line for line in lines if line.meter_id is not None and line.meter_id == entry.meter_id]
            subject = str(entry.values.get("subject") or "")
            on = [line for line in lines if (line.customer_id, subject, line) in tied]
            if own:
                chosen, weights = own, [each.earned(period.start_on, period.end_on) for each in own]
            elif subject and on:
                chosen, weights = on, [tied[line.customer_id, subject, line] for line in on]
            else:
                is_rest = True
        shares = share_out(cost, positive(weights))
        assert shares is not None  # positive weights come to something
        for line, share in zip(chosen, shares, strict=True):
            name = self.name(line)
            self.report.at((*name[:4], "", "") if is_rest else name).cost += share

    def _tied(
        self, customers: Mapping[int, Sequence[RevenueLine]]
    ) -> dict[tuple[int, str, RevenueLine], Fraction]:
        """Give what each line earns with each subject that it counted."""
        lines = [line for own in customers.values() for line in own if line.meter_id is not None]
        cells = cells_of_lines(lines, ["subject"])
        found: dict[tuple[int, str, RevenueLine], Fraction] = {}
        for line in lines:
            behind = cells.get((line.customer_id, line.meter_id, line.period), [])
            shares = share_out(max(line.amount, LEAST), [cell.quantity for cell in behind]) or []
            for cell, share in zip(behind, shares, strict=False):
                if cell.values[0]:
                    found[line.customer_id, str(cell.values[0]), line] = max(share, ZERO)
        return found


def _parts(lines: Sequence[RevenueLine]) -> dict[Period, dict[int, list[RevenueLine]]]:
    """Cut each customer's time where one of its invoices begins or ends; give who has which lines in each part."""
    by_customer: dict[int, list[RevenueLine]] = {}
    for line in lines:
        by_customer.setdefault(line.customer_id, []).append(line)
    found: dict[Period, dict[int, list[RevenueLine]]] = {}
    for customer, own in by_customer.items():
        cuts = sorted({day for line in own for day in (line.span.start_on, line.span.end_on)})
        for first, last in pairwise(cuts):
            inside = [line for line in own if line.span.start_on <= first and last <= line.span.end_on]
            if inside:
                found.setdefault(Period(first, last, inside[0].span.zone), {})[customer] = inside
    return found


def _merged(one: Sequence[Unknown], other: Sequence[Unknown]) -> list[Unknown]:
    found = {(each.meter, each.reason): each for each in one}
    for each in other:
        before = found.get((each.meter, each.reason))
        quantity = each.quantity + (before.quantity if before else ZERO)
        found[each.meter, each.reason] = Unknown(each.meter, quantity, each.reason)
    return list(found.values())
