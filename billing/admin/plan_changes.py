"""The page of a new version: side by side with the one before, and moving customers with the effect shown."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.dateparse import parse_date

from billing.formatting import money
from billing.models import Plan, PlanStatus, Subscription
from billing.version_differences import compare_versions
from billing.versions import MoveEffect, move, preview_move
from customers.staff_pages import StaffAdmin, require

SHOWN = 500


class ChangePages(StaffAdmin):
    """Adds the pages of changing from one version to another to the admin of plans."""

    def change_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/moves/", wrap(self.moves_view), name="billing_plan_moves"),
        ]

    def moves_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Compare with the version before; show what moving means for each customer, then move those chosen."""
        require(request, "billing.view_plan", "billing.view_subscription")
        plan = get_object_or_404(Plan, pk=pk)
        sent = request.POST if request.method == "POST" else request.GET
        chosen_day, search = sent.get("on") or "", request.GET.get("q", "").replace("\x00", "").strip()
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
            return self._move(request, plan, others, on=on, now=now)
        before = Plan.objects.filter(code=plan.code, version__lt=plan.version).order_by("-version").first()
        found = others.filter(customer__name__icontains=search) if search else others
        effects = preview_move(list(found[:SHOWN]), to=plan, on=on, now=now)
        return self.page(
            request, "admin/billing/plan/moves.html", title=f"Move customers to {plan}", plan=plan, before=before,
            differences=compare_versions(before, plan) if before else [],
            rows=[_effect_row(each, plan.currency) for each in effects], may_move=may_move, on=chosen_day, day=on,
            total=others.count(), found=found.count(), search=search, sums=_sums(effects, plan.currency),
            purpose="Whoever you do not choose stays as agreed. Invoices stay as they are.",
        )  # fmt: skip

    def _move(
        self,
        request: HttpRequest,
        plan: Plan,
        others: QuerySet[Subscription],
        *,
        on: date | None,
        now: datetime,
    ) -> HttpResponse:
        require(request, "billing.change_subscription")
        if plan.status != PlanStatus.ACTIVE:
            messages.error(request, f"{plan} is not active. Activate it before customers move to it.")
            return redirect("admin:billing_plan_moves", plan.pk)
        picked = [value for value in request.POST.getlist("subscription") if value.isdecimal()]
        done = move(list(others.filter(pk__in=picked)), to=plan, on=on, now=now)
        moved = [each for each in done if each.following is not None]
        for each in done:
            if each.following is None:
                messages.error(request, f"{each.subscription.customer} stays: {each.problem}")
        if moved:
            who = "1 customer moves" if len(moved) == 1 else f"{len(moved)} customers move"
            self.log_change(request, plan, f"{who} to this version.")
            messages.success(request, f"{who} to version {plan.version}.")
        elif not done:
            messages.error(request, "Nobody was chosen, so nobody was moved.")
        return redirect("admin:billing_plan_moves", plan.pk)


def _day(text: str) -> date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _effect_row(effect: MoveEffect, currency: str) -> dict[str, Any]:
    def write(amount: Any) -> str:
        return "" if amount is None else money(amount, currency)

    return {
        "effect": effect,
        "before": write(effect.before),
        "after": write(effect.after),
        "difference": "" if effect.difference is None else _signed(effect.difference, currency),
    }


def _sums(effects: list[MoveEffect], currency: str) -> dict[str, str]:
    """Add up what can be compared; empty where there is nothing to compare."""
    pairs = [
        (each.before, each.after) for each in effects if each.before is not None and each.after is not None
    ]
    if not pairs:
        return {}
    before, after = (sum(amounts, Decimal(0)) for amounts in zip(*pairs, strict=True))
    return {
        "before": money(before, currency),
        "after": money(after, currency),
        "difference": _signed(after - before, currency),
    }


def _signed(amount: Decimal, currency: str) -> str:
    return f"{'+' if amount > 0 else ''}{money(amount, currency)}"
