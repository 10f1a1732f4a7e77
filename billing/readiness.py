"""What stands between a draft and its activation: what is missing, and what somebody should look at first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.errors import PlanNotReady
from billing.models import CostRate, Plan, Rate
from billing.rating import (
    Finding,
    TermsError,
    UsageRate,
    boundary_findings,
    cost_findings,
    in_currency,
    parse_rate,
)
from billing.summaries import rate_name
from billing.unit_costs import current_rates, unit_costs
from metering.models import MeterStatus


@dataclass(frozen=True, slots=True)
class PlanFinding:
    """Something to look at before a plan is published: a finding of one of its rates."""

    rate: Rate
    position: int
    finding: Finding

    @property
    def message(self) -> str:
        return f"{rate_name(self.rate)}: {self.finding.message}"


def plan_findings(
    plan: Plan, *, now: datetime, cost_rates: Sequence[CostRate] | None = None, measured: bool = False
) -> list[PlanFinding]:
    """Look at every rate of a plan at its boundaries, and at what its units cost. Rates that cannot be read have none.

    `cost_rates` are those that hold now, looked up when not given. `measured` also looks at what the last full month
    cost with all the work behind its results, which reads the month.
    """
    found = []
    rates = list(plan.rates.all())
    costs = current_rates(now) if cost_rates is None else cost_rates
    meters = [rate.meter for rate in rates if rate.meter is not None]
    known = unit_costs(meters, currency=plan.currency, now=now, rates=costs, measured=measured)
    for position, rate in enumerate(rates):
        try:
            terms = parse_rate(rate.terms)
            findings = boundary_findings(terms, plan.currency)
            if isinstance(terms, UsageRate) and rate.meter_id is not None:
                if plan.custom_unit_value is not None:
                    terms = in_currency(terms, plan.custom_unit_value)
                findings += cost_findings(terms, plan.currency, known[rate.meter_id].of)
        except TermsError:
            continue
        found += [PlanFinding(rate, position, each) for each in findings]
    return found


def refuse_findings(plan: Plan, accept: Collection[str], *, now: datetime) -> None:
    """Refuse to publish a plan with findings that nobody accepted. Raises PlanNotReady naming the rate and field."""
    blocking = [
        each
        for each in plan_findings(plan, now=now, measured=True)
        if each.finding.blocks and each.finding.code not in accept
    ]
    if not blocking:
        return
    fields: dict[str, str] = {}
    for each in blocking:
        path = f"rates.{each.position}"
        fields[f"{path}.{each.finding.path}" if each.finding.path else path] = each.message
    codes = ", ".join(sorted({f"“{each.finding.code}”" for each in blocking}))
    message = f"{blocking[0].message} Change the price, or accept {codes} if it is meant so."
    raise PlanNotReady(message, fields=fields)


def readiness_problems(plan: Plan) -> list[str]:
    """Say what is missing before a draft can be activated; empty when nothing is. Examples and findings come after."""
    rates = list(plan.rates.select_related("meter"))
    if not rates:
        return ["This plan has no rates, so it would bill nothing. Add a rate first."]
    problems = []
    for rate in rates:
        if rate.meter is not None and rate.meter.status != MeterStatus.ACTIVE:
            problems.append(
                f"The meter {rate.meter.label} is {rate.meter.get_status_display().lower()}; use an active one."
            )
        try:
            parsed = parse_rate(rate.terms)
            if plan.custom_unit_value is not None and isinstance(parsed, UsageRate):
                in_currency(parsed, plan.custom_unit_value)
        except TermsError as refused:
            problems.append(f"{rate}: {refused.message}")
    return problems
