"""The pages of a draft plan's rates: add one, change one, remove one, and the live preview beside the editor."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.widgets import BASE_INPUT_CLASSES

from billing.admin.break_even import break_even_address
from billing.admin.rate_fields import PRICES, ROW_PRICES, SHOWN, TIERED, tier_models
from billing.admin.rate_form import RateForm
from billing.admin.rate_preview import preview
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


def editor_context(form: RateForm) -> dict[str, Any]:
    """Give what the template of the editor needs: the form, and which fields belong to which model."""
    row = form.row if form.is_bound and not form.quiet and form.is_valid() else form.rate
    shows = row is not None and not (form.is_bound and row is form.rate)
    return {
        "form": form,
        "plan": form.plan,
        "kind": form.kind,
        "tiered": " ".join(TIERED),
        "input_classes": " ".join(BASE_INPUT_CLASSES),
        "prices": [(form[name], " ".join(models)) for name, models in PRICES.items() if name in form.fields],
        "limits": [
            (form[name], " ".join(models), name)
            for name, models in SHOWN.items()
            if name not in PRICES and name in form.fields
        ],
        "row_prices": [
            (name, str(form.fields[name].label), " ".join(models))
            for name, models in ROW_PRICES.items()
            if name in form.fields
        ],
        "row_limits": [
            (name, str(form.fields[name].label), " ".join(models))
            for name, models in SHOWN.items()
            if name not in PRICES and name in form.fields
        ],
        "tier_models": {name: " ".join(tier_models(name)) for name in ("unit_amount", "percent")},
        "preview": preview(row, form.plan, form.data) if row is not None and shows else None,
        "has_meters": form.kind != RateKind.USAGE
        or "meter" not in form.fields
        or Meter.objects.filter(status=MeterStatus.ACTIVE).exists(),
    }


def preview_fragment(request: HttpRequest, form: RateForm) -> HttpResponse:
    """Answer a piece of the page: the rate as it is being written, rated; or what is still missing."""
    context: dict[str, Any] = {"plan": form.plan}
    if form.is_valid() and form.row is not None:
        context["preview"] = preview(form.row, form.plan, form.data)
    else:
        empty = {
            name for name, found in form.errors.as_data().items() if any(e.code == "required" for e in found)
        }
        errors = [
            error if name not in empty else f"Fill in “{form[name].label}” to see what a quantity costs."
            for name in form.errors
            for error in form.errors[name]
            if name != "__all__"
        ]
        tables = [*form.tier_errors, *(error for each in form.tiers for error in each.errors)]
        rows = [error for each in form.rows for error in each.errors]
        context["missing"] = next(iter([*errors, *tables, *rows, *form.non_field_errors()]))
    return TemplateResponse(request, "admin/billing/plan/rate_preview.html", context)


class RatePages(StaffAdmin):
    """Adds the pages of rates to the admin of plans."""

    def rate_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        one = "<int:pk>/rates/<int:rate_pk>/"
        return [
            path("<int:pk>/rates/add/", wrap(self.rate_view), name="billing_plan_rate_add"),
            path(
                "<int:pk>/rates/preview/",
                wrap(require_POST(self.rate_preview_view)),
                name="billing_plan_rate_preview",
            ),
            path(one, wrap(self.rate_view), name="billing_plan_rate"),
            path(f"{one}remove/", wrap(self.remove_view), name="billing_plan_rate_remove"),
        ]

    def rate_view(self, request: HttpRequest, pk: int, rate_pk: int | None = None) -> HttpResponse:
        """Write a rate of a draft: a new one of `?kind=`, or an existing one.

        `_preview` and `_refresh` write nothing: they show what the posted rate costs, and the fields of another meter.
        """
        require(request, "billing.change_plan")
        plan = get_object_or_404(Plan, pk=pk)
        rate = (
            get_object_or_404(Rate.objects.select_related("meter"), pk=rate_pk, plan=plan)
            if rate_pk
            else None
        )
        kind = rate.kind if rate else request.GET.get("kind", RateKind.USAGE)
        if kind not in RateKind.values:
            messages.error(request, "There is no such kind of rate. Add one from the plan's page.")
            return redirect("admin:billing_plan_change", pk)
        if plan.is_frozen:
            messages.error(
                request, f"{plan} is {plan.get_status_display().lower()}; make a new version to change it."
            )
            return redirect("admin:billing_plan_change", pk)
        looks = "_preview" in request.POST
        form = RateForm(
            request.POST if request.method == "POST" else None,
            plan=plan, kind=kind, rate=rate, quiet="_refresh" in request.POST, spare=looks,
        )  # fmt: skip
        if request.method == "POST" and not (looks or form.quiet) and form.is_valid():
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
            back=reverse("admin:billing_plan_change", args=[pk]), save="Save rate",
            preview_url=f"{reverse('admin:billing_plan_rate_preview', args=[pk])}?kind={kind}",
            break_even=break_even_address(request, form), **editor_context(form),
        )  # fmt: skip

    def rate_preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Rate what is being written. Writes nothing."""
        require(request, "billing.change_plan")
        plan = get_object_or_404(Plan, pk=pk)
        kind = request.GET.get("kind", "")
        if kind not in RateKind.values:
            return HttpResponse("There is no such kind of rate.", status=400, content_type="text/plain")
        return preview_fragment(request, RateForm(request.POST, plan=plan, kind=kind))

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
