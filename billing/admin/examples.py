"""The pages of a draft plan's examples: usages with the amounts they must come to, worked while they are written."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from unfold.widgets import BASE_INPUT_CLASSES, UnfoldAdminTextInputWidget

from billing.admin.statement import worked_rows
from billing.errors import BillingError, InvalidExample
from billing.examples import WorkedExample, first_example, read_examples, work_examples, written_example
from billing.formatting import money, quantity
from billing.models import Plan, PlanExample, RateKind
from billing.pricing import put_example, remove_example
from billing.rating import currency_digits
from customers.staff_pages import StaffAdmin, require
from metering.models import Meter

SPARE_ROWS = 3


def _text(label: str, help_text: str = "", **attributes: str) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget({"autocomplete": "off", **attributes})
    return forms.CharField(label=label, help_text=help_text, required=False, max_length=200, widget=widget)


class ExampleForm(forms.Form):
    """One example. What is wrong is said by `read_examples`, and shown at the field or row it names."""

    name = _text("Name", "What kind of month it is: a usual one, a busy one, one at the end of a tier.")
    quantity = _text("Seats", "Only fees per seat depend on it. Empty: 1.", inputmode="numeric")
    expected_amount = _text(
        "Must come to",
        "The whole invoice, without one-time fees. Leave empty and press “Work it out” to take what it comes to now.",
        inputmode="decimal",
    )

    def __init__(self, data: QueryDict | None, *, plan: Plan, example: PlanExample | None) -> None:
        written: Mapping[str, Any] = written_example(example) if example else {}
        super().__init__(data, initial=dict(written))
        self.plan, self.example = plan, example
        rates = list(plan.rates.filter(kind=RateKind.USAGE).select_related("meter"))
        self.meters = sorted({rate.meter for rate in rates if rate.meter}, key=lambda meter: meter.label)
        self.dimensions = sorted({name for rate in rates for name in rate.terms.get("dimensions") or ()})
        self.rows = self._posted() if self.is_bound else self._stored(written)
        self.read: PlanExample | None = None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            self.read = read_examples([self.sent()])[0]
        except InvalidExample as refused:
            self.place(refused)
        return cleaned

    def sent(self) -> dict[str, object]:
        """Give the example as the API writes it."""
        seats = self.cleaned_data["quantity"].strip()
        used = []
        for row in self.rows:
            if row["meter"] or row["quantity"] or row["dimensions"]:
                part = {"meter": row["meter"], "quantity": row["quantity"]}
                used.append(part | ({"dimensions": row["dimensions"]} if row["dimensions"] else {}))
        return {
            "name": self.cleaned_data["name"].strip(),
            "usage": used,
            "quantity": int(seats) if seats.isdecimal() and len(seats) < 12 else seats or 1,
            "expected_amount": self.cleaned_data["expected_amount"].strip() or "0",
        }

    def place(self, refused: InvalidExample) -> None:
        """Show a refusal at the fields and rows it names."""
        used = [row for row in self.rows if row["meter"] or row["quantity"] or row["dimensions"]]
        for at, sentence in refused.fields.items():
            first, _, rest = at.removeprefix("examples.0").removeprefix(".").partition(".")
            number = rest.partition(".")[0]
            if first == "usage" and number.isdecimal() and int(number) < len(used):
                used[int(number)]["error"] = sentence
                self.add_error(None, forms.ValidationError("Please correct the usage.", code="usage"))
            else:
                self.add_error(first if first in self.fields else None, sentence)

    def worked(self) -> WorkedExample | None:
        return None if self.read is None else work_examples(self.plan, [self.read])[0]

    def _stored(self, written: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = [
            {
                "meter": row["meter"],
                "quantity": row["quantity"],
                "dimensions": dict(row.get("dimensions", {})),
            }
            for row in written.get("usage", ())
        ]
        return [*rows, *self._spare()]

    def _posted(self) -> list[dict[str, Any]]:
        data = cast("QueryDict", self.data)
        columns = [data.getlist(f"usage_of:{name}") for name in self.dimensions]
        rows = []
        for number, (meter, used) in enumerate(
            zip(data.getlist("usage_meter"), data.getlist("usage_quantity"), strict=False)
        ):
            values = [column[number].strip() if number < len(column) else "" for column in columns]
            given = {name: value for name, value in zip(self.dimensions, values, strict=True) if value}
            if meter or used.strip() or given:
                rows.append({"meter": meter, "quantity": used.strip(), "dimensions": given})
        return [*rows, *self._spare()]

    def _spare(self) -> list[dict[str, Any]]:
        return [{"meter": "", "quantity": "", "dimensions": {}} for _ in range(SPARE_ROWS)]


def example_rows(plan: Plan) -> list[dict[str, Any]]:
    """Give each example with the invoice it comes to, in words, for the pages that only show them."""
    meters = dict(Meter.objects.filter(rates__plan=plan).values_list("code", "label"))
    return [
        {
            "example": each.example,
            "passes": each.passes,
            "usage": ", ".join(_usage_words(row, meters) for row in each.example.usage) or "no usage",
            "expected": money(each.example.expected_amount, plan.currency),
            "amount": "" if each.amount is None else money(each.amount, plan.currency),
            "problem": each.problem,
            "lines": worked_rows(each.lines, plan.currency),
        }
        for each in work_examples(plan)
    ]


def _usage_words(row: Mapping[str, Any], meters: Mapping[str, str]) -> str:
    values = ", ".join(f"{name} {value}" for name, value in row.get("dimensions", {}).items())
    words = f"{quantity(Decimal(row['quantity']))} of {meters.get(row['meter'], row['meter'])}"
    return f"{words} ({values})" if values else words


class ExamplePages(StaffAdmin):
    """Adds the pages of examples to the admin of plans."""

    def example_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        one = "<int:pk>/examples/<int:example_pk>/"
        return [
            path("<int:pk>/examples/add/", wrap(self.example_view), name="billing_plan_example_add"),
            path(one, wrap(self.example_view), name="billing_plan_example"),
            path(f"{one}remove/", wrap(self.remove_example_view), name="billing_plan_example_remove"),
        ]

    def example_view(self, request: HttpRequest, pk: int, example_pk: int | None = None) -> HttpResponse:
        """Write an example of a draft. `?first=1` offers a ready-made one; `_work` shows what it comes to."""
        require(request, "billing.change_plan")
        plan = get_object_or_404(Plan, pk=pk)
        stored = get_object_or_404(PlanExample, pk=example_pk, plan=plan) if example_pk else None
        if plan.is_frozen:
            messages.error(request, f"{plan} is {plan.get_status_display().lower()}: its examples stay.")
            return redirect("admin:billing_plan_change", pk)
        offered = first_example(plan) if "first" in request.GET and stored is None else None
        data = request.POST.copy() if request.method == "POST" else None
        form = ExampleForm(data, plan=plan, example=stored or offered)
        worked = None
        if data is not None and form.is_valid():
            worked = form.worked()
            assert worked is not None
            if "_work" not in data:
                if self._write_example(request, form, stored):
                    return redirect("admin:billing_plan_change", pk)
            elif not data.get("expected_amount", "").strip() and worked.amount is not None:
                data["expected_amount"] = f"{worked.amount:.{currency_digits(plan.currency)}f}"
                form = ExampleForm(data, plan=plan, example=stored)
                worked = form.worked() if form.is_valid() else None
        elif data is None and form.example is not None:
            worked = work_examples(plan, [form.example])[0]
        return self.page(
            request, "admin/billing/plan/example.html", form=form, plan=plan, worked=worked,
            title="Change an example" if stored else "Add an example",
            lines=worked_rows(worked.lines, plan.currency) if worked else [],
            total=money(worked.amount, plan.currency) if worked and worked.amount is not None else "",
            input_classes=" ".join(BASE_INPUT_CLASSES),
            purpose="A usage and the invoice it must come to. While an example fails, the plan is not activated.",
        )  # fmt: skip

    def _write_example(self, request: HttpRequest, form: ExampleForm, stored: PlanExample | None) -> bool:
        if not form.cleaned_data["expected_amount"].strip():
            form.add_error("expected_amount", "Write the amount, or let it be worked out.")
            return False
        try:
            written = put_example(form.plan, form.sent(), instead_of=stored)
        except InvalidExample as refused:
            form.place(refused)
            return False
        except BillingError as refused:
            messages.error(request, refused.message)
            return True
        self.log_change(request, form.plan, f"Example {'changed' if stored else 'added'}: {written.name}.")
        messages.success(request, f"The example “{written.name}” is saved.")
        return True

    def remove_example_view(self, request: HttpRequest, pk: int, example_pk: int) -> HttpResponse:
        require(request, "billing.change_plan")
        example = get_object_or_404(PlanExample.objects.select_related("plan"), pk=example_pk, plan=pk)
        if request.method == "POST":
            try:
                remove_example(example)
            except BillingError as refused:
                messages.error(request, refused.message)
            else:
                self.log_change(request, example.plan, f"Example removed: {example.name}.")
                messages.success(request, f"The example “{example.name}” is removed.")
            return redirect("admin:billing_plan_change", pk)
        return self.page(
            request, "admin/billing/plan/remove.html", title=f"Remove the example “{example.name}”?",
            plan=example.plan, what="example",
            words=f"It says that this usage comes to {money(example.expected_amount, example.plan.currency)}",
        )  # fmt: skip
