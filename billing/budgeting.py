"""Budgets are written, checked and raise alarms: each once for a month and threshold, by mail and webhook.

A check works out all budgets together and locks them only to write. Twice at once, or again, it raises
nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from fractions import Fraction

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from billing.budgets import BudgetState, budget_states
from billing.costing import exact_decimal
from billing.errors import InvalidBudget
from billing.formatting import amount_text, money, number
from billing.models import (
    AlarmKind,
    Budget,
    BudgetAlarm,
    BudgetMeasure,
    BudgetPoint,
    CostRate,
    NoticeMail,
    Plan,
)
from billing.models.plans import MAX_AMOUNT
from billing.months import Month
from billing.notifying import Announcement, WebhookType, announce_all, mails
from billing.rating.errors import UnknownCurrency
from billing.rating.money import currency_digits, round_amount
from customers.models import Customer
from metering.models import Workload

USUAL_THRESHOLDS = (50, 80, 100)
MOST_THRESHOLDS = 10
MOST_EMAILS = 20
# Events of a month's last hours still come in: a month is looked at until its second day after.
AFTERWARDS_DAYS = 2


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


@transaction.atomic
def save_budget(terms: BudgetTerms, *, budget: Budget | None = None, by: str = "", now: datetime) -> Budget:
    """Write a budget, or what one becomes. When it allows something else, its alarms can be raised again.

    Raises InvalidBudget.
    """
    check_terms(terms)
    row = Budget(made_at=now, made_by=by) if budget is None else _locked(budget)
    before = _allows(row)
    row.name, row.measure, row.currency = terms.name.strip(), terms.measure, terms.currency
    row.workload, row.customer, row.plan_code = terms.workload, terms.customer, terms.plan_code
    row.amount, row.least_percent = terms.amount, terms.least_percent
    row.thresholds = sorted(set(terms.thresholds))
    row.forecast_alarm = terms.forecast_alarm and terms.measure != BudgetMeasure.MARGIN
    row.emails, row.active = sorted(set(terms.emails)), terms.active
    if budget is not None and _allows(row) != before:
        row.revision += 1
        row.points.all().delete()
    row.save()
    return row


def _locked(budget: Budget) -> Budget:
    return Budget.objects.select_for_update(no_key=True).get(pk=budget.pk)


def _allows(row: Budget) -> object:
    return (
        row.measure, row.currency, row.amount, row.least_percent, row.workload_id, row.customer_id, row.plan_code,
    )  # fmt: skip


def check_budgets(*, now: datetime, only: Budget | None = None) -> int:
    """Work out where every active budget stands, keep that, and raise what is due; give how many alarms were raised."""
    rows = Budget.objects.filter(active=True) if only is None else Budget.objects.filter(pk=only.pk)
    budgets = list(rows.select_related("customer", "workload").order_by("id"))
    if not budgets:
        return 0
    today = now.astimezone(UTC).date()
    month = Month.of(today)
    months = [month.previous, month] if today.day <= AFTERWARDS_DAYS else [month]
    return sum(_raise(budget_states(budgets, each, now=now), each, now=now) for each in months)


@transaction.atomic
def _raise(states: Sequence[BudgetState], month: Month, *, now: datetime) -> int:
    ids = [state.budget.pk for state in states]
    rows = Budget.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("id")
    revisions = dict(rows.values_list("pk", "revision"))
    # One that was changed or deleted while it was worked out is looked at by the next check.
    states = [state for state in states if revisions.get(state.budget.pk) == state.budget.revision]
    _keep(states, now=now)
    known = set(
        BudgetAlarm.objects.filter(budget__in=ids, month=month.first).values_list(
            "budget_id", "revision", "kind", "threshold"
        )
    )
    raised: list[BudgetAlarm] = []
    written: list[NoticeMail] = []
    for state in states:
        budget = state.budget
        if not budget.active:
            continue
        new = [
            _alarm(state, kind, threshold, now=now)
            for kind, threshold in _due(state)
            if (budget.pk, budget.revision, kind.value, threshold) not in known
        ]
        if new:
            written += _mails(state, new, now=now)
        raised += new
    BudgetAlarm.objects.bulk_create(raised)
    NoticeMail.objects.bulk_create(written)
    by_budget = {state.budget.pk: state for state in states}
    if raised:
        announce_all(
            [WebhookType.ALERT_FIRED],
            lambda: [_announcement(by_budget[alarm.budget_id], alarm) for alarm in raised],
            now=now,
        )
    return len(raised)


def _due(state: BudgetState) -> Iterable[tuple[AlarmKind, int]]:
    for threshold in state.reached:
        yield AlarmKind.THRESHOLD, threshold
    if state.will_exceed and state.budget.forecast_alarm:
        yield AlarmKind.FORECAST, 0
    if state.margin is not None and state.is_exceeded:
        yield AlarmKind.MARGIN, 0


def _keep(states: Sequence[BudgetState], *, now: datetime) -> None:
    points = [
        BudgetPoint(
            budget=state.budget,
            on=state.on,
            spent=_exact(state.spent),
            forecast=_exact(state.forecast),
            revenue=_exact(state.margin.revenue) if state.margin else None,
            cost=_exact(state.margin.cost) if state.margin else None,
            percent=_exact(state.percent),
            unknown=[sentence[:400] for sentence in state.unknown],
            checked_at=now,
        )
        for state in states
    ]
    BudgetPoint.objects.bulk_create(
        points,
        update_conflicts=True,
        unique_fields=["budget", "on"],
        update_fields=["spent", "forecast", "revenue", "cost", "percent", "unknown", "checked_at"],
    )


def _alarm(state: BudgetState, kind: AlarmKind, threshold: int, *, now: datetime) -> BudgetAlarm:
    return BudgetAlarm(
        budget=state.budget,
        revision=state.budget.revision,
        month=state.month.first,
        kind=kind,
        threshold=threshold,
        sentence=_sentence(state, kind, threshold)[:400],
        spent=_exact(state.spent),
        forecast=_exact(state.forecast),
        percent=_exact(state.percent),
        raised_at=now,
    )


def _sentence(state: BudgetState, kind: AlarmKind, threshold: int) -> str:
    budget, more = state.budget, " at least" if state.unknown else ""
    percent = _percent(state.percent)
    if kind == AlarmKind.MARGIN:
        bound = _percent(budget.least_percent)
        return f"{budget}: the margin of {state.month.name} is {percent} so far, below {bound}."
    assert state.spent is not None
    assert budget.amount is not None
    whole = money(budget.amount, budget.currency)
    spent = _money(state.spent, budget.currency)
    if kind == AlarmKind.FORECAST:
        assert state.forecast is not None
        return (
            f"{budget}: {state.month.name} is going to exceed {whole}. It stands at{more} {spent} after {state.days} "
            f"of {state.days_of_month} days, which comes to {_money(state.forecast, budget.currency)} at this pace."
        )
    return f"{budget}: {threshold} % of {whole} reached in {state.month.name}. It stands at{more} {spent} ({percent})."


def _mails(state: BudgetState, alarms: Sequence[BudgetAlarm], *, now: datetime) -> list[NoticeMail]:
    """Give one mail for what a check raises of a budget: of several thresholds at once, the highest."""
    highest = max(alarms, key=lambda alarm: (alarm.kind != AlarmKind.FORECAST, alarm.threshold))
    missing = "".join(f"\nNot in these figures, because it is not known: {each}" for each in state.unknown)
    return mails(
        state.budget.emails,
        subject=f"Budget alarm: {state.budget}",
        body=f"{highest.sentence}\n{missing}\n\n"
        f"{settings.PUBLIC_URL}/admin/billing/budget/{state.budget.pk}/change/\n",
        now=now,
    )


def _announcement(state: BudgetState, alarm: BudgetAlarm) -> Announcement:
    budget = state.budget
    data = {
        "kind": "budget",
        "budget": budget.pk,
        "name": budget.name,
        "measure": budget.measure,
        "workload": budget.workload.code if budget.workload else None,
        "customer": budget.customer.code if budget.customer else None,
        "plan": budget.plan_code or None,
        "month": str(state.month),
        "alarm": alarm.kind,
        "threshold": alarm.threshold or None,
        "currency": budget.currency,
        "amount": None if budget.amount is None else amount_text(budget.amount, budget.currency),
        "spent": None if state.spent is None else _rounded(state.spent, budget.currency),
        "forecast": None if state.forecast is None else _rounded(state.forecast, budget.currency),
        "percent": None if state.percent is None else f"{_two(state.percent):f}",
        "least_percent": budget.least_percent,
        "unknown": list(state.unknown),
        "sentence": alarm.sentence,
    }
    key = f"budget-{budget.pk}-{budget.revision}-{state.month}-{alarm.kind}-{alarm.threshold}"
    return Announcement(WebhookType.ALERT_FIRED, budget.name, data, key)


def _exact(value: Fraction | None) -> Decimal | None:
    if value is None:
        return None
    return exact_decimal(value).quantize(Decimal("1e-12"), ROUND_HALF_UP)


def _two(value: Fraction | Decimal) -> Decimal:
    """Cut a percentage to two decimals: rounded up, it would seem to have reached what it has not."""
    return exact_decimal(Fraction(value)).quantize(Decimal("0.01"), ROUND_FLOOR)


def _percent(value: Fraction | Decimal | None) -> str:
    return "–" if value is None else f"{number(_two(value).normalize())} %"


def _rounded(value: Fraction, currency: str) -> str:
    return amount_text(round_amount(exact_decimal(value), currency_digits(currency)), currency)


def _money(value: Fraction, currency: str) -> str:
    return money(round_amount(exact_decimal(value), currency_digits(currency)), currency)
