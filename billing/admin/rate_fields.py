"""The fields of a rate as the editor shows them: which model has which, and what they are called on the screen."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
