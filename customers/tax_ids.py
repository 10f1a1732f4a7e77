"""The form of tax identification numbers by country: letters, digits, and check digits where they are standard.

Pure. Form only: whether a number belongs to somebody is a question for the authority that gave it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaxIdForm:
    """How a country writes its numbers. `is_right` checks the digits of one that matches `pattern`."""

    name: str
    pattern: re.Pattern[str]
    example: str
    is_right: Callable[[str], bool] = lambda text: True


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def _abn(text: str) -> bool:
    """Australian Business Number: the first digit less 1, weighted sum divisible by 89."""
    return _weighted(str(int(text[0]) - 1) + text[1:], (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) % 89 == 0


def _uid(text: str) -> bool:
    """Swiss UID: the ninth digit makes the weighted sum divisible by 11."""
    digits = re.sub(r"\D", "", text)
    return (_weighted(digits[:8], (5, 4, 3, 2, 7, 6, 5, 4)) + int(digits[8])) % 11 == 0


def _orgnr(text: str) -> bool:
    """Norwegian organisation number: weights of modulus 11."""
    digits = re.sub(r"\D", "", text)
    return (_weighted(digits[:8], (3, 2, 7, 6, 5, 4, 3, 2)) + int(digits[8])) % 11 == 0


def _gb(text: str) -> bool:
    """British VAT number: the last two digits by modulus 97, since 2010 also with 55 added."""
    digits = re.sub(r"\D", "", text)
    if len(digits) not in (9, 12):
        return True  # government departments and health authorities have no check digits
    sum_of_all = _weighted(digits[:7], (8, 7, 6, 5, 4, 3, 2)) + int(digits[7:9])
    return sum_of_all % 97 == 0 or (sum_of_all + 55) % 97 == 0


def _form(name: str, pattern: str, example: str, is_right: Callable[[str], bool] | None = None) -> TaxIdForm:
    compiled = re.compile(pattern)
    return TaxIdForm(name, compiled, example, is_right) if is_right else TaxIdForm(name, compiled, example)


FORMS: dict[str, TaxIdForm] = {
    "AT": _form("VAT number", r"ATU\d{8}", "ATU12345678"),
    "BE": _form("VAT number", r"BE[01]\d{9}", "BE0123456789"),
    "BG": _form("VAT number", r"BG\d{9,10}", "BG123456789"),
    "CY": _form("VAT number", r"CY\d{8}[A-Z]", "CY12345678X"),
    "CZ": _form("VAT number", r"CZ\d{8,10}", "CZ12345678"),
    "DE": _form("VAT number", r"DE\d{9}", "DE123456789"),
    "DK": _form("VAT number", r"DK\d{8}", "DK12345678"),
    "EE": _form("VAT number", r"EE\d{9}", "EE123456789"),
    "ES": _form("VAT number", r"ES([A-Z]\d{7}[A-Z\d]|\d{8}[A-Z])", "ESX1234567R"),
    "FI": _form("VAT number", r"FI\d{8}", "FI12345678"),
    "FR": _form("VAT number", r"FR[A-HJ-NP-Z\d]{2}\d{9}", "FR12345678901"),
    "GR": _form("VAT number", r"EL\d{9}", "EL123456789"),
    "HR": _form("VAT number", r"HR\d{11}", "HR12345678901"),
    "HU": _form("VAT number", r"HU\d{8}", "HU12345678"),
    "IE": _form("VAT number", r"IE(\d{7}[A-W][A-I]?|\d[A-Z+*]\d{5}[A-W])", "IE1234567WA"),
    "IT": _form("VAT number", r"IT\d{11}", "IT12345678901"),
    "LT": _form("VAT number", r"LT(\d{9}|\d{12})", "LT123456789"),
    "LU": _form("VAT number", r"LU\d{8}", "LU12345678"),
    "LV": _form("VAT number", r"LV\d{11}", "LV12345678901"),
    "MT": _form("VAT number", r"MT\d{8}", "MT12345678"),
    "NL": _form("VAT number", r"NL[A-Z\d+*]{10}\d{2}", "NL123456789B01"),
    "PL": _form("VAT number", r"PL\d{10}", "PL1234567890"),
    "PT": _form("VAT number", r"PT\d{9}", "PT123456789"),
    "RO": _form("VAT number", r"RO\d{2,10}", "RO1234567890"),
    "SE": _form("VAT number", r"SE\d{12}", "SE123456789001"),
    "SI": _form("VAT number", r"SI\d{8}", "SI12345678"),
    "SK": _form("VAT number", r"SK\d{10}", "SK1234567890"),
    "GB": _form("VAT number", r"(GB|XI)(\d{9}|\d{12}|GD[0-4]\d{2}|HA[5-9]\d{2})", "GB980780684", _gb),
    "CH": _form("UID", r"CHE\d{9}(MWST|TVA|IVA)?", "CHE-116.281.710 MWST", _uid),
    "NO": _form("organisation number", r"(NO)?\d{9}(MVA)?", "923609016 MVA", _orgnr),
    "US": _form("EIN", r"\d{9}", "12-3456789"),
    "AU": _form("ABN", r"\d{11}", "51 824 753 556", _abn),
}


def compact_tax_id(text: str) -> str:
    """Give a number without spaces, points and hyphens, in capitals: the form in which it is compared."""
    return re.sub(r"[\s./\-]", "", text).upper()


def is_known_form(country: str) -> bool:
    """Tell whether the form of a country's numbers is known here."""
    return country in FORMS


def tax_id_problem(country: str, text: str) -> str | None:
    """Say what is wrong with the form of a number; None when it is right or the country's form is not known."""
    form = FORMS.get(country)
    if form is None:
        return None
    compact = compact_tax_id(text)
    if not form.pattern.fullmatch(compact):
        return f"This is not written like a {form.name} of this country. Write it like {form.example}."
    if not form.is_right(compact):
        return f"The check digits of this {form.name} are wrong. Look for a typing mistake."
    return None


def has_valid_tax_id(country: str, text: str) -> bool:
    """Tell whether there is a number, and of a form known to be right: what a reverse charge needs."""
    return bool(text) and is_known_form(country) and tax_id_problem(country, text) is None
