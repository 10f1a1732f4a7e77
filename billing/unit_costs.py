"""What one unit of a meter costs, as far as it is known: by its cost rate, or as the last full month measured it.

The measured cost of a result has the work behind it: what was spent on events with the same subject, and its share of
fixed costs. It is the price at which the result breaks even.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from billing.cost_entries import cost_entries
from billing.cost_times import ends, midnight, starts
from billing.models import CostRate, CostRateKind
from billing.rating import TermsError, UsageRate, parse_rate
from billing.sharing import ZERO, is_linear, unit_price
from metering.models import Meter


@dataclass(frozen=True, slots=True)
class MeasuredCost:
    """What a meter counted in a full month, and what it cost with the work behind it."""

    month: datetime
    quantity: Fraction
    own: Fraction
    behind: Fraction

    @property
    def each(self) -> Fraction:
        return (self.own + self.behind) / self.quantity


@dataclass(frozen=True, slots=True)
class UnitCost:
    """What is known of a meter's unit cost in one currency. Both may be missing."""

    terms: UsageRate | None = None
    measured: MeasuredCost | None = None

    def of(self, dimensions: Mapping[str, str]) -> Fraction | None:
        """Give the highest known cost of a unit with these dimension values; None: nothing is known."""
        known = [] if self.measured is None else [self.measured.each]
        # A rate by dimensions says nothing of a price that does not tell them apart.
        if self.terms is not None and set(self.terms.dimensions) <= dimensions.keys():
            price = unit_price(self.terms, dimensions)
            known += [] if price is None else [price]
        return max(known, default=None)


def current_rates(now: datetime) -> list[CostRate]:
    """Give the cost rates of meters that hold now, to look at many plans with one query."""
    rows = CostRate.objects.filter(kind=CostRateKind.USAGE, withdrawn_at=None)
    return [row for row in rows if starts(row) <= now < ends(row)]


def unit_costs(
    meters: Sequence[Meter],
    *,
    currency: str,
    now: datetime,
    rates: Sequence[CostRate],
    measured: bool = False,
) -> dict[int, UnitCost]:
    """Give the unit costs of meters by their ids, by `rates` (`current_rates`).

    `measured` also looks at the last full month in UTC, which reads its events.
    """
    terms = {row.meter_id: _linear(row) for row in rates if row.currency == currency}
    found = _measured(meters, currency=currency, now=now) if measured else {}
    return {meter.pk: UnitCost(terms.get(meter.pk), found.get(meter.pk)) for meter in meters}


def _linear(row: CostRate) -> UsageRate | None:
    try:
        terms = parse_rate(row.terms)
    except TermsError:
        return None  # the page of costs says so
    return terms if isinstance(terms, UsageRate) and is_linear(terms) else None


@dataclass(slots=True)
class _Sums:
    quantity: Fraction = ZERO
    own: Fraction = ZERO
    behind: Fraction = ZERO
    subjects: dict[tuple[object, object], Fraction] = field(default_factory=dict)


def _measured(meters: Sequence[Meter], *, currency: str, now: datetime) -> dict[int, MeasuredCost]:
    end = midnight(now.astimezone(UTC).date().replace(day=1))
    start = (end - timedelta(days=1)).replace(day=1)
    if not CostRate.objects.filter(currency=currency, withdrawn_at=None).exists():
        return {}
    costed = cost_entries(start, end, group_by=["customer", "subject"], currency=currency)
    sums = {meter.pk: _Sums() for meter in meters}
    costs: dict[tuple[object, object], Fraction] = {}
    for entry in costed.entries:
        whose = entry.values.get("customer_id"), entry.values.get("subject")
        mine = sums.get(entry.meter_id) if entry.meter_id is not None else None
        if mine is not None:
            mine.quantity += entry.quantity
            mine.own += entry.cost or ZERO
            if whose[1]:
                mine.subjects[whose] = mine.subjects.get(whose, ZERO) + entry.quantity
        elif whose[1] and entry.cost:
            costs[whose] = costs.get(whose, ZERO) + entry.cost
    return {
        pk: MeasuredCost(
            start, each.quantity, each.own, sum((costs.get(whose, ZERO) for whose in each.subjects), ZERO)
        )
        for pk, each in sums.items()
        if each.quantity > 0
    }
