"""Break-even prices: what one unit of a meter cost in the last full month, on a page of a plan and in its editor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing.admin.cost_words import cost_words
from billing.admin.rate_form import RateForm
from billing.admin.remembering import of_month
from billing.costing import exact_decimal
from billing.formatting import quantity_of
from billing.models import Plan
from billing.months import Month
from billing.unit_costs import UnitCost, current_rates, unit_costs
from customers.staff_pages import StaffAdmin, require
from metering.models import Meter


def break_even_address(request: HttpRequest, form: RateForm) -> str:
    """Give where the editor asks for the break-even price of the chosen meter; empty when there is none to see."""
    meter = getattr(form, "chosen_meter", None)
    if meter is None or not request.user.has_perm("billing.view_costrate"):
        return ""
    return reverse("admin:billing_plan_break_even", args=[form.plan.pk, meter.pk])


class BreakEvenPages(StaffAdmin):
    """Adds the break-even prices to the admin of plans."""

    def break_even_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/break-even/", wrap(self.break_even_view), name="billing_costs_break_even"),
            path(
                "<int:pk>/break-even/<int:meter_pk>/",
                wrap(self.break_even_part),
                name="billing_plan_break_even",
            ),
        ]

    def break_even_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Show below which price each usage rate of a plan loses money."""
        require(request, "billing.view_costrate", "billing.view_plan")
        plan = get_object_or_404(Plan, pk=pk)
        rates = list(plan.rates.select_related("meter").exclude(meter=None))
        known = _known([rate.meter for rate in rates if rate.meter], plan.currency, now=timezone.now())
        rows = [
            {"name": str(rate), "meter": rate.meter, **_words(known[rate.meter.pk], plan.currency)}
            for rate in rates
            if rate.meter
        ]
        return self.page(
            request, "admin/billing/costs/break_even.html", title=f"Break-even prices of {plan}", plan=plan, rows=rows
        )  # fmt: skip

    def break_even_part(self, request: HttpRequest, pk: int, meter_pk: int) -> HttpResponseBase:
        """Answer a piece of the editor: what one unit of a meter cost, so that nobody prices below it unawares."""
        require(request, "billing.view_costrate", "billing.view_plan")
        plan, meter = get_object_or_404(Plan, pk=pk), get_object_or_404(Meter, pk=meter_pk)
        found = _known([meter], plan.currency, now=timezone.now())[meter.pk]
        return TemplateResponse(
            request,
            "admin/billing/plan/break_even.html",
            {"plan": plan, "units": _units(found, meter), **_words(found, plan.currency)},
        )


def _known(meters: Sequence[Meter], currency: str, *, now: datetime) -> dict[int, UnitCost]:
    last = Month.of(now.astimezone(UTC).date()).previous
    name = "break-even:" + ",".join(str(meter.pk) for meter in meters)

    def read() -> dict[int, UnitCost]:
        return unit_costs(meters, currency=currency, now=now, rates=current_rates(now), measured=True)

    return of_month(name, last.first, currency, now, read).figures


def _units(found: UnitCost, meter: Meter) -> str:
    return quantity_of(exact_decimal(found.measured.quantity), meter.unit) if found.measured else ""


def _words(found: UnitCost, currency: str) -> dict[str, Any]:
    measured = found.measured
    if measured is None:
        return {"price": ""}
    return {
        "price": cost_words(measured.each, currency),
        "month": f"{measured.month:%B %Y}",
        "quantity": f"{exact_decimal(measured.quantity):,f}",
        "own": cost_words(measured.own, currency),
        "behind": cost_words(measured.behind, currency),
    }
