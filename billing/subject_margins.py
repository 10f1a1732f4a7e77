"""What one subject earned and cost: the invoice's price of its outcomes, and its work by workload. For staff only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from billing.cost_entries import cost_entries
from billing.cost_times import months
from billing.sharing import ZERO
from billing.subject_story import StoryOutcome
from customers.models import Customer
from metering.outcomes import OutcomeState


@dataclass(slots=True)
class SubjectMargin:
    """Amounts are exact fractions in `currency`. `workloads` are by name, the dearest first.

    `unknown` are meters whose part of the cost is not known, with the reason; then cost and margin are not whole.
    """

    currency: str
    revenue: Fraction = ZERO
    workloads: list[tuple[str, Fraction]] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)

    @property
    def cost(self) -> Fraction:
        return sum((cost for _, cost in self.workloads), ZERO)

    @property
    def margin(self) -> Fraction | None:
        """Revenue less cost; None while a part of the cost is unknown."""
        return None if self.unknown else self.revenue - self.cost

    @property
    def percent(self) -> Fraction | None:
        """The margin in percent of the revenue; None without revenue or with unknown cost."""
        return None if self.margin is None or not self.revenue else 100 * self.margin / self.revenue


def subject_margin(
    customer: Customer,
    subject: str,
    outcomes: Sequence[StoryOutcome],
    *,
    first: datetime,
    last: datetime,
    currency: str,
    now: datetime,
) -> SubjectMargin:
    """Cost the work for a subject in the months (UTC) of its events, up to now, and set its price against it.

    Costs are those that the page of costs shows by subject for these months. An outcome earns its part of its line
    after discounts; one that was credited earns nothing. Measures one customer's usage of these months.
    """
    whole = list(months(first, last))
    start, end = whole[0].start, max(min(whole[-1].end, now), first)
    found = SubjectMargin(currency, revenue=sum((earned(each) for each in outcomes), ZERO))
    costed = cost_entries(
        start, end, group_by=["workload", "subject"], currency=currency, customer_ids=[customer.pk]
    )
    by_workload: dict[str, Fraction] = {}
    unknown: dict[str, str] = {}
    for entry in costed.entries:
        if entry.values.get("subject") != subject:
            continue
        if entry.cost is None:
            meter = costed.meters.get(entry.meter_id) if entry.meter_id is not None else None
            unknown[meter.label if meter else "Fixed cost"] = entry.reason
            continue
        workload = costed.assignment.workloads.get(entry.workload_id) if entry.workload_id else None
        name = workload.name if workload else "No workload"
        by_workload[name] = by_workload.get(name, ZERO) + entry.cost
    found.workloads = sorted(
        ((name, cost) for name, cost in by_workload.items() if cost), key=lambda row: (-row[1], row[0])
    )
    found.unknown = sorted(unknown.items())
    return found


def earned(each: StoryOutcome) -> Fraction:
    """Give an outcome's part of the line that billed it, after discounts; nothing while none did."""
    line, value = each.line, each.outcome.event.counted_value
    if line is None or not line.quantity or each.outcome.state == OutcomeState.CREDITED:
        return ZERO
    return Fraction(line.amount - line.discount) * Fraction(value) / Fraction(line.quantity)
