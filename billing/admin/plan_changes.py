"""The pages of a new version: side by side with another one, moving customers, and past usage at its prices."""

from __future__ import annotations

import csv
from datetime import date
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.dateparse import parse_date

from billing.formatting import money
from billing.formatting import month as month_name
from billing.models import Plan, PlanStatus, Subscription
from billing.rating import currency_digits
from billing.simulating import CustomerOutcome, Outcome, Simulation, last_months, simulate
from billing.versions import MoveEffect, compare_versions, move, preview_move
from customers.spreadsheets import csv_cell
from customers.staff_pages import StaffAdmin, bar_chart, require

MONTHS = 12
SHOWN = 200


class ChangePages(StaffAdmin):
    """Adds the pages of changing from one version to another to the admin of plans."""

    def change_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/moves/", wrap(self.moves_view), name="billing_plan_moves"),
            path("<int:pk>/what-if/", wrap(self.what_if_view), name="billing_plan_what_if"),
        ]

    def moves_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Compare with the version before; show what moving means for each customer, then move those chosen."""
        require(request, "billing.view_plan", "billing.view_subscription")
        plan = get_object_or_404(Plan, pk=pk)
        chosen_day = request.POST.get("on") or request.GET.get("on") or ""
        on = _day(chosen_day)
        if chosen_day and on is None:
            messages.error(request, "The day is not a date. Write it as 2026-12-01, or leave it empty.")
        may_move = plan.status == PlanStatus.ACTIVE and request.user.has_perm("billing.change_subscription")
        now = timezone.now()
        others = (
            Subscription.objects.filter(plan__code=plan.code, moved_to=None)
            .exclude(plan=plan)
            .exclude(end_on__lte=now.date())
            .select_related("customer", "plan")
            .order_by("customer__name", "start_on")
        )
        if request.method == "POST" and (on is not None or not chosen_day):
            require(request, "billing.change_subscription")
            if plan.status != PlanStatus.ACTIVE:
                messages.error(request, f"{plan} is not active. Activate it before customers move to it.")
                return redirect("admin:billing_plan_moves", pk)
            picked = [value for value in request.POST.getlist("subscription") if value.isdecimal()]
            done = move(list(others.filter(pk__in=picked)), to=plan, on=on, now=now)
            moved = [each for each in done if each.following is not None]
            for each in done:
                if each.following is None:
                    messages.error(request, f"{each.subscription.customer} stays: {each.problem}")
            if moved:
                self.log_change(request, plan, f"Moved {len(moved)} customers to this version.")
                messages.success(request, f"{len(moved)} customers move to version {plan.version}.")
            elif not done:
                messages.error(request, "Nobody was chosen, so nobody was moved.")
            return redirect("admin:billing_plan_moves", pk)
        before = Plan.objects.filter(code=plan.code, version__lt=plan.version).order_by("-version").first()
        effects = preview_move(list(others[:SHOWN]), to=plan, on=on, now=now)
        return self.page(
            request, "admin/billing/plan/moves.html", title=f"Move customers to {plan}", plan=plan, before=before,
            differences=compare_versions(before, plan) if before else [],
            rows=[_effect_row(each, plan.currency) for each in effects], may_move=may_move, on=chosen_day,
            total=others.count(),
            purpose="Whoever you do not choose stays as agreed. Invoices stay as they are.",
        )  # fmt: skip

    def what_if_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show past invoices beside what this version would have made of the same usage."""
        require(request, "billing.view_plan", "billing.view_invoice")
        plan = get_object_or_404(Plan, pk=pk)
        now = timezone.now()
        first, last = last_months(MONTHS, now=now)
        customers = [code for code in request.GET.get("customers", "").replace(",", " ").split() if code]
        result = simulate(plan, first=first, last=last, now=now, customers=customers)
        if request.GET.get("format") == "csv":
            return _file(result)
        currency = plan.currency
        return self.page(
            request, "admin/billing/plan/what_if.html", title=f"What if: {plan}", plan=plan, result=result,
            whole=_words(result.whole, currency), chosen=" ".join(customers),
            then_chart=bar_chart(((month_name(m), each.then) for m, each in result.months.items()), label="Invoiced"),
            now_chart=bar_chart(
                ((month_name(m), each.now) for m, each in result.months.items()), label="With this version"
            ),
            rows=[_customer_row(each, currency) for each in _by_difference(result)[:SHOWN]],
            more=max(len(result.customers) - SHOWN, 0), dearer=len(result.dearer), cheaper=len(result.cheaper),
            purpose=(
                "The usage of the last twelve months at the prices of this version, beside the invoices that were "
                "issued. Nothing is written."
            ),
        )  # fmt: skip


def _day(text: str) -> date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _by_difference(result: Simulation) -> list[CustomerOutcome]:
    return sorted(result.customers, key=lambda each: (-abs(each.whole.difference), each.customer.code))


def _effect_row(effect: MoveEffect, currency: str) -> dict[str, Any]:
    def write(amount: Any) -> str:
        return "" if amount is None else money(amount, currency)

    return {
        "effect": effect,
        "before": write(effect.before),
        "after": write(effect.after),
        "difference": write(effect.difference),
    }


def _words(outcome: Outcome, currency: str) -> dict[str, str]:
    return {
        "then": money(outcome.then, currency),
        "now": money(outcome.now, currency),
        "difference": money(outcome.difference, currency),
        "percent": "" if outcome.percent is None else f"{outcome.percent:+f} %",
    }


def _customer_row(outcome: CustomerOutcome, currency: str) -> dict[str, Any]:
    worst = outcome.worst_month
    return {
        "customer": outcome.customer,
        **_words(outcome.whole, currency),
        "worst": "" if worst is None else f"{month_name(worst[0])}: +{money(worst[1].difference, currency)}",
    }


def _file(result: Simulation) -> HttpResponse:
    name = f"what-if-{result.plan.code}-{result.plan.version}.csv"
    answer = HttpResponse(
        "\ufeff",  # spreadsheets read the file as UTF-8 with it
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
    writer = csv.writer(answer)
    digits = currency_digits(result.plan.currency)
    writer.writerow(["customer", "name", "month", "currency", "invoiced", "with_this_version", "difference"])
    for each in result.customers:
        for month, part in sorted(each.months.items()):
            names = [csv_cell(each.customer.code), csv_cell(each.customer.name)]
            amounts = [f"{each:.{digits}f}" for each in (part.then, part.now, part.difference)]
            writer.writerow([*names, f"{month:%Y-%m}", result.plan.currency, *amounts])
    return answer
