"""Budgets: a list that shows where each stands, and a page with its days and alarms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from simple_history.admin import SimpleHistoryAdmin
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing.admin.choices import currency_choices
from billing.admin.cost_words import cost_words, percent_words
from billing.admin.remembering import of_month
from billing.budgeting import USUAL_THRESHOLDS, BudgetTerms, check_budgets, check_terms, save_budget
from billing.budgets import FORECAST_FROM, cost_by_day
from billing.errors import InvalidBudget
from billing.formatting import money
from billing.models import Budget, BudgetMeasure, BudgetPoint, Plan
from billing.months import Month
from customers.staff_pages import StaffAdmin, put_errors, require

COLOURS = {"good": "success", "near": "warning", "over": "danger", "unknown": "info", "off": "info"}
ALARMS_SHOWN = 50


class BudgetForm(forms.ModelForm):
    thresholds = forms.CharField(
        label="Alarms at", required=False, initial=", ".join(map(str, USUAL_THRESHOLDS)),
        widget=UnfoldAdminTextInputWidget, help_text="Percentages of the amount, with commas. A margin has none.",
    )  # fmt: skip
    emails = forms.CharField(
        label="Mail to", required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Addresses, one on a line. Webhooks are told in any case (alert.fired).",
    )  # fmt: skip
    plan_code = forms.ChoiceField(label="Plan", required=False, widget=UnfoldAdminSelectWidget)
    currency = forms.ChoiceField(choices=currency_choices, widget=UnfoldAdminSelectWidget)

    class Meta:
        model = Budget
        fields = tuple(BudgetTerms.__dataclass_fields__)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "plan_code" in self.fields:
            plans = Plan.objects.order_by("name", "code").values_list("code", "name").distinct()
            self.fields["plan_code"].choices = [("", "None"), *plans]  # type: ignore[attr-defined]
        if self.instance.pk:
            self.initial["thresholds"] = ", ".join(map(str, self.instance.thresholds))
            self.initial["emails"] = "\n".join(self.instance.emails)

    def clean_thresholds(self) -> list[int]:
        text = self.cleaned_data["thresholds"].replace("%", " ").replace(",", " ")
        if self.data.get("measure") == BudgetMeasure.MARGIN:
            return []  # the field is filled in before one has chosen a margin
        words = text.split()
        if not all(word.isascii() and word.isdigit() and len(word) <= 4 for word in words):
            raise forms.ValidationError("Write whole percentages with commas, such as 50, 80, 100.")
        return [int(word) for word in words]

    def clean_emails(self) -> list[str]:
        return str(self.cleaned_data["emails"]).replace(",", " ").replace(";", " ").split()

    def clean(self) -> dict[str, Any]:
        """Refuse by field what the service would refuse, before anything is written."""
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        self.terms = BudgetTerms(**cleaned)
        try:
            check_terms(self.terms)
        except InvalidBudget as refused:
            put_errors(self, refused.fields, message=refused.message)
        return cleaned

    def _post_clean(self) -> None:
        """Leave the instance alone: `save_budget` writes it, and `check_terms` has said what is wrong."""


@admin.register(Budget)
class BudgetAdmin(SimpleHistoryAdmin, StaffAdmin):
    form = BudgetForm
    shows_log = True
    purpose = (
        "What a workload, customer or plan may cost or bring in a month. The worker looks each hour; each alarm is "
        "raised once, by mail and webhook."
    )
    empty_title = "No budgets yet"
    empty_text = "Add one for a workload, and be told before its month gets too dear."
    list_before_template = "admin/billing/budget/list_head.html"
    change_form_template = "admin/billing/budget/change_form.html"
    list_display = ("name", "is_for", "state_badge", "used", "forecast", "alarms_of_month", "as_of")
    list_filter = ("measure", "active", "currency")
    list_select_related = ("workload", "customer")
    search_fields = ("name", "workload__name", "customer__name", "customer__code", "plan_code")
    autocomplete_fields = ("workload", "customer")
    fieldsets = (
        (None, {"fields": ("name", "measure", "active")}),
        ("What it is for", {"fields": ("workload", "customer", "plan_code"), "description": "Choose one."}),
        (
            "What it allows in a month",
            {"fields": (("amount", "currency"), "thresholds", "forecast_alarm", "least_percent")},
        ),
        ("Who is told", {"fields": ("emails",)}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        month = Month.of(timezone.now().astimezone(UTC).date())
        rows: QuerySet[Budget] = super().get_queryset(request)
        return rows.annotate(raised=Count("alarms", filter=Q(alarms__month=month.first)))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Give each row its latest figures: one query for all."""
        changelist = super().get_changelist_instance(request)
        points = latest_points([budget.pk for budget in changelist.result_list], now=timezone.now())
        for budget in changelist.result_list:
            budget.point = points.get(budget.pk)
        return changelist

    @display(description="For")
    def is_for(self, budget: Budget) -> str:
        return scope_words(budget)

    @display(description="State", label=COLOURS)
    def state_badge(self, budget: Any) -> tuple[str, str]:
        return state_words(budget, budget.point)

    @display(description="Used")
    def used(self, budget: Any) -> SafeString:
        return bar(budget, budget.point)

    @display(description="Month at this pace")
    def forecast(self, budget: Any) -> str:
        point = budget.point
        if point is None or point.forecast is None:
            return "–"
        return cost_words(Fraction(point.forecast), budget.currency)

    @display(description="Alarms this month", ordering="raised")
    def alarms_of_month(self, budget: Any) -> int:
        return int(budget.raised)

    @display(description="As of")
    def as_of(self, budget: Any) -> str:
        return f"{budget.point.checked_at.astimezone(UTC):%-d %b, %H:%M} UTC" if budget.point else "–"

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"measure": "cost", "currency": "USD"} | super().get_changeform_initial_data(request)

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        now = timezone.now()
        by = request.user.get_username()
        saved = save_budget(form.terms, budget=obj if change else None, by=by, now=now)
        obj.pk = saved.pk
        check_budgets(now=now, only=saved)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        budget: Budget | None = kwargs.get("obj")
        if budget is not None:
            context |= self._standing(budget, now=timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)

    def _standing(self, budget: Budget, *, now: datetime) -> dict[str, Any]:
        point = latest_points([budget.pk], now=now).get(budget.pk)
        month = Month.of(now.astimezone(UTC).date())
        return {
            "budget": budget,
            "point": point,
            "bar": bar(budget, point),
            "badge": state_words(budget, point),
            "figures": figures(budget, point),
            "month_name": month.name,
            "scope": scope_words(budget),
            "behind": behind(budget),
            "chart": chart(budget, point, month, now=now),
            "alarms": budget.alarms.all()[:ALARMS_SHOWN],
            "forecast_from": FORECAST_FROM,
        }

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [path("<int:pk>/look/", wrap(self.look_view), name="billing_budget_look")]
        return [*own, *super().get_urls()]

    def look_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Work out where a budget stands now, and raise what is due."""
        require(request, "billing.change_budget")
        if request.method != "POST":
            raise Http404
        budget = get_object_or_404(Budget, pk=pk)
        raised = check_budgets(now=timezone.now(), only=budget)
        messages.success(request, f"Looked at: {raised or 'no'} new alarm{'' if raised == 1 else 's'}.")
        return redirect("admin:billing_budget_change", pk)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A budget may go with its alarms: it is no record of anything that was billed."""
        return bool(request.user.has_perm("billing.delete_budget"))


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
