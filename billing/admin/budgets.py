"""Budgets: a list that shows where each stands, also as a file, and a page with its days and alarms."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display

from billing.admin.budget_form import BudgetForm
from billing.admin.budget_words import (
    bar,
    behind,
    chart,
    figures,
    latest_points,
    scope_words,
    state_words,
)
from billing.admin.cost_words import cost_words
from billing.admin.csv_files import csv_response
from billing.budgeting import check_budgets, save_budget
from billing.budgets import FORECAST_FROM
from billing.models import Budget, BudgetPoint
from billing.months import Month
from customers.history_pages import HistoryAdmin
from customers.staff_pages import require

COLOURS = {"good": "success", "near": "warning", "over": "danger", "unknown": "info", "off": "info"}
ALARMS_SHOWN = 50
COLUMNS = (
    "name", "measure", "workload", "customer", "plan", "currency", "amount", "least_percent", "active", "state",
    "spent", "forecast", "revenue", "cost", "percent", "unknown", "alarms_this_month", "checked_at",
)  # fmt: skip


@admin.register(Budget)
class BudgetAdmin(HistoryAdmin):
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
        obj.pk, obj.name = saved.pk, saved.name  # what the message and the log call it
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
        own = [
            path("<int:pk>/look/", wrap(self.look_view), name="billing_budget_look"),
            path("export.csv", wrap(self.export_view), name="billing_budget_export"),
        ]
        return [*own, *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Give the budgets of the list, with its search and filters, as CSV with exact figures."""
        require(request, "billing.view_budget")
        try:
            changelist = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return redirect("admin:billing_budget_changelist")
        budgets = list(changelist.get_queryset(request).select_related("workload", "customer"))
        points = latest_points([budget.pk for budget in budgets], now=timezone.now())
        return csv_response("budgets.csv", COLUMNS, (_csv_row(each, points.get(each.pk)) for each in budgets))

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


def _csv_row(budget: Any, point: BudgetPoint | None) -> list[object]:
    def plain(value: Decimal | None) -> str:
        return "" if value is None else f"{value.normalize():f}"

    figures_now = [None] * 5 if point is None else [
        point.spent, point.forecast, point.revenue, point.cost, point.percent
    ]  # fmt: skip
    return [
        budget.name, budget.measure, budget.workload.code if budget.workload else "",
        budget.customer.code if budget.customer else "", budget.plan_code, budget.currency, plain(budget.amount),
        plain(budget.least_percent), "yes" if budget.active else "no", state_words(budget, point)[1],
        *map(plain, figures_now), "; ".join(point.unknown) if point else "", budget.raised,
        f"{point.checked_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if point else "",
    ]  # fmt: skip
