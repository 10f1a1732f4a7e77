"""Cost rates: the list, adding one, withdrawing one, and a provider's price list from a file."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing.admin.choices import currency_choices
from billing.admin.spend import currency_of_page, rate_words
from billing.cost_rates import Validity, add_cost_rate, free_of_cost, withdraw_cost_rate
from billing.errors import BillingError
from billing.models import CostRate, CostRateKind
from billing.price_lists import PriceList, import_price_list, read_price_list
from customers.staff_pages import ReadOnlyAdmin, put_errors, require
from metering.models import Meter, MeterStatus, Workload

EVERYTHING_ELSE = "everything else"
MAX_FILE = 2 * 2**20


class ValidityForm(forms.Form):
    """When a cost holds and where it comes from."""

    currency = forms.ChoiceField(choices=currency_choices, initial="USD", widget=UnfoldAdminSelectWidget)
    label = forms.CharField(
        required=False, max_length=200, widget=UnfoldAdminTextInputWidget,
        help_text="Where it comes from: provider prices Jan 2026.",
    )  # fmt: skip
    effective_from = forms.DateField(
        label="From", required=False, widget=UnfoldAdminTextInputWidget({"type": "date"}),
        help_text="The first day, in UTC. Empty: from the beginning. The cost before it ends there.",
    )  # fmt: skip

    def validity(self) -> Validity:
        given = self.cleaned_data
        return Validity(
            currency=given["currency"], label=given["label"], effective_from=given["effective_from"]
        )


class CostRateForm(ValidityForm):
    """A cost of a meter's units, or a fixed cost of a workload."""

    kind = forms.ChoiceField(choices=CostRateKind.choices, widget=UnfoldAdminSelectWidget)
    meter = forms.ModelChoiceField(
        Meter.objects.exclude(status=MeterStatus.DRAFT), required=False, widget=UnfoldAdminSelectWidget,
        help_text="Whose units cost this. A fixed cost is spread by its quantity; left empty, by events.",
    )  # fmt: skip
    unit_amount = forms.CharField(
        label="Cost of a unit", required=False, widget=UnfoldAdminTextInputWidget, help_text="For example 0.002."
    )  # fmt: skip
    per = forms.ChoiceField(
        label="For how many units", required=False, widget=UnfoldAdminSelectWidget,
        choices=[("1", "1"), ("100", "100"), ("1000", "1,000"), ("1000000", "1,000,000")],
    )  # fmt: skip
    rows = forms.CharField(
        label="Or by dimensions", required=False, widget=UnfoldAdminTextareaWidget({"rows": 4}),
        help_text="One cost on a line: “type=input, model=large: 0.50”, and “everything else: 1.00” at the end.",
    )  # fmt: skip
    workload = forms.ModelChoiceField(
        Workload.objects.all(), required=False, widget=UnfoldAdminSelectWidget, help_text="For a fixed cost."
    )  # fmt: skip
    amount = forms.CharField(
        label="Fixed cost each month", required=False, widget=UnfoldAdminTextInputWidget,
        help_text="For example 30.00 for a reserved machine.",
    )  # fmt: skip

    field_order = [
        "kind",
        "meter",
        "unit_amount",
        "per",
        "rows",
        "workload",
        "amount",
        "currency",
        "label",
        "effective_from",
    ]

    def terms(self) -> dict[str, object]:
        """Give what is written as the API writes it; the service names what is wrong."""
        given = self.cleaned_data
        meter = given["meter"].code if given["meter"] else None
        if given["kind"] == CostRateKind.FIXED:
            found = {
                "workload": given["workload"].code if given["workload"] else None,
                "amount": given["amount"] or None,
            }
            return {"kind": CostRateKind.FIXED.value, **found, **({"meter": meter} if meter else {})}
        terms: dict[str, object] = {"meter": meter, "model": "per_unit"}
        if given["per"] not in ("", "1"):
            terms["per"] = given["per"]
        if given["rows"].strip():
            return terms | _rows(given["rows"])
        return terms | {"unit_amount": given["unit_amount"].strip() or None}


def _rows(text: str) -> dict[str, object]:
    """Read costs by dimensions from lines. Raises forms.ValidationError naming the line."""
    rows: list[dict[str, object]] = []
    names: dict[str, None] = {}
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), start=1):
        match, colon, amount = line.rpartition(":")
        values: dict[str, str] = {}
        if match.strip().lower() != EVERYTHING_ELSE:
            for part in match.split(","):
                name, equals, value = part.partition("=")
                if not colon or not equals or not name.strip():
                    sentence = f"Line {number}: write it as “type=input: 0.50” or “everything else: 1.00”."
                    raise forms.ValidationError(sentence)
                values[name.strip()] = value.strip()
        names |= dict.fromkeys(values)
        rows.append({"match": values, "unit_amount": amount.strip()})
    found: dict[str, object] = {"dimensions": list(names), "rows": rows}
    return found if any(not row["match"] for row in rows) else found | {"unmatched": "listed"}


class PriceListForm(ValidityForm):
    """A price list, as a file or pasted."""

    file = forms.FileField(required=False, help_text="A CSV file in UTF-8. Or paste its lines below.")
    text = forms.CharField(
        label="Lines", required=False, widget=UnfoldAdminTextareaWidget({"rows": 10, "spellcheck": "false"}),
        help_text="meter,model,type,unit_amount,per",
    )  # fmt: skip
    field_order = ["file", "text", "currency", "label", "effective_from"]

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        file = given.get("file")
        if file is not None:
            if file.size > MAX_FILE:
                raise forms.ValidationError({"file": "A price list has 2 MiB at most."})
            try:
                given["text"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError as wrong:
                raise forms.ValidationError(
                    {"file": "The file is not UTF-8. Save it as CSV UTF-8."}
                ) from wrong
        if "\x00" in given.get("text", ""):
            raise forms.ValidationError({"file": "The file holds characters that no text has."})
        if not given.get("text", "").strip():
            raise forms.ValidationError({"file": "Choose a file, or paste its lines."})
        return given


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
            path("import/", wrap(self.import_view), name="billing_costrate_import"),
            path("<int:pk>/withdraw/", wrap(self.withdraw_view), name="billing_costrate_withdraw"),
            path("free/<int:pk>/", wrap(self.free_view), name="billing_costrate_free"),
        ]
        return [*own, *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        row = kwargs.get("obj")
        if row is not None:
            context |= {"row": row, "words": rate_words(row), "state": self.state(row)[1]}
        return super().render_change_form(request, context, *args, **kwargs)

    def rate_view(self, request: HttpRequest) -> HttpResponse:
        """Add a cost rate."""
        require(request, "billing.add_costrate")
        meter = request.GET.get("meter", "")
        initial = {"meter": meter} if meter.isdecimal() and len(meter) < 19 else {}
        form = CostRateForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            try:
                row = add_cost_rate(form.terms(), form.validity())
            except forms.ValidationError as wrong:
                form.add_error("rows", wrong)
            except BillingError as refused:
                put_errors(form, _of_form(refused.fields), message=refused.message)
            else:
                self.log_addition(request, row, "Added.")
                messages.success(request, f"{self.what(row)}: {rate_words(row)}.")
                return redirect("admin:metering_workload_changelist")
        return self.page(request, "admin/billing/costs/rate_form.html", title="Add a cost", form=form)

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


def _of_form(fields: Any) -> dict[str, str]:
    """Name fields of the form for problems with parts of its lines."""
    return {
        ("rows" if name.startswith(("rows", "dimensions", "unmatched")) else name): text
        for name, text in fields.items()
    }
