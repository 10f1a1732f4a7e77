"""The forms of cost rates: what a meter's units cost, a fixed cost of a workload, and a provider's price list."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import QueryDict
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing.admin.choices import currency_choices
from billing.admin.rate_fields import NAMES
from billing.admin.rate_form import RateForm
from billing.cost_rates import Validity
from billing.models import CostRateKind, Plan, RateKind
from metering.models import Meter, MeterStatus, Workload

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


class UnitCostForm(RateForm):
    """What the units of a meter cost: the editor of prices, called as a cost is called."""

    meter = forms.ModelChoiceField(
        Meter.objects.none(), empty_label="Choose a meter", help_text="Whose units cost this.",
        widget=UnfoldAdminSelectWidget({"data-refresh": ""}),
    )  # fmt: skip
    NOT_OF_COSTS = ("label", "tax_category")
    LABELS = {
        "model": "How it is charged",
        "unit_amount": "Cost of a unit",
        "per": "Cost is for",
        "package_amount": "Cost of a package",
    }
    NAMES = NAMES | LABELS
    HELP = {
        "model": "How the provider charges. Tiers and packages hold for all customers together in a calendar month.",
        "unit_amount": "For example 0.002",
        "per": "So many units: 1000000 for costs per million. Empty: one.",
        "included_units": "Free units of each calendar month (UTC).",
        "minimum_amount": "Never less in a calendar month (UTC).",
        "maximum_amount": "Never more in a calendar month (UTC).",
    }

    def __init__(
        self,
        data: QueryDict | None = None,
        *,
        currency: str,
        meter: str = "",
        quiet: bool = False,
        spare: bool = False,
    ) -> None:
        self.asked_meter = meter
        # No plan is meant: the editor only asks it for the currency its preview is in.
        super().__init__(
            data, plan=Plan(name="Cost rates", currency=currency), kind=RateKind.USAGE,
            quiet=quiet, spare=spare,
        )  # fmt: skip
        for name in self.NOT_OF_COSTS:
            self.fields.pop(name, None)
        for name, label in self.LABELS.items():
            self.fields[name].label = label
        for name, text in self.HELP.items():
            self.fields[name].help_text = text

    def chosen(self) -> dict[str, Any]:
        return {"meter": self.asked_meter} if self.asked_meter else {}

    def usable_meters(self) -> QuerySet[Meter]:
        return Meter.objects.exclude(status=MeterStatus.DRAFT)


class FixedCostForm(ValidityForm):
    """What a workload costs each month, whatever is used."""

    workload = forms.ModelChoiceField(
        Workload.objects.all(),
        widget=UnfoldAdminSelectWidget,
        help_text="What the money is spent on.",
        empty_label="Choose a workload",
    )
    amount = forms.CharField(
        label="Cost each month", widget=UnfoldAdminTextInputWidget({"inputmode": "decimal", "autocomplete": "off"}),
        help_text="For example 30.00 for a reserved machine.",
    )  # fmt: skip
    meter = forms.ModelChoiceField(
        Meter.objects.exclude(status=MeterStatus.DRAFT), label="Spread by", required=False,
        widget=UnfoldAdminSelectWidget, empty_label="Events of the workload",
        help_text="Whose quantity it is spread by. Left empty: by events.",
    )  # fmt: skip
    field_order = ("workload", "amount", "meter", "currency", "effective_from", "label")

    def terms(self) -> dict[str, object]:
        """Give what is written as the API writes it; the service names what is wrong."""
        given = self.cleaned_data
        spread_by = {"meter": given["meter"].code} if given["meter"] else {}
        return {
            "kind": CostRateKind.FIXED.value, "workload": given["workload"].code, "amount": given["amount"].strip(),
            **spread_by,
        }  # fmt: skip


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
