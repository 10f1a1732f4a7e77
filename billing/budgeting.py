"""Budgets are written, checked and raise alarms: each once for a month and threshold, by mail and webhook.

A check works out all budgets together and locks them only to write. Twice at once, or again, it raises
nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from django.db import transaction

from billing.budget_terms import BudgetTerms, check_terms
from billing.budget_words import announcement, mails_of, sentence
from billing.budgets import BudgetState, budget_states
from billing.costing import exact_decimal
from billing.models import AlarmKind, Budget, BudgetAlarm, BudgetMeasure, BudgetPoint, NoticeMail
from billing.months import Month
from billing.notifying import announce_all
from billing.webhook_types import WebhookType

# Events of a month's last hours still come in: a month is looked at until its second day after.
AFTERWARDS_DAYS = 2


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
            written += mails_of(state, new, now=now)
        raised += new
    BudgetAlarm.objects.bulk_create(raised)
    NoticeMail.objects.bulk_create(written)
    by_budget = {state.budget.pk: state for state in states}
    if raised:
        announce_all(
            [WebhookType.ALERT_FIRED],
            lambda: [announcement(by_budget[alarm.budget_id], alarm) for alarm in raised],
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
        sentence=sentence(state, kind, threshold)[:400],
        spent=_exact(state.spent),
        forecast=_exact(state.forecast),
        percent=_exact(state.percent),
        raised_at=now,
    )


def _exact(value: Fraction | None) -> Decimal | None:
    if value is None:
        return None
    return exact_decimal(value).quantize(Decimal("1e-12"), ROUND_HALF_UP)
