"""The fields of a rate as the editor shows them: which model has which, and what they are called on the screen."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from billing.models import TaxCategory
from metering.models import Meter

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
EVERY_MODEL = tuple(name for name, _ in MODELS)
TIERED = ("graduated", "volume", "stairstep", "graduated_percentage")
OF_UNITS = ("per_unit", "graduated", "volume", "package", "stairstep")
# The prices of a rate by the models that have them; a row of prices by dimensions has the same, except `per`.
PRICES: dict[str, tuple[str, ...]] = {
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
}
LIMITS: dict[str, tuple[str, ...]] = {
    "included_units": OF_UNITS,
    "minimum_amount": EVERY_MODEL,
    "maximum_amount": EVERY_MODEL,
}
SHOWN: dict[str, tuple[str, ...]] = PRICES | LIMITS
ROW_PRICES = {name: models for name, models in PRICES.items() if name != "per"}
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


def in_words(sentence: str, names: Mapping[str, str] = NAMES) -> str:
    """Give a refusal of the rating core with the fields called as the screen calls them."""
    return _NAME.sub(lambda found: f"“{names[found[1]]}”", sentence)


def tier_models(column: str) -> tuple[str, ...]:
    return tuple(model for model in TIERED if column in TIER_COLUMNS[model])


PRICED, FREE, LISTED = "", "free", "listed"


def _decimal(label: str, help_text: str = "", **attributes: str) -> forms.CharField:
    """A number as it was written: the rating core reads it exactly, and says what is wrong with it."""
    widget = UnfoldAdminTextInputWidget({"inputmode": "decimal", "autocomplete": "off", **attributes})
    return forms.CharField(label=label, required=False, help_text=help_text, max_length=60, widget=widget)


class RateFields(forms.Form):
    """All that a rate can say; a form keeps the fields of its kind."""

    meter = forms.ModelChoiceField(
        Meter.objects.none(), empty_label="Choose a meter", help_text="What is counted.",
        widget=UnfoldAdminSelectWidget({"data-refresh": ""}),
    )  # fmt: skip
    model = forms.ChoiceField(
        label="Rate model",
        choices=MODELS,
        widget=UnfoldAdminSelectWidget,
        help_text="How the price depends on usage.",
    )
    unit_amount = _decimal("Unit price", "For example 2.00")
    per = _decimal(
        "Price is for", "So many units: 1000000 for prices per million. Empty: one.", list="per_choices"
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
    tiers_apply = forms.ChoiceField(
        label="What belongs together",
        choices=[
            ("per_group", "Each group of values on its own"),
            ("pooled", "All groups that use a row, added up"),
        ],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Tiers, packages, included units, minimum and maximum of a row hold for this.",
    )
    unmatched = forms.ChoiceField(
        label="Everything else",
        choices=[
            (PRICED, "Has the price of the last row"),
            (FREE, "Is free"),
            (LISTED, "Cannot be priced: the rows list every value"),
        ],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Usage with values that no row names.",
    )
    row_limits = forms.BooleanField(
        label="Rows have included units, a minimum or a maximum of their own",
        required=False,
        widget=UnfoldBooleanWidget,
    )
    label = forms.CharField(
        label="Text on the invoice", max_length=200, required=False, widget=UnfoldAdminTextInputWidget
    )
    tax_category = forms.ChoiceField(
        label="Tax category", choices=[("", "As the plan"), *TaxCategory.choices], required=False,
        widget=UnfoldAdminSelectWidget, help_text="Which of a country's tax rates its lines have.",
    )  # fmt: skip
    amount = _decimal("Amount", "For each whole billing period; for example 199.00")
    timing = forms.ChoiceField(
        label="Billed",
        choices=[
            ("in_advance", "In advance, on the invoice of its period"),
            ("at_start", "In advance, as soon as the period begins"),
            ("in_arrears", "In arrears: at the end of the period"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    prorated = forms.BooleanField(
        label="Charge a part of a period by days", required=False, initial=True, widget=UnfoldBooleanWidget
    )
    per_seat = forms.BooleanField(
        label="The amount is for each seat of a customer", required=False, widget=UnfoldBooleanWidget
    )
