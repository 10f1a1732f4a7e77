"""Workloads with what they cost: the list, names to assign, rules, and the pages of spend and margin below it."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.admin.cost_parts import currency_of_page, unknown_rows
from billing.admin.cost_statements import StatementPages
from billing.admin.cost_words import change_words, cost_words, read_time
from billing.admin.margin_pages import MarginPages
from billing.admin.spend import SpendPages
from billing.cost_entries import cost_entries
from billing.cost_times import midnight
from billing.costing import group_costs
from billing.models import CostRate
from billing.months import Month
from billing.sharing import ZERO
from customers.staff_pages import link, require
from metering.admin.workloads import NamesInline, WorkloadAdmin, WorkloadForm
from metering.models import Workload, WorkloadName, WorkloadRule

TREND_MONTHS = 6


class RulesInline(TabularInline):
    model = WorkloadRule
    fields = ("position", "meter", "dimension", "value", "source")
    verbose_name_plural = "Rules: events that name no workload and belong here"
    extra = 0


class CostedWorkloadForm(WorkloadForm):
    tags = forms.CharField(
        required=False, help_text="Words to find it by, with commas between: production, gpu."
    )

    class Meta(WorkloadForm.Meta):
        fields: Any = ("name", "code", "parent", "owner", "tags")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "tags" in self.fields:
            self.fields["tags"].widget = UnfoldAdminTextInputWidget()
            if self.instance.pk:
                self.initial["tags"] = ", ".join(self.instance.tags)

    def clean_tags(self) -> list[str]:
        return list(
            dict.fromkeys(filter(None, (tag.strip() for tag in self.cleaned_data["tags"].split(","))))
        )


admin.site.unregister(Workload)


@admin.register(Workload)
class CostedWorkloadAdmin(SpendPages, StatementPages, MarginPages, WorkloadAdmin):
    form = CostedWorkloadForm
    inlines: Any = (RulesInline, NamesInline)
    list_before_template = "admin/billing/costs/list_head.html"
    change_form_before_template = "admin/billing/costs/workload_head.html"
    list_display: Any = (
        "workload_name",
        "owner",
        "this_month",
        "last_month",
        "trend",
        "parent",
        "tags_in_words",
    )
    search_fields: Any = ("name", "code", "owner", "tags")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [path("name/<int:pk>/", wrap(self.name_view), name="billing_costs_name")]
        return [*own, *self.spend_urls(), *self.statement_urls(), *self.margin_urls(), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """List workloads with their costs of the last months: one costing for all of them."""
        context = dict(extra_context or {})
        if request.user.has_perm("billing.view_costrate"):
            context |= self._costs(request)
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def _costs(self, request: HttpRequest) -> dict[str, Any]:
        currency = currency_of_page(request)
        now = timezone.now()
        time = read_time("", now)
        months = [Month.of(now.astimezone(UTC).date())]
        while len(months) < TREND_MONTHS:
            months.insert(0, months[0].previous)
        costed = cost_entries(
            midnight(months[0].first), time.end, group_by=["workload", "month"], currency=currency
        )
        found = group_costs(costed, ["workload", "month"])
        spend: dict[str, list[Any]] = {}
        for (code, month), group in found.groups.items():
            spend.setdefault(code, [ZERO] * TREND_MONTHS)[months.index(Month.parse(month))] = group.cost
        names = {each.name: each.pk for each in WorkloadName.objects.all()}
        this_month = group_costs(costed, [], only=lambda entry: entry.at >= time.start)
        request.costs = (spend, currency, months)  # type: ignore[attr-defined]  # read by the columns of this answer
        return {
            "costs": True,
            "total": cost_words(this_month.total, currency),
            "month_name": time.name,
            "unknown": unknown_rows(this_month),
            "unassigned": [
                {
                    "name": name or "(events that name no workload)",
                    "cost": cost_words(group.cost, currency),
                    "pk": names.get(name),
                }
                for name, group in sorted(found.unassigned_names.items(), key=lambda each: -each[1].cost)
            ][:20],
            "has_rates": CostRate.objects.filter(withdrawn_at=None).exists(),
            "workload_choices": list(Workload.objects.values_list("pk", "name")),
        }

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        spend, currency, months = getattr(request, "costs", ({}, "USD", []))
        for workload in changelist.result_list:
            workload.spend, workload.currency, workload.months = (
                spend.get(workload.code, [ZERO] * TREND_MONTHS),
                currency,
                months,
            )
        return changelist

    @display(description="Workload", ordering="name")
    def workload_name(self, workload: Workload) -> str:
        return workload.name

    @display(description="This month to date")
    def this_month(self, workload: Any) -> SafeString | str:
        return _month_link(workload, -1)

    @display(description="Last month")
    def last_month(self, workload: Any) -> SafeString | str:
        return _month_link(workload, -2)

    @display(description="Six months")
    def trend(self, workload: Any) -> SafeString | str:
        """A bar for each month, the running one last; in words for who cannot see it."""
        if not any(workload.spend):
            return "–"
        top = max(workload.spend)
        bars = [
            format_html(
                '<rect x="{}" y="{}" width="10" height="{}" rx="1"/>', place * 13, 24 - height, height
            )
            for place, cost in enumerate(workload.spend)
            for height in [max(int(cost * 24 / top), 1 if cost > 0 else 0) if top > 0 else 0]
        ]
        words = ", ".join(
            f"{month.name} {cost_words(cost, workload.currency)}"
            for month, cost in zip(workload.months, workload.spend, strict=True)
        )
        change = change_words(workload.spend[-2], workload.spend[-3])
        return format_html(
            '<span class="rk-trend"><svg viewBox="0 0 75 24" width="75" height="24" role="img" aria-label="{}">'
            "<title>{}</title>{}</svg> <span class=\"rk-muted\">{}</span></span>",
            words, words, SafeString("".join(bars)), change,
        )  # fmt: skip

    @display(description="Tags")
    def tags_in_words(self, workload: Workload) -> str:
        return ", ".join(workload.tags)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        workload = kwargs.get("obj")
        if workload is not None and request.user.has_perm("billing.view_costrate"):
            month = Month.of(timezone.now().astimezone(UTC).date())
            context["statements"] = [
                (each.name, reverse("admin:billing_costs_statement", args=[workload.pk, each]))
                for each in (month, month.previous, month.previous.previous)
            ]
        return super().render_change_form(request, context, *args, **kwargs)

    def name_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Assign a name in events to a workload, its past included."""
        require(request, "metering.change_workload")
        name = get_object_or_404(WorkloadName, pk=pk)
        if request.method == "POST":
            chosen = request.POST.get("workload", "")
            workload = (
                Workload.objects.filter(pk=int(chosen)).first()
                if chosen.isdecimal() and len(chosen) < 19
                else None
            )
            if workload is None:
                messages.error(request, "Choose the workload that this name belongs to.")
            else:
                with transaction.atomic():
                    WorkloadName.objects.filter(pk=pk).update(workload=workload)
                    self.log_change(request, workload, f"Assigned the name “{name.name}”.")
                messages.success(
                    request,
                    f"Events that name “{name.name}” belong to {workload.name} now, those of the past too.",
                )
        return redirect("admin:metering_workload_changelist")


def _month_link(workload: Any, place: int) -> SafeString | str:
    if not workload.months:
        return "–"
    url = reverse("admin:billing_costs_statement", args=[workload.pk, workload.months[place]])
    return link(url, cost_words(workload.spend[place], workload.currency))
