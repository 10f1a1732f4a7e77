"""The pages of a draft plan's rates: add one, change one, remove one."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from unfold.widgets import BASE_INPUT_CLASSES

from billing.admin.rate_form import SHOWN, TIER_COLUMNS, TIERED, RateForm
from billing.errors import BillingError
from billing.models import Plan, Rate, RateKind
from billing.pricing import remove_rate
from billing.summaries import rate_name, rate_sentence
from customers.staff_pages import StaffAdmin, require
from metering.models import Meter, MeterStatus

KIND_TITLES = {
    RateKind.USAGE: "usage-based rate",
    RateKind.SUBSCRIPTION: "subscription rate",
    RateKind.ONE_TIME: "one-time fee",
}


class RatePages(StaffAdmin):
    """Adds the pages of rates to the admin of plans."""

    def rate_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        one = "<int:pk>/rates/<int:rate_pk>/"
        return [
            path("<int:pk>/rates/add/", wrap(self.rate_view), name="billing_plan_rate_add"),
            path(one, wrap(self.rate_view), name="billing_plan_rate"),
            path(f"{one}remove/", wrap(self.remove_view), name="billing_plan_rate_remove"),
        ]

    def rate_view(self, request: HttpRequest, pk: int, rate_pk: int | None = None) -> HttpResponse:
        """Write a rate of a draft: a new one of `?kind=`, or an existing one."""
        require(request, "billing.change_plan")
        plan = get_object_or_404(Plan, pk=pk)
        rate = get_object_or_404(Rate, pk=rate_pk, plan=plan) if rate_pk else None
        kind = rate.kind if rate else request.GET.get("kind", RateKind.USAGE)
        if kind not in RateKind.values or (rate is not None and rate.terms.get("rows")):
            messages.error(request, "This rate has prices by dimensions. Change it through the API.")
            return redirect("admin:billing_plan_change", pk)
        if plan.is_frozen:
            messages.error(
                request, f"{plan} is {plan.get_status_display().lower()}; make a new version to change it."
            )
            return redirect("admin:billing_plan_change", pk)
        form = RateForm(request.POST or None, plan=plan, kind=kind, rate=rate)
        if request.method == "POST" and form.is_valid():
            try:
                written = form.save()
            except BillingError as refused:
                messages.error(request, refused.message)
            else:
                sentence = f"{rate_name(written)}: {rate_sentence(written, plan)}."
                self.log_change(request, plan, f"Rate {'changed' if rate else 'added'}. {sentence}")
                messages.success(request, sentence)
            return redirect("admin:billing_plan_change", pk)
        title = KIND_TITLES[RateKind(kind)]
        return self.page(
            request, "admin/billing/plan/rate.html", title=f"Change a {title}" if rate else f"Add a {title}",
            plan=plan, form=form, kind=kind, tiered=" ".join(TIERED), input_classes=" ".join(BASE_INPUT_CLASSES),
            shown_for=[(name, " ".join(models)) for name, models in SHOWN.items()],
            tier_models={
                name: " ".join(model for model in TIERED if name in TIER_COLUMNS[model])
                for name in ("unit_amount", "percent")
            },
            has_meters=kind != RateKind.USAGE or Meter.objects.filter(status=MeterStatus.ACTIVE).exists(),
        )  # fmt: skip

    def remove_view(self, request: HttpRequest, pk: int, rate_pk: int) -> HttpResponse:
        require(request, "billing.change_plan")
        rate = get_object_or_404(Rate.objects.select_related("plan", "meter"), pk=rate_pk, plan=pk)
        if request.method == "POST":
            try:
                remove_rate(rate)
            except BillingError as refused:
                messages.error(request, refused.message)
            else:
                self.log_change(request, rate.plan, f"Rate removed: {rate_name(rate)}.")
                messages.success(request, f"{rate_name(rate)} is removed from the draft.")
            return redirect("admin:billing_plan_change", pk)
        return self.page(
            request, "admin/billing/plan/remove.html", title=f"Remove {rate_name(rate)}?", plan=rate.plan,
            words=rate_sentence(rate, rate.plan),
        )  # fmt: skip
