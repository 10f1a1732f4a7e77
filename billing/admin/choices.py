"""What staff choose from: currencies and time zones."""

from __future__ import annotations

import zoneinfo
from decimal import Decimal
from functools import cache

from babel import Locale
from babel.numbers import format_currency
from django.core.exceptions import ValidationError

from billing.formatting import LOCALE
from billing.rating import currency_digits
from billing.rating.errors import UnknownCurrency
from customers.countries import countries

USUAL = ("USD", "EUR", "GBP", "CHF", "CAD", "AUD", "NZD", "JPY", "INR", "BRL", "SEK", "NOK", "DKK", "PLN")

# The languages that documents speak, where they are spoken by most, with the currency of the example.
USUAL_LOCALES = {
    "en_US": "USD", "en_GB": "GBP", "en_CA": "CAD", "en_AU": "AUD", "en_IE": "EUR", "en_IN": "INR", "ar_SA": "SAR",
    "ar_AE": "AED", "de_DE": "EUR", "de_AT": "EUR", "de_CH": "CHF", "es_ES": "EUR", "es_MX": "MXN", "fr_FR": "EUR",
    "fr_BE": "EUR", "fr_CA": "CAD", "fr_CH": "CHF", "it_IT": "EUR", "ja_JP": "JPY", "nl_NL": "EUR", "nl_BE": "EUR",
    "pt_BR": "BRL", "pt_PT": "EUR",
}  # fmt: skip


@cache
def currency_choices() -> list[tuple[str, str]]:
    """Give every currency that can be billed, the usual ones first."""
    names: dict[str, str] = dict(LOCALE.currencies)
    others = sorted(code for code in names if code not in USUAL and _is_billable(code))
    return [(code, f"{code}: {names.get(code, code)}") for code in (*USUAL, *others)]


@cache
def country_choices() -> list[tuple[str, str]]:
    """Give the countries by name."""
    return list(countries().items())


@cache
def timezone_choices() -> list[tuple[str, str]]:
    """Give the time zones by place, UTC first."""
    places = sorted(
        name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/")
    )
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in places)]


@cache
def locale_choices() -> list[tuple[str, str]]:
    """Give the languages of documents with their usual countries, each with an amount as it is written there."""
    sample = Decimal("1234.50")
    return [
        (
            name,
            f"{Locale.parse(name).get_display_name(LOCALE)}: {format_currency(sample, currency, locale=name)}",
        )
        for name, currency in USUAL_LOCALES.items()
    ]


def billable_currency(code: str) -> str:
    """Give a currency back, or raise ValidationError when it cannot be billed."""
    if not _is_billable(code):
        raise ValidationError(f"{code} is not a currency that can be billed. Choose one from the list.")
    return code


def _is_billable(code: str) -> bool:
    try:
        currency_digits(code)
    except UnknownCurrency:
        return False
    return True
