"""Setting tax up: rates as staff and integrations write them, and common rates to begin with."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from billing.errors import InvalidTaxRate
from billing.models import TaxCategory, TaxRate
from customers.countries import country_name

OVERLAP = (
    "Another rate for this country, region and category holds on some of these days. End that one first."
)
EU_SOURCE = "Published tables of VAT in the EU, end of 2025"
UNVERIFIED = "Usual rate of 2025, not verified: check with your adviser"
# Standard rates. Reduced ones depend on what is sold; only countries with a single usual one have it here.
EU_STANDARD = {
    "AT": "20", "BE": "21", "BG": "20", "CY": "19", "CZ": "21", "DE": "19", "DK": "25", "EE": "24", "ES": "21",
    "FI": "25.5", "FR": "20", "GR": "24", "HR": "25", "HU": "27", "IE": "23", "IT": "22", "LT": "21", "LU": "17",
    "LV": "21", "MT": "18", "NL": "21", "PL": "23", "PT": "23", "RO": "21", "SE": "25", "SI": "22", "SK": "23",
}  # fmt: skip
EU_REDUCED = {"AT": "10", "DE": "7", "NL": "9"}


@dataclass(frozen=True, slots=True)
class Preset:
    """One rate to begin with. Laws change: staff check it before they issue."""

    country: str
    name: str
    percent: str
    source: str
    category: str = "standard"
    region: str = ""
    on_top: bool = False


PRESETS = (
    *(Preset(country, "VAT", percent, EU_SOURCE) for country, percent in EU_STANDARD.items()),
    *(Preset(country, "VAT", percent, EU_SOURCE, "reduced") for country, percent in EU_REDUCED.items()),
    Preset("GB", "VAT", "20", "Published tables of VAT in Europe, 2025"),
    Preset("CH", "VAT", "8.1", "Published tables of VAT in Europe, 2025"),
    Preset("CH", "VAT", "2.6", "Published tables of VAT in Europe, 2025", "reduced"),
    Preset("NO", "VAT", "25", "Published tables of VAT in Europe, 2025"),
    Preset("AU", "GST", "10", UNVERIFIED),
    Preset("NZ", "GST", "15", UNVERIFIED),
    Preset("JP", "Consumption tax", "10", UNVERIFIED),
    Preset("SG", "GST", "9", UNVERIFIED),
    Preset("ZA", "VAT", "15", UNVERIFIED),
    Preset("CA", "GST", "5", UNVERIFIED),
    *(
        Preset("CA", "HST", percent, UNVERIFIED, region=region)
        for region, percent in {"ON": "13", "NB": "15", "NL": "15", "NS": "14", "PE": "15"}.items()
    ),
    Preset("CA", "QST", "9.975", UNVERIFIED, region="QC", on_top=True),
    Preset("CA", "PST", "7", UNVERIFIED, region="BC", on_top=True),
    Preset("CA", "PST", "6", UNVERIFIED, region="SK", on_top=True),
    Preset("CA", "RST", "7", UNVERIFIED, region="MB", on_top=True),
)


def check_tax_rate(fields: Mapping[str, object], *, rate: TaxRate | None = None) -> TaxRate:
    """Give the row with its fields set and not saved. Raises InvalidTaxRate naming every wrong field."""
    row = copy.copy(rate) if rate is not None else TaxRate()
    for name, value in fields.items():
        setattr(row, name, value)
    problems: dict[str, str] = {}
    try:
        row.clean_fields()
    except ValidationError as refused:
        problems |= {name: " ".join(sentences) for name, sentences in refused.message_dict.items()}
    if "percent" not in problems and not 0 <= row.percent <= 100:
        problems["percent"] = "Give a percentage from 0 to 100."
    if row.category == TaxCategory.EXEMPT:
        problems["category"] = "What is not taxable has no rate."
    if row.valid_until is not None and row.valid_until <= row.valid_from:
        problems["valid_until"] = "The rate would hold on no day. Choose a later one."
    if row.on_top and not row.region:
        problems["on_top"] = "Only a region's tax is charged beside its country's. Name the region."
    if row.on_top and row.inclusive:
        problems["inclusive"] = "A tax beside another cannot be inside the prices."
    if not problems and _overlapping(row).exists():
        problems["valid_from"] = OVERLAP
    if problems:
        raise InvalidTaxRate(next(iter(problems.values())), fields=problems)
    return row


def save_tax_rate(fields: Mapping[str, object], *, rate: TaxRate | None = None) -> TaxRate:
    """Write a new rate, or change one. Issued invoices keep what they say.

    Raises InvalidTaxRate naming every wrong field, also when another rate holds on one of its days.
    """
    row = check_tax_rate(fields, rate=rate)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as refused:
        if "taxrate_one_at_a_time" not in str(refused):
            raise
        raise InvalidTaxRate(OVERLAP, fields={"valid_from": OVERLAP}) from refused
    return row


def _overlapping(row: TaxRate) -> QuerySet[TaxRate]:
    same = TaxRate.objects.filter(
        Q(valid_until=None) | Q(valid_until__gt=row.valid_from),
        country=row.country,
        region=row.region,
        category=row.category,
        on_top=row.on_top,
    ).exclude(pk=row.pk)
    if row.on_top:
        same = same.filter(name=row.name)
    return same.filter(valid_from__lt=row.valid_until) if row.valid_until else same


def preset_countries() -> dict[str, list[Preset]]:
    """Give the rates to begin with by country, in the order of the countries' names."""
    found: dict[str, list[Preset]] = {}
    for preset in sorted(PRESETS, key=lambda each: (country_name(each.country), each.region)):
        found.setdefault(preset.country, []).append(preset)
    return found


def load_presets(countries: Collection[str]) -> int:
    """Add the common rates of countries that have no rate yet; give how many. Rerunning adds nothing."""
    taken = set(TaxRate.objects.filter(country__in=list(countries)).values_list("country", flat=True))
    rows = [
        TaxRate(
            country=each.country,
            region=each.region,
            category=each.category,
            name=each.name,
            percent=Decimal(each.percent),
            on_top=each.on_top,
            source=each.source,
        )
        for each in PRESETS
        if each.country in countries and each.country not in taken
    ]
    with transaction.atomic():
        for row in rows:
            row.save()
    return len(rows)
