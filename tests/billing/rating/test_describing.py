"""The plain-language summary of a rate."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing.rating import UsageRate, describe, parse_rate
from billing.rating.errors import UnknownCurrency


def words(**terms: object) -> str:
    return describe(parse_rate({"kind": "usage", "meter": "m", **terms}), "USD", unit=("minute", "minutes"))


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (
            {"model": "per_unit", "unit_amount": "0.05", "included_units": "1000"},
            "First 1,000 minutes are included, then $0.05 per minute",
        ),
        (
            {"model": "per_unit", "unit_amount": "0.5", "per": "1000000", "minimum_amount": "10"},
            "$0.50 per 1,000,000 minutes, at least $10.00",
        ),
        (
            {
                "model": "graduated",
                "tiers": [
                    {"up_to": "100", "unit_amount": "2", "flat_amount": "5"},
                    {"up_to": "200", "unit_amount": "0.00001"},
                    {"up_to": None, "flat_amount": "3"},
                ],
            },
            "First 100 minutes at $2.00 per minute plus $5.00 flat, then $0.00001 per minute up to 200, "
            "then $3.00 flat",
        ),
        (
            {"model": "graduated", "tiers": [{"up_to": "100", "unit_amount": "0"}, {"unit_amount": "1.5"}]},
            "First 100 minutes are free, then $1.50 per minute",
        ),
        ({"model": "graduated", "tiers": [{"unit_amount": "1.5"}]}, "$1.50 per minute"),
        (
            {
                "model": "volume",
                "tiers": [{"up_to": "100", "unit_amount": "2"}, {"unit_amount": "0"}],
                "maximum_amount": "150",
            },
            "All minutes at one price, by their number; up to 100: $2.00 per minute; over 100: free, "
            "at most $150.00",
        ),
        (
            {"model": "stairstep", "tiers": [{"up_to": "9", "flat_amount": "5"}, {"flat_amount": "8"}]},
            "One amount by the number of minutes; up to 9: $5.00; over 9: $8.00",
        ),
        (
            {"model": "stairstep", "tiers": [{"up_to": "9", "flat_amount": "5"}]},
            "One amount by the number of minutes; up to 9: $5.00; no price above",
        ),
        (
            {
                "model": "package",
                "package_size": "1000",
                "package_amount": "10",
                "included_units": "3000",
            },
            "First 3,000 minutes are included, then $10.00 per started 1,000 minutes",
        ),
        ({"model": "percentage", "percent": "2.90"}, "2.9 % of the amount"),
        (
            {
                "model": "percentage",
                "percent": "2.9",
                "fixed_amount": "0.3",
                "free_events": 3,
                "per_event_minimum": "1",
                "per_event_maximum": "5",
            },
            "2.9 % of the amount plus $0.30 for each event (at least $1.00 and at most $5.00 for each "
            "event); the first 3 events are free",
        ),
        (
            {"model": "percentage", "percent": "1", "free_events": 3, "free_amount": "100"},
            "1 % of the amount; free until the first 3 events or the first $100.00 are used up",
        ),
        (
            {
                "model": "graduated_percentage",
                "tiers": [{"up_to": "100", "percent": "0"}, {"percent": "0.5", "flat_amount": "20"}],
            },
            "First 100 are free, then 0.5 % of the amount plus $20.00 flat",
        ),
        ({"model": "dynamic"}, "The amount that each event brings"),
    ],
)
def test_usage_rate_in_words(terms: dict[str, object], expected: str) -> None:
    assert words(**terms) == expected


def test_rows_are_named_by_their_values() -> None:
    rows = [
        {"match": {"model": "a", "type": "input"}, "unit_amount": "10"},
        {"match": {"model": "b"}, "unit_amount": "1", "minimum_amount": "5"},
        {"match": {}, "unit_amount": "20", "included_units": "7"},
    ]
    assert words(model="per_unit", dimensions=["model", "type"], rows=rows) == (
        "By model and type, each group on its own: a, input: $10.00 per minute; "
        "b, any: $1.00 per minute, at least $5.00; "
        "everything else: first 7 minutes are included, then $20.00 per minute"
    )


def test_one_row_for_all_is_named_each_group() -> None:
    rows = [{"match": {}, "unit_amount": "1"}]
    assert words(model="per_unit", dimensions=["region"], rows=rows) == (
        "By region: each group: $1.00 per minute"
    )


@pytest.mark.parametrize("limit", ["included_units", "minimum_amount", "maximum_amount"])
def test_a_limit_of_one_row_says_that_each_group_is_counted_on_its_own(limit: str) -> None:
    rows = [{"match": {"region": "eu"}, "unit_amount": "1", limit: "5"}, {"match": {}, "unit_amount": "1"}]
    text = words(model="per_unit", dimensions=["region"], rows=rows)
    assert text.startswith("By region, each group on its own: eu: ")


def test_long_tables_are_cut_short_and_say_so() -> None:
    rows = [{"match": {"region": str(n)}, "unit_amount": "1"} for n in range(6)]
    text = words(model="per_unit", dimensions=["region"], rows=rows, unmatched="listed")
    assert text.endswith("5: $1.00 per minute")
    rows = [{"match": {"region": str(n)}, "unit_amount": "1"} for n in range(9)]
    text = words(model="per_unit", dimensions=["region"], rows=rows, unmatched="free")
    assert text.endswith("5: $1.00 per minute; and 3 more; everything else is free")


def test_fixed_fees_in_words() -> None:
    pro = {"kind": "subscription", "label": "Pro", "amount": "199"}
    assert (
        describe(parse_rate(pro), "USD") == "$199.00 per period, in advance, by days for a part of a period"
    )
    seats = pro | {"amount": "1990", "per_seat": True}
    assert (
        describe(parse_rate(seats), "USD", period="year")
        == "$1,990.00 per seat and year, in advance, by days for a part of a year"
    )
    arrears = pro | {"timing": "in_arrears", "prorated": False}
    assert describe(parse_rate(arrears), "JPY") == "¥199 per period, in arrears"
    assert (
        describe(parse_rate({"kind": "one_time", "label": "x", "amount": "9.5"}), "KWD") == "KWD 9.500 once"
    )


def test_amounts_are_written_by_the_caller_when_a_function_is_given() -> None:
    terms = parse_rate({"kind": "usage", "meter": "m", "model": "per_unit", "unit_amount": "1234.5"})
    assert describe(terms, lambda amount: f"{amount} €") == "1234.5 € per unit"


def test_unknown_currency_is_refused() -> None:
    with pytest.raises(UnknownCurrency):
        describe(parse_rate({"kind": "one_time", "label": "x", "amount": "1"}), "XXX")


def test_rate_without_a_price_says_so() -> None:
    assert describe(UsageRate("m", "per_unit", None, minimum_amount=Decimal(5)), "USD") == (
        "No price, at least $5.00"
    )


def test_a_rate_by_rows_says_what_its_tiers_are_counted_over() -> None:
    tiers = [{"up_to": "10", "unit_amount": "2"}, {"up_to": None, "unit_amount": "1"}]
    terms = {
        "kind": "usage", "meter": "m", "model": "graduated", "dimensions": ["region"], "tiers_apply": "pooled",
        "rows": [{"match": {}, "tiers": tiers}],
    }  # fmt: skip
    assert describe(parse_rate(terms), "USD").startswith("By region, groups of a row added up: ")
    alone = describe(parse_rate(terms | {"tiers_apply": "per_group"}), "USD")
    assert alone.startswith("By region, each group on its own: ")
