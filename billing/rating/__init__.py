"""The rating core: what a quantity costs, and why. Pure: standard library only, no database, no clock.

`parse_rate` reads the terms of a rate, `rate` turns them and a usage into an exact amount with its working,
and `round_amount` rounds it once, for an invoice line.
"""

from billing.rating.boundaries import Finding, boundary_findings, cost_findings
from billing.rating.commitments import PlanTerms
from billing.rating.custom_units import in_currency
from billing.rating.describing import describe
from billing.rating.engine import rate
from billing.rating.errors import Problem, RatingError, TermsError
from billing.rating.money import currency_digits, round_amount
from billing.rating.parsing import AnyRate, parse_rate
from billing.rating.requirements import needs_event_amounts, required_grouping
from billing.rating.terms import OneTimeRate, Row, SubscriptionRate, UsageRate
from billing.rating.usage import GroupUsage, Usage, usage_of
from billing.rating.working import Rating, Step, step_from_json

__all__ = [
    "AnyRate",
    "Finding",
    "GroupUsage",
    "OneTimeRate",
    "PlanTerms",
    "Problem",
    "Rating",
    "RatingError",
    "Row",
    "Step",
    "SubscriptionRate",
    "TermsError",
    "Usage",
    "UsageRate",
    "boundary_findings",
    "cost_findings",
    "currency_digits",
    "describe",
    "in_currency",
    "needs_event_amounts",
    "parse_rate",
    "rate",
    "required_grouping",
    "round_amount",
    "step_from_json",
    "usage_of",
]
