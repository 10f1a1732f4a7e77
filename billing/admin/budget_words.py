"""Where budgets stand, in words, bars and charts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.admin.cost_words import cost_words, percent_words
from billing.admin.remembering import of_month
from billing.budgets import cost_by_day
from billing.formatting import money
from billing.models import Budget, BudgetMeasure, BudgetPoint
from billing.months import Month


def latest_points(ids: Sequence[int], *, now: datetime) -> dict[int, BudgetPoint]:
    """Give the latest figures of the running month, by budget."""
    first = now.astimezone(UTC).date().replace(day=1)
    rows = BudgetPoint.objects.filter(budget__in=ids, on__gte=first).order_by("budget_id", "-on")
    return {point.budget_id: point for point in rows.distinct("budget_id")}


def scope_words(budget: Budget) -> str:
    what = budget.get_measure_display().partition(":")[0].lower()
    if budget.plan_code:
        return f"Plan {budget.plan_code}: {what}"
    if budget.customer is not None:
        return f"{budget.customer.name}: {what}"
    assert budget.workload is not None  # held by budget_is_for_one_thing
    return f"{budget.workload.name}: {what}"


def behind(budget: Budget) -> str:
    """Give the page that shows where the figures come from."""
    customer = {"customer": budget.customer.code} if budget.customer is not None else {}
    if budget.measure != BudgetMeasure.COST:
        by = "line" if customer else "plan" if budget.plan_code else "workload"
        query = urlencode({"group_by": by, "currency": budget.currency} | customer)
        return f"{reverse('admin:billing_costs_margins')}?{query}"
    by = "meter" if customer else "workload"
    query = urlencode({"group_by": by, "currency": budget.currency} | customer)
    return f"{reverse('admin:billing_costs_spend')}?{query}"


def is_over(budget: Budget, point: BudgetPoint) -> bool:
    if point.percent is None:
        return False
    if budget.least_percent is not None:
        return point.percent < budget.least_percent
    return point.percent >= 100


def state_words(budget: Budget, point: BudgetPoint | None) -> tuple[str, str]:
    """Give a colour and a word for where a budget stands."""
    if not budget.active:
        return "off", "Switched off"
    if point is None:
        return "unknown", "Not looked at yet"
    if is_over(budget, point):
        return "over", "Margin too low" if budget.least_percent is not None else "Exceeded"
    if point.percent is None:
        return "unknown", "Nothing billed yet"
    if budget.amount is not None and point.forecast is not None and point.forecast > budget.amount:
        return "near", "Going to exceed"
    if point.unknown:
        return "unknown", "Some cost is unknown"
    return "good", "Within"


def bar(budget: Budget, point: BudgetPoint | None) -> SafeString:
    """Give how much is used as a bar with its words; of a margin the words alone."""
    if point is None:
        return format_html("{}", "–")
    more = "at least " if point.unknown and budget.amount is not None else ""
    if budget.amount is None or point.spent is None or point.percent is None:
        bound = percent_words(Fraction(budget.least_percent or 0))
        return format_html(
            "{} <span class='rk-muted'>of at least {}</span>", margin_words(point.percent), bound
        )
    width = min(max(point.percent, Decimal(0)), Decimal(100))
    colour = "rk-over" if is_over(budget, point) else ""
    return format_html(
        '<span class="rk-share rk-budget {}"><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="8" rx="1" /></svg> {}{} of {} ({})</span>',
        colour, f"{width:.1f}", more, cost_words(Fraction(point.spent), budget.currency),
        money(budget.amount.normalize(), budget.currency), margin_words(point.percent),
    )  # fmt: skip


def margin_words(percent: Decimal | None) -> str:
    """Write a percentage cut, not rounded, to one decimal: nothing looks reached before it is."""
    if percent is None:
        return "–"
    tenths = Fraction(percent) * 10
    return percent_words(Fraction(tenths.numerator // tenths.denominator, 10), digits=1)


def figures(budget: Budget, point: BudgetPoint | None) -> list[tuple[str, str]]:
    """Give the figures at the head of a page with what each is."""
    if point is None:
        return []
    words = [("used" if budget.amount is not None else "margin so far", margin_words(point.percent))]
    for name, value in (
        ("so far", point.spent),
        ("billed so far", point.revenue),
        ("cost so far", point.cost),
        ("the month at this pace", point.forecast),
    ):
        if value is not None:
            words.append((name, cost_words(Fraction(value), budget.currency)))
    if budget.amount is not None:
        words.append(("budget of the month", money(budget.amount.normalize(), budget.currency)))
    elif budget.least_percent is not None:
        words.append(("the least margin", percent_words(Fraction(budget.least_percent))))
    return words


def chart(budget: Budget, point: BudgetPoint | None, month: Month, *, now: datetime) -> str:
    """Give the days of the month so far beside the bound; nothing while nothing is known."""
    days = (month.following - month.first).days
    by_day: list[Fraction | None] = [None] * days
    if budget.measure == BudgetMeasure.COST:
        make = partial(cost_by_day, budget, month, now=now)
        known = of_month(f"budget-{budget.pk}-{budget.revision}", month.first, budget.currency, now, make)
        by_day[: len(known.figures)] = known.figures
    else:
        for each in budget.points.filter(on__gte=month.first, on__lt=month.following):
            value = each.percent if budget.amount is None else each.spent
            by_day[each.on.day - 1] = None if value is None else Fraction(value)
    if not any(by_day):
        return ""
    bound = budget.least_percent if budget.amount is None else budget.amount
    assert bound is not None  # held by budget_amount_or_margin
    lines = [
        _line("Least margin, %" if budget.amount is None else "Budget", [float(bound)] * days, "#dc2626")
    ]
    if point is not None and point.forecast is not None and point.spent is not None and point.on.day < days:
        pace: list[float | None] = [None] * (point.on.day - 1)
        steps = days - point.on.day
        pace += [float(point.spent + (point.forecast - point.spent) * n / steps) for n in range(steps + 1)]
        lines.append(_line("At this pace", pace, "var(--color-base-400)"))
    name = "Margin, %" if budget.amount is None else f"{budget.currency} so far"
    bars = {
        "type": "bar", "label": name, "data": [None if value is None else float(value) for value in by_day],
        "backgroundColor": "var(--color-primary-600)", "maxBarThickness": 22, "borderRadius": 3,
    }  # fmt: skip
    labels = [str(date(month.year, month.month, n + 1).day) for n in range(days)]
    return json.dumps({"labels": labels, "datasets": [*lines, bars]})


def _line(label: str, data: list[Any], colour: str) -> dict[str, Any]:
    """Give a line of a chart. Only pixels may make a float of an amount."""
    return {
        "type": "line", "label": label, "data": data, "borderColor": colour, "displayYAxis": True,
        "borderDash": [4, 4], "maxTicksXLimit": 12,
    }  # fmt: skip
