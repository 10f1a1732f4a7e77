"""Countries by their two-letter code (ISO 3166-1), and which of them are in the European Union."""

from __future__ import annotations

from functools import cache

from babel import Locale
from django.core.exceptions import ValidationError

# Codes that babel lists and that name no country: unions, pseudo locales, parts with a code of their own.
_NO_COUNTRY = frozenset("AC CP CQ DG EA EU EZ IC QO TA UN XA XB ZZ".split())  # noqa: SIM905 - a table
EU = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905
)


@cache
def countries() -> dict[str, str]:
    """Give the English names of all countries by code, in the order of their names."""
    names = Locale.parse("en").territories
    known = {code: name for code, name in names.items() if len(code) == 2 and code.isalpha()}
    return {
        code: name
        for code, name in sorted(known.items(), key=lambda each: each[1].replace("Å", "A"))
        if code not in _NO_COUNTRY
    }


def country_name(code: str) -> str:
    """Give the name of a country; the code itself when it is not known."""
    return countries().get(code, code)


def validate_country(code: str) -> None:
    """Refuse what is not the code of a country."""
    if code not in countries():
        raise ValidationError(
            "“%(code)s” is not a country. Use two capital letters such as DE or US.",
            code="unknown_country",
            params={"code": code},
        )
