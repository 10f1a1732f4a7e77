"""What a plan costs in plain sentences: one per rate, and one per term that holds for the whole invoice."""

from __future__ import annotations

from collections.abc import Mapping

from billing.formatting import money, plural, quantity
from billing.models import BillingPeriod, Plan, Rate, RateKind
from billing.rating import TermsError, describe, parse_rate


def rate_name(rate: Rate) -> str:
    """Give the name of a rate as its line on an invoice begins."""
    if rate.kind == RateKind.USAGE:
        return str(rate)
    return str(rate.terms.get("label", "")) or str(rate)


def rate_sentence(rate: Rate, plan: Plan, *, terms: Mapping[str, object] | None = None) -> str:
    """Say what a rate costs, or with `terms` what these would cost in its place; or what is wrong with it."""
    try:
        parsed = parse_rate(rate.terms if terms is None else terms)
    except TermsError as refused:
        return f"Not usable: {refused.message}"
    unit = (rate.meter.unit if rate.meter else "") or "unit"
    period = BillingPeriod(plan.billing_period).interval.value
    if plan.custom_unit and rate.kind == RateKind.USAGE:
        return describe(
            parsed,
            lambda amount: (
                f"{quantity(amount)} {plan.custom_unit if amount == 1 else plural(plan.custom_unit)}"
            ),
            unit=(unit, plural(unit)),
            period=period,
        )
    return describe(parsed, plan.currency, unit=(unit, plural(unit)), period=period)


def term_sentences(plan: Plan) -> dict[str, str]:
    """Say what holds for the invoice as a whole, by the name of the term; terms a plan does not have are left out."""
    words: dict[str, str] = {"Billing period": plan.get_billing_period_display()}
    if plan.usage_period:
        words["Usage is invoiced"] = BillingPeriod(plan.usage_period).label
    if plan.custom_unit and plan.custom_unit_value is not None:
        words["Custom unit"] = f"1 {plan.custom_unit} = {money(plan.custom_unit_value, plan.currency)}"
    if plan.included_spend is not None:
        words["Included spend"] = f"First {money(plan.included_spend, plan.currency)} of usage are included"
    if plan.minimum_amount is not None:
        words["Minimum"] = (
            f"At least {money(plan.minimum_amount, plan.currency)} of usage and fees per invoice"
        )
    if plan.service_fee_percent is not None:
        words["Service fee"] = f"{quantity(plan.service_fee_percent)} % of everything else on the invoice"
    return words


def summary(plan: Plan) -> list[str]:
    """Say what a plan costs, sentence by sentence, as plan editor, portal and API show it."""
    rates = [f"{rate_name(rate)}: {rate_sentence(rate, plan)}" for rate in plan.rates.all()]
    terms = [f"{name}: {words}" for name, words in term_sentences(plan).items() if name != "Billing period"]
    return rates + terms
