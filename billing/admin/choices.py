"""What staff choose from: currencies and time zones."""

from __future__ import annotations

import zoneinfo
from functools import cache

from django.core.exceptions import ValidationError

from billing.formatting import LOCALE
from billing.rating import currency_digits
from billing.rating.errors import UnknownCurrency
from customers.countries import countries

USUAL = ("USD", "EUR", "GBP", "CHF", "CAD", "AUD", "NZD", "JPY", "INR", "BRL", "SEK", "NOK", "DKK", "PLN")


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
