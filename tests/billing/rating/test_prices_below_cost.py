"""A price of a unit below what the unit costs is found, tier by tier and row by row."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest

from billing.rating import UsageRate, cost_findings, parse_rate

TIERS = [
    {"up_to": "10", "flat_amount": "5"},
    {"up_to": "100", "unit_amount": "2"},
    {"up_to": None, "unit_amount": "0"},
]


def found(cost: Fraction | None = Fraction(1), **terms: Any) -> list[str]:
    rate = parse_rate({"kind": "usage", "meter": "m", **terms})
    assert isinstance(rate, UsageRate)
    return [finding.path for finding in cost_findings(rate, "USD", lambda match: cost)]


@pytest.mark.parametrize(
    ("terms", "paths"),
    [
        ({"model": "per_unit", "unit_amount": "0.99"}, ["unit_amount"]),
        ({"model": "per_unit", "unit_amount": "1"}, []),
        ({"model": "per_unit", "unit_amount": "999", "per": "1000"}, ["unit_amount"]),
        ({"model": "package", "package_size": "1000", "package_amount": "999"}, ["package_amount"]),
        # a tier with only a flat fee has no price of a unit; one that is free has
        ({"model": "graduated", "tiers": TIERS}, ["tiers.2"]),
        ({"model": "volume", "tiers": TIERS}, ["tiers.2"]),
        (
            {"model": "volume", "tiers": [{"up_to": None, "unit_amount": "0.5", "flat_amount": "5"}]},
            ["tiers.0"],
        ),
        # what prices amounts or whole steps has no price of a unit
        ({"model": "stairstep", "tiers": [{"up_to": None, "flat_amount": "0"}]}, []),
        ({"model": "graduated_percentage", "tiers": [{"up_to": None, "percent": "0"}]}, []),
        ({"model": "dynamic"}, []),
    ],
)
def test_the_unit_price_below_the_cost_is_named(terms: dict[str, Any], paths: list[str]) -> None:
    assert found(**terms) == paths
    assert found(cost=None, **terms) == []  # where the cost is unknown nothing is said


def test_each_row_is_compared_with_the_cost_of_its_own_values() -> None:
    def cost_of(match: Mapping[str, str]) -> Fraction | None:
        return {"a": Fraction(3), "b": Fraction(1)}.get(match.get("model", ""))

    rows = [
        {"match": {"model": "a"}, "unit_amount": "2"},
        {"match": {"model": "b"}, "unit_amount": "2"},
        {"match": {}, "unit_amount": "0"},
    ]
    terms = {"kind": "usage", "meter": "m", "model": "per_unit", "dimensions": ["model"], "rows": rows}
    rate = parse_rate(terms)
    assert isinstance(rate, UsageRate)
    findings = cost_findings(rate, "USD", cost_of)
    assert [finding.path for finding in findings] == ["rows.0.unit_amount"]
    assert findings[0].message == "The unit price of $2.00 is below what one unit costs you, $3.00."
    assert findings[0].blocks
    # The rows that have no price of their own have the rate's; it is not compared once more by itself.
    rows = [{"match": {}}, {"match": {"model": "b"}, "unit_amount": "2"}, {"match": {"model": "a"}}]
    parsed = parse_rate(terms | {"unit_amount": "2.5", "rows": rows})
    assert isinstance(parsed, UsageRate)
    assert [finding.path for finding in cost_findings(parsed, "USD", cost_of)] == ["rows.2.unit_amount"]
