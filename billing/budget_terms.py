"""What staff say of a budget, and what cannot be one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from billing.errors import InvalidBudget
from billing.models import BudgetMeasure, CostRate, Plan
from billing.models.plans import MAX_AMOUNT
from billing.rating.errors import UnknownCurrency
from billing.rating.money import currency_digits, round_amount
from customers.models import Customer
from metering.models import Workload

USUAL_THRESHOLDS = (50, 80, 100)
MOST_THRESHOLDS = 10
MOST_EMAILS = 20


@dataclass(frozen=True, slots=True)
class BudgetTerms:
    """What staff say of a budget. Exactly one of `workload`, `customer`, `plan_code`."""

    name: str
    measure: str
    currency: str
    workload: Workload | None = None
    customer: Customer | None = None
    plan_code: str = ""
    amount: Decimal | None = None
    thresholds: Sequence[int] = ()
    least_percent: Decimal | None = None
    forecast_alarm: bool = True
    emails: Sequence[str] = ()
    active: bool = True


def check_terms(terms: BudgetTerms) -> None:
    """Refuse what cannot be, with every problem at its field. Raises InvalidBudget."""
    problems = dict(_problems(terms))
    if problems:
        raise InvalidBudget(next(iter(problems.values())), fields=problems)


def _problems(terms: BudgetTerms) -> Iterable[tuple[str, str]]:
    if not terms.name.strip() or len(terms.name) > 200:
        yield "name", "Give it a name of at most 200 characters."
    if terms.measure not in BudgetMeasure.values:
        yield "measure", f"Choose one of {', '.join(BudgetMeasure.values)}."
    named = [terms.workload is not None, terms.customer is not None, bool(terms.plan_code)]
    if sum(named) != 1:
        yield "workload", "Choose one workload, one customer or one plan."
    elif terms.measure == BudgetMeasure.COST and terms.plan_code:
        yield "plan_code", "A plan has no cost of its own. Watch its margin, or the cost of a workload."
    elif terms.measure == BudgetMeasure.SPEND and terms.workload is not None:
        yield "workload", "Nothing is billed to a workload. Watch its cost or its margin."
    yield from _currency_problems(terms)
    if terms.measure == BudgetMeasure.MARGIN:
        if terms.least_percent is None or not -1000 <= terms.least_percent <= 100:
            yield "least_percent", "Give the least margin, from -1000 to 100 percent."
        elif terms.least_percent != round(terms.least_percent, 2):
            yield "least_percent", "Give at most two decimals."
        if terms.amount is not None:
            yield "amount", "A margin is watched in percent: leave the amount out."
        if terms.thresholds:
            yield "thresholds", "A margin has one bound, in percent: leave the thresholds out."
    else:
        yield from _amount_problems(terms)
    if len(terms.emails) > MOST_EMAILS:
        yield "emails", f"Give at most {MOST_EMAILS} addresses."
    for address in terms.emails:
        try:
            validate_email(address)
        except ValidationError:
            yield "emails", f"“{address}” is no e-mail address."


def _amount_problems(terms: BudgetTerms) -> Iterable[tuple[str, str]]:
    if terms.least_percent is not None:
        yield "least_percent", "Only a margin has a bound in percent."
    if terms.amount is None or not terms.amount.is_finite() or not 0 < terms.amount < MAX_AMOUNT:
        yield "amount", "Give an amount above 0."
    elif (
        _digits(terms.currency) is not None
        and round_amount(terms.amount, _digits(terms.currency) or 0) != terms.amount
    ):
        yield "amount", f"Amounts in {terms.currency} have {_digits(terms.currency) or 'no'} decimals."
    if not 1 <= len(set(terms.thresholds)) <= MOST_THRESHOLDS:
        yield "thresholds", f"Give 1 to {MOST_THRESHOLDS} percentages, such as 50, 80, 100."
    elif not all(1 <= each <= 1000 for each in terms.thresholds):
        yield "thresholds", "Percentages go from 1 to 1000."


def _currency_problems(terms: BudgetTerms) -> Iterable[tuple[str, str]]:
    if _digits(terms.currency) is None:
        yield "currency", "Use a three-letter currency code such as USD."
        return
    if terms.customer is not None and terms.measure != BudgetMeasure.COST:
        if terms.customer.currency != terms.currency:
            yield "currency", f"{terms.customer.name} is billed in {terms.customer.currency}."
    elif terms.plan_code:
        of_plan = set(Plan.objects.filter(code=terms.plan_code).values_list("currency", flat=True))
        if not of_plan:
            yield "plan_code", f"There is no plan “{terms.plan_code}”."
        elif terms.currency not in of_plan:
            yield "currency", f"The plan is in {', '.join(sorted(of_plan))}."
    if terms.measure != BudgetMeasure.SPEND:
        rates = CostRate.objects.filter(withdrawn_at=None).order_by().values_list("currency", flat=True)
        known = set(rates.distinct())
        if known and terms.currency not in known:
            yield "currency", f"The cost rates are in {', '.join(sorted(known))}, and nothing is converted."


def _digits(currency: str) -> int | None:
    try:
        return currency_digits(currency)
    except UnknownCurrency:
        return None
