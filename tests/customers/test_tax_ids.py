"""Tax ids by form: what a country writes, and check digits where they are standard."""

from __future__ import annotations

import pytest

from customers.tax_ids import compact_tax_id, has_valid_tax_id, tax_id_problem


@pytest.mark.parametrize(
    ("country", "text"),
    [
        ("DE", "DE136695976"), ("DE", "de 136 695 976"), ("AT", "ATU12345678"), ("GR", "EL123456789"),
        ("NL", "NL123456789B01"), ("ES", "ESX1234567R"), ("IE", "IE6388047V"), ("FR", "FRXX123456789"),
        ("GB", "GB980780684"), ("GB", "GBGD001"), ("CH", "CHE-116.281.710 MWST"), ("CH", "CHE116281710"),
        ("NO", "923 609 016 MVA"), ("US", "12-3456789"), ("AU", "51 824 753 556"),
    ],
)  # fmt: skip
def test_numbers_as_their_countries_write_them_are_right(country: str, text: str) -> None:
    assert tax_id_problem(country, text) is None
    assert has_valid_tax_id(country, text)


@pytest.mark.parametrize(
    ("country", "text", "words"),
    [
        ("DE", "DE12345678", "like DE123456789"),
        ("DE", "ATU12345678", "not written like"),
        ("GR", "GR123456789", "like EL123456789"),
        ("US", "123456789X", "like 12-3456789"),
        ("GB", "GB980780685", "check digits"),
        ("CH", "CHE-116.281.711", "check digits"),
        ("NO", "923609017", "check digits"),
        ("AU", "51824753557", "check digits"),
        ("DE", "", "not written like"),
    ],
)
def test_a_wrong_form_or_check_digit_is_named(country: str, text: str, words: str) -> None:
    assert words in str(tax_id_problem(country, text))
    assert not has_valid_tax_id(country, text)


def test_a_country_without_a_known_form_takes_anything_and_proves_nothing() -> None:
    assert tax_id_problem("JP", "T1234567890123") is None
    assert not has_valid_tax_id("JP", "T1234567890123")


def test_numbers_are_compared_without_spaces_points_and_hyphens() -> None:
    assert compact_tax_id(" che-116.281.710 mwst ") == "CHE116281710MWST"
