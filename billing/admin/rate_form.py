"""The form of one rate: it writes the terms that billing.rating reads, and shows its refusals at the fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from django import forms
from django.http import QueryDict
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from billing.errors import InvalidRate
from billing.models import Plan, Rate, RateKind
from billing.pricing import put_rate, read_rates
from metering.models import Meter, MeterStatus

MODELS = [
    ("per_unit", "Per unit: one price for each"),
    ("graduated", "Graduated: each tier has its own price, units are split over the tiers"),
    ("volume", "Volume: the tier reached sets the price of all units"),
    ("package", "Package: a price for each started package"),
    ("stairstep", "Stairstep: one fixed amount per tier reached"),
    ("percentage", "Percentage: a share of the amounts that events carry"),
    ("graduated_percentage", "Graduated percentage: each tier of the amount has its own share"),
    ("dynamic", "From the event: events carry the amount to charge"),
]
TIERED = ("graduated", "volume", "stairstep", "graduated_percentage")
SHOWN: dict[str, tuple[str, ...]] = {
    "unit_amount": ("per_unit",),
    "per": ("per_unit", "graduated", "volume"),
    "package_size": ("package",),
    "package_amount": ("package",),
    "percent": ("percentage",),
    "fixed_amount": ("percentage",),
    "free_events": ("percentage",),
    "free_amount": ("percentage",),
    "per_event_minimum": ("percentage",),
    "per_event_maximum": ("percentage",),
    "included_units": ("per_unit", "graduated", "volume", "package", "stairstep"),
    "minimum_amount": tuple(name for name, _ in MODELS),
    "maximum_amount": tuple(name for name, _ in MODELS),
}
# A tier's columns by model; the terms name them so.
TIER_COLUMNS: dict[str, tuple[str, ...]] = {
    "graduated": ("unit_amount", "flat_amount"),
    "volume": ("unit_amount", "flat_amount"),
    "stairstep": ("flat_amount",),
    "graduated_percentage": ("percent", "flat_amount"),
}
TIER_FIELDS = ("up_to", "unit_amount", "percent", "flat_amount")
NAMES = {
    "unit_amount": "Unit price",
    "up_to": "Up to",
    "flat_amount": "Flat fee",
    "included_units": "Included units",
    "minimum_amount": "Minimum",
    "maximum_amount": "Maximum",
    "package_size": "Package size",
    "package_amount": "Price per package",
    "percent": "Percent",
    "fixed_amount": "Fixed fee per event",
    "free_events": "Free events",
    "free_amount": "Free amount",
    "per_event_minimum": "Minimum per event",
    "per_event_maximum": "Maximum per event",
    "amount": "Amount",
    "label": "Text on the invoice",
    "per": "Price is for",
}
_NAME = re.compile(rf"\b({'|'.join(sorted(NAMES, key=len, reverse=True))})\b")


def _decimal(label: str, help_text: str = "", **kwargs: Any) -> forms.CharField:
    """A number as it was written: the rating core reads it exactly, and says what is wrong with it."""
    widget = UnfoldAdminTextInputWidget({"inputmode": "decimal", "autocomplete": "off"})
    return forms.CharField(
        label=label, required=False, help_text=help_text, max_length=60, widget=widget, **kwargs
    )


@dataclass(slots=True)
class TierRow:
    """One row of the tier table as it was written, with the refusals of its cells by column."""

    cells: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class RateForm(forms.Form):
    """One rate of a draft plan. The kind is given by the page."""

    meter = forms.ModelChoiceField(
        Meter.objects.none(), empty_label="Choose a meter", widget=UnfoldAdminSelectWidget,
        help_text="What is counted.",
    )  # fmt: skip
    model = forms.ChoiceField(
        label="Rate model",
        choices=MODELS,
        widget=UnfoldAdminSelectWidget,
        help_text="How the price depends on usage.",
    )
    unit_amount = _decimal("Unit price", "For example 2.00")
    per = _decimal(
        "Price is for",
        "How many units the prices above are for, such as 1000000 for prices per million. Empty: 1.",
    )
    package_size = _decimal("Package size", "Units in one package.")
    package_amount = _decimal("Price per package")
    percent = _decimal("Percent", "Of the amounts that events carry as their value.")
    fixed_amount = _decimal("Fixed fee per event")
    free_events = _decimal("Free events", "So many events of a period are free.")
    free_amount = _decimal("Free amount", "So much of a period's amount is free.")
    per_event_minimum = _decimal("Minimum per event")
    per_event_maximum = _decimal("Maximum per event")
    included_units = _decimal(
        "Included units", "Free units of each billing period, before anything is charged."
    )
    minimum_amount = _decimal("Minimum", "The line is never less in a billing period.")
    maximum_amount = _decimal("Maximum", "The line is never more in a billing period.")
    label = forms.CharField(
        label="Text on the invoice", max_length=200, required=False, widget=UnfoldAdminTextInputWidget
    )
    amount = _decimal("Amount", "For each whole billing period; for example 199.00")
    timing = forms.ChoiceField(
        label="Billed",
        choices=[("in_advance", "In advance"), ("in_arrears", "In arrears: at the end of the period")],
        widget=UnfoldAdminSelectWidget,
    )
    prorated = forms.BooleanField(
        label="Charge a part of a period by days", required=False, initial=True, widget=UnfoldBooleanWidget
    )

    FIELDS: dict[str, tuple[str, ...]] = {
        RateKind.USAGE: ("meter", "model", *SHOWN, "label"),
        RateKind.SUBSCRIPTION: ("label", "amount", "timing", "prorated"),
        RateKind.ONE_TIME: ("label", "amount"),
    }

    def __init__(self, data: Any = None, *, plan: Plan, kind: str, rate: Rate | None = None) -> None:
        super().__init__(data, initial=_initial(rate))
        self.plan, self.kind, self.rate = plan, kind, rate
        self.fields = {name: self.fields[name] for name in self.FIELDS[kind]}
        self.tier_errors: list[str] = []
        self.tiers = self._tier_rows(rate)
        if kind == RateKind.USAGE:
            meters: Any = self.fields["meter"]
            meters.queryset = Meter.objects.filter(status=MeterStatus.ACTIVE)
            self.fields["label"].help_text = "The meter's label when left empty."
        else:
            self.fields["label"].required = True
        if kind == RateKind.ONE_TIME:
            self.fields["amount"].help_text = "Charged once, with the first invoice of each customer."

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            try:
                read_rates([self.terms()])
            except InvalidRate as refused:
                for path, sentence in (refused.fields or {"": refused.message}).items():
                    self._place(path.removeprefix("rates.0").removeprefix("."), sentence)
        return cleaned

    def save(self) -> Rate:
        """Write the rate. Raises PlanFrozen when the plan was activated meanwhile."""
        return put_rate(self.plan, self.terms(), instead_of=self.rate)

    def terms(self) -> dict[str, object]:
        """Give the terms as the API writes them, with only the fields of the chosen model."""
        cleaned = self.cleaned_data
        if self.kind == RateKind.ONE_TIME:
            return _filled({"kind": self.kind, "label": cleaned["label"], "amount": cleaned["amount"]})
        if self.kind == RateKind.SUBSCRIPTION:
            names = ("label", "amount", "timing", "prorated")
            return _filled({"kind": self.kind, **{name: cleaned[name] for name in names}})
        model = cleaned["model"]
        terms: dict[str, object] = {"kind": self.kind, "meter": cleaned["meter"].code, "model": model}
        terms |= {name: cleaned[name].strip() for name, models in SHOWN.items() if model in models}
        terms["label"] = cleaned["label"]
        if model in TIERED:
            columns = TIER_COLUMNS[model]
            terms["tiers"] = [
                _filled({name: row.cells[name] for name in ("up_to", *columns)}) for row in self.tiers
            ]
        return _filled(terms)

    def _place(self, path: str, sentence: str) -> None:
        words = _NAME.sub(lambda found: f"“{NAMES[found[1]]}”", sentence)
        first, _, rest = path.partition(".")
        if first == "tiers":
            index = rest.partition(".")[0]
            if index.isdigit() and int(index) < len(self.tiers):
                self.tiers[int(index)].errors.append(words)
            else:
                self.tier_errors.append(words)
            self.add_error(None, forms.ValidationError("Please correct the tiers.", code="tiers"))
        elif first in self.fields:
            self.add_error(first, words)
        else:
            self.add_error(None, words)

    def _tier_rows(self, rate: Rate | None) -> list[TierRow]:
        if self.is_bound:
            data = cast("QueryDict", self.data)
            columns = [data.getlist(f"tier_{name}") for name in TIER_FIELDS]
            rows = [
                TierRow(dict(zip(TIER_FIELDS, map(str.strip, cells), strict=True)))
                for cells in zip(*columns, strict=False)
            ]
            return [row for row in rows if any(row.cells.values())] or [
                TierRow(dict.fromkeys(TIER_FIELDS, ""))
            ]
        tiers: Any = rate.terms.get("tiers") if rate else None
        return [TierRow({name: tier.get(name) or "" for name in TIER_FIELDS}) for tier in tiers or [{}, {}]]


def _initial(rate: Rate | None) -> dict[str, Any]:
    if rate is None:
        return {}
    unset = {name: "" for name, value in rate.terms.items() if value in (None, "0", 0)}
    return {**rate.terms, **unset, "meter": rate.meter_id, "label": rate.label or rate.terms.get("label", "")}


def _filled(terms: Mapping[str, object]) -> dict[str, object]:
    """Leave out what was left empty: the rating core has the defaults."""
    return {name: value for name, value in terms.items() if value not in ("", None)}
