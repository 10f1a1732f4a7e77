"""The rates of a plan as a customer has them, read once for all that do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from billing.formatting import money
from billing.models import Plan, Rate, Subscription
from billing.rating import (
    AnyRate,
    TermsError,
    UsageRate,
    in_currency,
    needs_event_amounts,
    parse_rate,
    required_grouping,
)
from metering.models import Meter

# What is measured for a rate: the meter, the dimensions to group by, and whether each event's value is needed.
MeasureKey = tuple[int, tuple[str, ...], bool]


@dataclass(frozen=True, slots=True)
class PlanRate:
    """A rate, read once for all the customers that have it. `key` says what to measure for it.

    `written` is what an invoice line freezes: the terms in the currency of the plan. `description` is what its lines
    say; a fee says more.
    """

    row: Rate
    terms: AnyRate
    written: Mapping[str, object]
    key: MeasureKey | None
    meter: Meter | None
    description: str
    tax_category: str


def read_plan_rate(row: Rate, *, plan: Plan, override: Mapping[str, object] | None = None) -> PlanRate:
    """Read a stored rate, or the terms a customer has in its place. Raises TermsError when they cannot be used."""
    written = row.terms if override is None else override
    terms = parse_rate(written)
    taxed = row.tax_category or plan.tax_category
    if not isinstance(terms, UsageRate):
        return PlanRate(row, terms, written, None, None, terms.label, taxed)
    if plan.custom_unit_value is not None:
        terms = in_currency(terms, plan.custom_unit_value)
        written = terms.as_json()
    meter = row.meter
    assert meter is not None  # held by rate_meter_exactly_on_usage
    key = (meter.pk, required_grouping(terms), needs_event_amounts(terms))
    return PlanRate(row, terms, written, key, meter, _usage_description(row, meter, plan), taxed)


def _usage_description(row: Rate, meter: Meter, plan: Plan) -> str:
    name = row.label or meter.label
    if plan.custom_unit_value is None:
        return name
    return f"{name} (1 {plan.custom_unit} = {money(plan.custom_unit_value, plan.currency)})"


def rates_of(subscriptions: Sequence[Subscription]) -> list[list[PlanRate] | TermsError]:
    """Give the rates of each subscription, those of a plan read once; the error in place of unreadable ones."""
    plans = {each.plan_id: each.plan for each in subscriptions}
    rows: dict[int, list[Rate]] = {plan: [] for plan in plans}
    for row in Rate.objects.filter(plan__in=plans).select_related("meter"):
        rows[row.plan_id].append(row)
    by_plan = {pk: _read(rows[pk], plan, {}) for pk, plan in plans.items()}
    return [
        _read(rows[each.plan_id], each.plan, each.overrides) if each.overrides else by_plan[each.plan_id]
        for each in subscriptions
    ]


def _read(
    rows: Iterable[Rate], plan: Plan, overrides: Mapping[str, Mapping[str, object]]
) -> list[PlanRate] | TermsError:
    try:
        return [read_plan_rate(row, plan=plan, override=overrides.get(str(row.pk))) for row in rows]
    except TermsError as unreadable:
        return unreadable
