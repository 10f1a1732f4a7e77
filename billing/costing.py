"""What internal work cost, by workload, meter, customer, subject, day or any dimension.

Every way of grouping is a sum over the same entries (billing.cost_entries), so all of them come to the same total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from billing.cost_cuts import CostEntry
from billing.cost_entries import Costed, cost_entries, currency_of_costs
from billing.errors import CostsUnclear
from billing.sharing import ZERO
from customers.models import Customer
from metering.models import Meter, MeterStatus
from metering.quantities import divide

GROUPS = ("workload", "meter", "customer", "subject", "day", "month")
MAX_GROUPS_BY = 3
Values = tuple[str, ...]


@dataclass(slots=True)
class CostGroup:
    """One group's cost. `quantity` is None where meters with different units are in it, or none at all."""

    cost: Fraction = ZERO
    quantity: Fraction | None = None
    events: int = 0
    meters: set[int] = field(default_factory=set)

    def add(self, entry: CostEntry) -> None:
        self.cost += entry.cost or ZERO
        if entry.meter_id is None:
            return
        self.meters.add(entry.meter_id)
        self.events += entry.events
        self.quantity = (self.quantity or ZERO) + entry.quantity if len(self.meters) == 1 else None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Usage whose cost is not known, and why. `meter` is None for a fixed cost in another currency."""

    meter: Meter | None
    quantity: Fraction
    reason: str


@dataclass(slots=True)
class CostReport:
    """Costs by group, the highest first. `unassigned` is what has no value in any of the groups asked for.

    `total` is the sum of groups and unassigned. `unassigned_names` are the names in events that belong to no workload.
    """

    start: datetime
    end: datetime
    currency: str
    group_by: tuple[str, ...]
    total: Fraction = ZERO
    groups: dict[Values, CostGroup] = field(default_factory=dict)
    unassigned: Fraction = ZERO
    unknown: list[Unknown] = field(default_factory=list)
    unassigned_names: dict[str, CostGroup] = field(default_factory=dict)

    def named(self, values: Values) -> dict[str, str]:
        return dict(zip(self.group_by, values, strict=True))


def costs(
    start: datetime, end: datetime, *, group_by: Sequence[str] = (), currency: str | None = None
) -> CostReport:
    """Give what the usage in `[start, end)` cost, by up to three groups; without any, in total.

    `group_by` names `workload`, `meter`, `customer`, `subject`, `day` or `month` (in UTC), or dimensions that a meter
    declares. Raises CostsUnclear for another name, or where costs are in several currencies and none is named.
    """
    check_groups(group_by)
    return group_costs(
        cost_entries(start, end, group_by=group_by, currency=currency_of_costs(currency)), group_by
    )


def check_groups(group_by: Sequence[str]) -> None:
    """Refuse groups that mean nothing. Raises CostsUnclear."""
    if len(group_by) > MAX_GROUPS_BY or len(set(group_by)) < len(group_by):
        message = f"Group by up to {MAX_GROUPS_BY} different names."
        raise CostsUnclear(message, fields={"group_by": message})
    others = [name for name in group_by if name not in GROUPS]
    if not others:
        return
    declared = {
        name
        for names in Meter.objects.exclude(status=MeterStatus.DRAFT).values_list("dimensions", flat=True)
        for name in names
    }
    for name in others:
        if name not in declared:
            known = ", ".join([*GROUPS, *sorted(declared)])
            message = f"“{name}” is no dimension of any meter. Group by one of: {known}."
            raise CostsUnclear(message, fields={"group_by": message})


def group_costs(
    costed: Costed, group_by: Sequence[str], *, only: Callable[[CostEntry], bool] = lambda entry: True
) -> CostReport:
    """Add up entries by groups. `only` chooses which; the entries must have been cut by all the groups named."""
    report = CostReport(costed.start, costed.end, costed.currency, tuple(group_by))
    entries = [entry for entry in costed.entries if only(entry)]
    read = group_reader(costed, entries, group_by)
    unknown: dict[tuple[int | None, str], Fraction] = {}
    for entry in entries:
        if entry.cost is None:
            key = entry.meter_id, entry.reason
            unknown[key] = unknown.get(key, ZERO) + entry.quantity
            continue
        values = read(entry)
        report.total += entry.cost
        if group_by and not any(values):
            report.unassigned += entry.cost
        elif group_by:
            report.groups.setdefault(values, CostGroup()).add(entry)
        if entry.workload_id is None and "workload" in group_by:
            name = entry.values.get("workload_id")
            told = costed.assignment.names[name].name if isinstance(name, int) else ""
            report.unassigned_names.setdefault(told, CostGroup()).add(entry)
    report.groups = dict(sorted(report.groups.items(), key=lambda each: (-each[1].cost, each[0])))
    report.unknown = [
        Unknown(costed.meters[meter_id] if meter_id is not None else None, quantity, reason)
        for (meter_id, reason), quantity in sorted(
            unknown.items(), key=lambda each: (each[0][0] or 0, each[0][1])
        )
    ]
    return report


def group_reader(
    costed: Costed, entries: Iterable[CostEntry], group_by: Sequence[str]
) -> Callable[[CostEntry], Values]:
    """Give the function that reads the values of groups from an entry: codes, '' where it has none."""
    customers: Mapping[object, str] = {}
    if "customer" in group_by:
        ids = {pk for entry in entries if isinstance(pk := entry.values.get("customer_id"), int)}
        customers = dict(Customer.objects.filter(pk__in=ids).values_list("pk", "code"))

    def value(entry: CostEntry, name: str) -> str:
        match name:
            case "workload":
                pk = entry.workload_id
                return costed.assignment.workloads[pk].code if pk is not None else ""
            case "meter":
                return costed.meters[entry.meter_id].code if entry.meter_id is not None else ""
            case "customer":
                return customers.get(entry.values.get("customer_id"), "")
            case "day":
                return f"{entry.at.astimezone(UTC):%Y-%m-%d}"
            case "month":
                return f"{entry.at.astimezone(UTC):%Y-%m}"
            case "subject":
                return str(entry.values.get("subject") or "")
        return str(entry.values.get(f"dimension:{name}") or "")

    return lambda entry: tuple(value(entry, name) for name in group_by)


def exact_decimal(value: Fraction) -> Decimal:
    """Give a fraction as a decimal: exact where 24 decimals are enough, else rounded to them, half away from zero."""
    return divide(Decimal(value.numerator), Decimal(value.denominator))
