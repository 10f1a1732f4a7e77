"""Cost rates: the list, adding one, withdrawing one, and a provider's price list from a file."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.decorators import display

from billing.admin.choices import currency_choices
from billing.admin.cost_parts import currency_of_page
from billing.admin.cost_rate_forms import FixedCostForm, PriceListForm, UnitCostForm, ValidityForm
from billing.admin.cost_statements import rate_words
from billing.admin.rates import editor_context, preview_fragment
from billing.cost_entries import DEFAULT_CURRENCY
from billing.cost_rates import add_cost_rate, free_of_cost, withdraw_cost_rate
from billing.errors import BillingError
from billing.models import CostRate, CostRateKind
from billing.price_lists import PriceList, import_price_list, read_price_list
from customers.staff_pages import ReadOnlyAdmin, put_errors, require
from metering.models import Meter


@admin.register(CostRate)
class CostRateAdmin(ReadOnlyAdmin):
    purpose = (
        "What internal work costs you: a price for each unit of a meter, or a fixed amount each month for a workload. "
        "A new price is a new cost from its day on; the old one stays readable. Customers never see costs."
    )
    empty_title = "Add what a unit costs"
    empty_text = (
        "For example $0.50 for a million tokens, or $30.00 a month for a reserved machine. Then margins show."
    )
    list_display = ("what", "words", "label", "effective_from", "effective_until", "state")
    list_filter = ("kind", "currency", "meter", "workload")
    search_fields = ("label", "meter__label", "meter__code", "workload__name")
    list_select_related = ("meter", "workload")
    list_before_template = "admin/billing/costs/rates_head.html"
    change_form_template = "admin/billing/costs/rate.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.add_costrate")

    @display(description="Cost of")
    def what(self, row: CostRate) -> str:
        if row.kind == CostRateKind.FIXED:
            return str(row.workload)
        assert row.meter is not None  # held by costrate_meter_or_workload
        return row.meter.label

    @display(description="Costs")
    def words(self, row: CostRate) -> str:
        return rate_words(row)

    @display(
        description="State",
        label={"withdrawn": "danger", "holds": "success", "ended": "warning", "later": "info"},
    )
    def state(self, row: CostRate) -> tuple[str, str]:
        today = timezone.now().date()
        if row.withdrawn_at is not None:
            return "withdrawn", "Withdrawn"
        if row.effective_from is not None and row.effective_from > today:
            return "later", "Later"
        if row.effective_until is not None and row.effective_until <= today:
            return "ended", "Ended"
        return "holds", "Holds"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("add/", wrap(self.rate_view), name="billing_costrate_add"),
            path("preview/", wrap(require_POST(self.preview_view)), name="billing_costrate_preview"),
            path("add/fixed/", wrap(self.fixed_view), name="billing_costrate_add_fixed"),
            path("import/", wrap(self.import_view), name="billing_costrate_import"),
            path("<int:pk>/withdraw/", wrap(self.withdraw_view), name="billing_costrate_withdraw"),
            path("free/<int:pk>/", wrap(self.free_view), name="billing_costrate_free"),
        ]
        return [*own, *super().get_urls()]

    def get_fields(self, request: HttpRequest, obj: CostRate | None = None) -> list[str]:
        """Show a rate in words, and of its fields those that it has."""
        assert obj is not None  # adding has pages of its own
        about = [name for name in ("meter", "workload") if getattr(obj, f"{name}_id") is not None]
        return ["kind", *about, "words", "currency", "label", "effective_from", "effective_until"]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        row = kwargs.get("obj")
        if row is not None:
            context |= {"row": row, "words": rate_words(row), "state": self.state(row)[1]}
        return super().render_change_form(request, context, *args, **kwargs)

    def rate_view(self, request: HttpRequest) -> HttpResponse:
        """Add what the units of a meter cost. `_preview` and `_refresh` write nothing, as in the editor of prices."""
        require(request, "billing.add_costrate")
        posted = request.POST if request.method == "POST" else None
        looks = "_preview" in request.POST
        form = self._unit_cost_form(request, spare=looks, quiet="_refresh" in request.POST)
        validity = ValidityForm(posted)
        if posted is not None and not (looks or form.quiet) and form.is_valid() & validity.is_valid():
            try:
                row = add_cost_rate(form.terms(), validity.validity())
            except BillingError as refused:
                put_errors(validity, refused.fields, message=refused.message)
            else:
                return self._added(request, row)
        return self.page(
            request, "admin/billing/costs/rate_form.html", title="Add a cost", validity=validity, save="Add the cost",
            back=reverse("admin:billing_costrate_changelist"),
            preview_url=f"{reverse('admin:billing_costrate_preview')}?", **editor_context(form),
        )  # fmt: skip

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Rate what is being written. Writes nothing."""
        require(request, "billing.add_costrate")
        return preview_fragment(request, self._unit_cost_form(request))

    def _unit_cost_form(self, request: HttpRequest, **options: bool) -> UnitCostForm:
        asked = request.GET.get("meter", "")
        wanted = request.POST.get("currency", "")
        return UnitCostForm(
            request.POST if request.method == "POST" else None,
            currency=wanted if wanted in dict(currency_choices()) else DEFAULT_CURRENCY,
            meter=asked if asked.isdecimal() and len(asked) < 19 else "", **options,
        )  # fmt: skip

    def fixed_view(self, request: HttpRequest) -> HttpResponse:
        """Add what a workload costs each month."""
        require(request, "billing.add_costrate")
        form = FixedCostForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                row = add_cost_rate(form.terms(), form.validity())
            except BillingError as refused:
                put_errors(form, refused.fields, message=refused.message)
            else:
                return self._added(request, row)
        return self.page(request, "admin/billing/costs/fixed_form.html", title="Add a fixed cost", form=form)

    def _added(self, request: HttpRequest, row: CostRate) -> HttpResponse:
        self.log_addition(request, row, "Added.")
        messages.success(request, f"{self.what(row)}: {rate_words(row)}.")
        return redirect("admin:metering_workload_changelist")

    def free_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say that a meter costs nothing by itself; a GET leads back."""
        require(request, "billing.add_costrate")
        meter = get_object_or_404(Meter, pk=pk)
        if request.method == "POST":
            try:
                row = free_of_cost(meter, currency=currency_of_page(request))
            except BillingError as refused:
                messages.error(request, refused.message)
            else:
                self.log_addition(request, row, "Said to cost nothing by itself.")
                messages.success(request, f"{meter.label} costs nothing by itself: the work behind it does.")
        return redirect("admin:metering_workload_changelist")

    def withdraw_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take back a cost that was wrong."""
        require(request, "billing.change_costrate")
        row = get_object_or_404(CostRate, pk=pk)
        if request.method == "POST":
            withdraw_cost_rate(row, now=timezone.now())
            self.log_change(request, row, "Withdrawn.")
            messages.success(request, f"{row} is withdrawn. Add the right cost in its place.")
            return redirect("admin:billing_costrate_changelist")
        return self.page(
            request, "admin/billing/costs/withdraw.html", title=f"Withdraw {row}?", row=row, words=rate_words(row)
        )  # fmt: skip

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Show what a price list would change, then write it."""
        require(request, "billing.add_costrate")
        form = PriceListForm(request.POST or None, request.FILES or None)
        found: PriceList | None = None
        if request.method == "POST" and form.is_valid():
            text, validity = form.cleaned_data["text"], form.validity()
            if "write" in request.POST:
                try:
                    rows = import_price_list(text, validity)
                except BillingError as refused:
                    put_errors(form, refused.fields, message=refused.message)
                else:
                    for row in rows:
                        self.log_addition(request, row, "Imported from a price list.")
                    messages.success(request, f"{len(rows)} costs are written.")
                    return redirect("admin:billing_costrate_changelist")
            else:
                found = read_price_list(text, validity)
                form = PriceListForm(initial=form.cleaned_data | {"file": None})
        return self.page(
            request,
            "admin/billing/costs/import.html",
            title="Import a price list",
            form=form,
            problems=found.problems if found else [],
            rows=[
                (self.what(new), rate_words(new), rate_words(old) if old else "unknown")
                for new, old in (found.rates if found else [])
            ],
            back=reverse("admin:billing_costrate_changelist"),
        )
