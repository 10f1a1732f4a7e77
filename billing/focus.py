"""The cost of a time in the columns of FOCUS, the FinOps Open Cost and Usage Specification (1.0), for FinOps tools."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction

from billing.cost_entries import cost_entries
from billing.cost_times import months
from billing.costing import exact_decimal, group_reader
from billing.sharing import ZERO

INSTANT = "%Y-%m-%dT%H:%M:%SZ"
Key = tuple[datetime, str, str, str, int]
# Our customer, workload and subject have no column of their own in FOCUS; x_ is its prefix for such.
FOCUS_COLUMNS = (
    "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory",
    "ChargeDescription", "ServiceName", "ServiceCategory", "ResourceId", "SkuId", "SkuPriceId", "ProviderName",
    "ConsumedQuantity", "ConsumedUnit", "BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "BillingCurrency",
    "x_Customer",
)  # fmt: skip


def focus_rows(start: datetime, end: datetime, *, currency: str) -> Iterator[list[object]]:
    """Give a row for each day, rate, meter, workload and customer with a known cost. Amounts are exact decimals."""
    costed = cost_entries(start, end, group_by=["workload", "meter", "customer", "day"], currency=currency)
    read = group_reader(costed, costed.entries, ("workload", "meter", "customer"))
    periods = months(start, end)
    columns: dict[Key, list[object]] = {}
    totals: dict[Key, tuple[Fraction, Fraction]] = {}
    for entry in costed.entries:
        if entry.cost is None:
            continue
        workload, meter, customer = read(entry)
        day = entry.at.replace(hour=0, minute=0, second=0, microsecond=0)
        key = day, workload, meter, customer, entry.rate.pk if entry.rate else 0
        quantity, cost = totals.get(key, (ZERO, ZERO))
        totals[key] = quantity + entry.quantity, cost + entry.cost
        period = next(each for each in periods if each.start <= entry.at < each.end)
        used = costed.meters[entry.meter_id] if entry.meter_id is not None else None
        columns[key] = [
            *(f"{each:{INSTANT}}" for each in (period.start, period.end, day, day + timedelta(days=1))),
            "Usage" if used else "Purchase", used.label if used else "Fixed monthly cost",
            workload or "Unassigned", "Other", workload, meter, str(key[4] or ""),
            (entry.rate.label if entry.rate else "") or "Internal", (used.unit or "Units") if used else "",
        ]  # fmt: skip
    for key in sorted(columns):
        quantity, cost = totals[key]
        *named, unit = columns[key]
        amount = exact_decimal(cost)
        consumed = exact_decimal(quantity) if unit else None
        yield [*named, consumed, unit, amount, amount, amount, amount, currency, key[3]]
