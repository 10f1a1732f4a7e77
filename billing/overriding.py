"""Overrides: what one customer pays in place of a plan's rates, rate by rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from billing.errors import InvalidRate
from billing.models import Plan, Rate, Subscription
from billing.rating import TermsError, UsageRate, in_currency
from billing.summaries import rate_name, rate_sentence, term_sentences
from billing.terms import parse_labelled, undeclared_dimensions

Overrides = dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Override:
    """One rate of a subscription that differs from its plan, both in plain words. `position` counts from 0."""

    position: int
    name: str
    in_plan: str
    agreed: str


def read_overrides(plan: Plan, sent: Sequence[Mapping[str, object]]) -> Overrides:
    """Check `[{rate, terms}]`, where `rate` counts the plan's rates from 0, and give terms by the id of the rate.

    Raises InvalidRate naming every wrong field by path: `overrides.0.terms.unit_amount`.
    """
    rates = list(plan.rates.select_related("meter"))
    found: Overrides = {}
    problems: dict[str, str] = {}
    for index, each in enumerate(sent):
        at = f"overrides.{index}"
        unknown = set(each) - {"rate", "terms"}
        problems |= {f"{at}.{name}": f"{name} is not a field of an override." for name in sorted(unknown)}
        position, terms = each.get("rate"), each.get("terms")
        if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < len(rates):
            problems[f"{at}.rate"] = f"Give the place of the rate in the plan, from 0 to {len(rates) - 1}."
            continue
        rate = rates[position]
        if str(rate.pk) in found:
            problems[f"{at}.rate"] = f"Rate {position} is overridden twice. Send its terms once."
        elif not isinstance(terms, Mapping):
            problems[f"{at}.terms"] = "Give the whole rate as it is agreed with this customer."
        else:
            try:
                found[str(rate.pk)] = _read_terms(rate, plan, terms)
            except TermsError as refused:
                problems |= {
                    f"{at}.terms.{path}" if path else f"{at}.terms": sentence
                    for path, sentence in refused.fields.items()
                }
            except InvalidRate as refused:
                problems |= {f"{at}.terms.{path}": sentence for path, sentence in refused.fields.items()}
    if problems:
        raise InvalidRate(next(iter(problems.values())), fields=problems)
    return found


def written_overrides(subscription: Subscription) -> list[dict[str, object]]:
    """Give the overrides of a subscription in the form that `read_overrides` takes."""
    return [
        {"rate": position, "terms": subscription.overrides[str(rate.pk)]}
        for position, rate in enumerate(subscription.plan.rates.all())
        if str(rate.pk) in subscription.overrides
    ]


def override_differences(subscription: Subscription) -> list[Override]:
    """Show what differs from the plan, in the order of its rates."""
    plan = subscription.plan
    return [
        Override(
            position,
            rate_name(rate),
            rate_sentence(rate, plan),
            rate_sentence(rate, plan, terms=subscription.overrides[str(rate.pk)]),
        )
        for position, rate in enumerate(plan.rates.all())
        if str(rate.pk) in subscription.overrides
    ]


def agreed_prices(subscription: Subscription) -> list[tuple[str, str]]:
    """Say what a customer pays: each rate as it was agreed, then what holds for the whole invoice."""
    plan = subscription.plan
    rates = [
        (rate_name(rate), rate_sentence(rate, plan, terms=subscription.overrides.get(str(rate.pk))))
        for rate in plan.rates.all()
    ]
    return rates + [(name, words) for name, words in term_sentences(plan).items() if name != "Billing period"]


def carried_overrides(subscription: Subscription, plan: Plan) -> tuple[Overrides, list[str]]:
    """Give the overrides that also hold on another version, and the names of the rates that are not there.

    A rate is the same when its kind, meter and name are, or when it is the only one with its kind and meter.
    """
    if not subscription.overrides or plan.pk == subscription.plan_id:
        return dict(subscription.overrides), []
    carried: Overrides = {}
    lost = []
    rates = list(plan.rates.select_related("meter"))
    for rate in subscription.plan.rates.select_related("meter"):
        if str(rate.pk) not in subscription.overrides:
            continue
        alike = [each for each in rates if (each.kind, each.meter_id) == (rate.kind, rate.meter_id)]
        same = [each for each in alike if rate_name(each) == rate_name(rate)] or alike
        if len(same) == 1:
            carried[str(same[0].pk)] = subscription.overrides[str(rate.pk)]
        else:
            lost.append(rate_name(rate))
    return carried, lost


def _read_terms(rate: Rate, plan: Plan, terms: Mapping[str, object]) -> dict[str, object]:
    label, parsed = parse_labelled(terms)
    written = parsed.as_json()
    if written["kind"] != rate.kind:
        message = (
            f"The rate in the plan is a {rate.get_kind_display().lower()}; its kind cannot be overridden."
        )
        raise InvalidRate(message, fields={"kind": message})
    if isinstance(parsed, UsageRate) and rate.meter is not None:
        if label and label != rate.label:
            message = "The name of the line stays the plan's. Leave the label out."
            raise InvalidRate(message, fields={"label": message})
        if parsed.meter != rate.meter.code:
            message = f"The rate in the plan is for {rate.meter.code}; its meter cannot be overridden."
            raise InvalidRate(message, fields={"meter": message})
        if undeclared := undeclared_dimensions(parsed, rate.meter):
            message = f"{rate.meter.label} does not declare the dimension {', '.join(undeclared)}."
            raise InvalidRate(message, fields={"dimensions": message})
        if plan.custom_unit_value is not None:
            in_currency(parsed, plan.custom_unit_value)
    return written
