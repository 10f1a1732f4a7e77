"""What is said of a budget's alarm: in its sentence, by mail and by webhook."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

from django.conf import settings

from billing.budgets import BudgetState
from billing.costing import exact_decimal
from billing.formatting import amount_text, money, number
from billing.models import AlarmKind, BudgetAlarm, NoticeMail
from billing.notifying import Announcement, mails
from billing.rating.money import currency_digits, round_amount
from billing.webhook_types import WebhookType


def sentence(state: BudgetState, kind: AlarmKind, threshold: int) -> str:
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


def mails_of(state: BudgetState, alarms: Sequence[BudgetAlarm], *, now: datetime) -> list[NoticeMail]:
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


def announcement(state: BudgetState, alarm: BudgetAlarm) -> Announcement:
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


def _two(value: Fraction | Decimal) -> Decimal:
    """Cut a percentage to two decimals: rounded up, it would seem to have reached what it has not."""
    return exact_decimal(Fraction(value)).quantize(Decimal("0.01"), ROUND_FLOOR)


def _percent(value: Fraction | Decimal | None) -> str:
    return "–" if value is None else f"{number(_two(value).normalize())} %"


def _rounded(value: Fraction, currency: str) -> str:
    return amount_text(round_amount(exact_decimal(value), currency_digits(currency)), currency)


def _money(value: Fraction, currency: str) -> str:
    return money(round_amount(exact_decimal(value), currency_digits(currency)), currency)
