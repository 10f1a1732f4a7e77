"""Prices by dimensions."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from billing.rating import (
    GroupUsage,
    Rating,
    Usage,
    UsageRate,
    needs_event_amounts,
    parse_rate,
    rate,
    required_grouping,
)
from billing.rating.errors import UnmatchedUsage, UsageNotGrouped


def usage_rate(**terms: object) -> UsageRate:
    parsed = parse_rate({"kind": "usage", "meter": "tokens", **terms})
    assert isinstance(parsed, UsageRate)
    return parsed


def rated(groups: list[tuple[dict[str, str], str]], **terms: object) -> Rating:
    parts = tuple(GroupUsage(values, Decimal(quantity)) for values, quantity in groups)
    total = sum((part.quantity for part in parts), Decimal(0))
    rating = rate(usage_rate(**terms), Usage(total, groups=parts))
    assert sum(step.amount for step in rating.working) == rating.amount
    return rating


TOKENS: dict[str, Any] = {
    "model": "per_unit",
    "per": "1000000",
    "dimensions": ["model", "type"],
    "rows": [
        {"match": {"model": "a", "type": "input"}, "unit_amount": "10"},
        {"match": {"model": "a"}, "unit_amount": "30"},
        {"match": {"type": "input"}, "unit_amount": "5"},
        {"match": {}, "unit_amount": "20"},
    ],
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model": "a", "type": "input"}, "10"),  # both values match
        ({"model": "a", "type": "output"}, "30"),
        ({"model": "b", "type": "input"}, "5"),
        ({"model": "b", "type": "output"}, "20"),  # the catch-all
        ({"model": "a"}, "30"),  # an event without a type
        ({}, "20"),
    ],
)
def test_row_that_matches_most_dimensions_is_used(values: dict[str, str], expected: str) -> None:
    """Whatever the order in which the rows are listed."""
    for rows in permutations(TOKENS["rows"]):
        assert rated([(values, "1000000")], **TOKENS | {"rows": list(rows)}).amount == Decimal(expected)


def test_among_equally_specific_rows_the_first_is_used() -> None:
    rows = [
        {"match": {"type": "input"}, "unit_amount": "5"},
        {"match": {"model": "a"}, "unit_amount": "30"},
        {"match": {}, "unit_amount": "20"},
    ]
    terms: dict[str, object] = {"model": "per_unit", "dimensions": ["model", "type"]}
    both = [({"model": "a", "type": "input"}, "1")]
    assert rated(both, **terms, rows=rows).amount == 5
    assert rated(both, **terms, rows=[rows[1], rows[0], rows[2]]).amount == 30
    other = {"match": {"type": "output"}, "unit_amount": "7"}
    assert rated(both, **terms, rows=[other, rows[1], rows[0], rows[2]]).amount == 30


def test_steps_carry_their_group() -> None:
    rating = rated([({"model": "a", "type": "input"}, "3"), ({"model": "b", "type": ""}, "4")], **TOKENS)
    assert [step.group for step in rating.working] == [
        {"model": "a", "type": "input"},
        {"model": "b", "type": ""},
    ]


TIERS = [{"up_to": "10", "unit_amount": "0.1"}, {"up_to": None, "unit_amount": "0.05"}]


def test_tiers_apply_per_group_or_to_the_pool() -> None:
    terms: dict[str, object] = {
        "model": "graduated",
        "tiers": TIERS,
        "dimensions": ["team"],
        "rows": [{"match": {}}],
    }
    groups = [({"team": "A"}, "5"), ({"team": "B"}, "15")]
    # per group: 5 x 0.1 + (10 x 0.1 + 5 x 0.05); pooled: 10 x 0.1 + 10 x 0.05
    assert rated(groups, **terms).amount == Decimal("1.75")
    assert rated(groups, **terms, tiers_apply="per_group").amount == Decimal("1.75")
    assert rated(groups, **terms, tiers_apply="pooled").amount == Decimal("1.50")


def test_pool_adds_only_groups_of_the_same_row() -> None:
    rating = rated(
        [({"team": "A"}, "10"), ({"team": "B"}, "10"), ({"team": "C"}, "10")],
        model="package",
        dimensions=["team"],
        rows=[
            {"match": {"team": "A"}, "package_size": "15", "package_amount": "1"},
            {"match": {}, "package_size": "15", "package_amount": "2"},
        ],
        tiers_apply="pooled",
    )
    assert [(step.group, str(step.amount)) for step in rating.working] == [({"team": "A"}, "1"), ({}, "4")]


def test_row_has_its_own_included_units_minimum_and_maximum() -> None:
    terms: dict[str, object] = {
        "model": "per_unit",
        "dimensions": ["state"],
        "rows": [
            {"match": {"state": "CA"}, "unit_amount": "10", "minimum_amount": "100", "maximum_amount": "200"},
            {"match": {"state": "NY"}, "unit_amount": "10", "included_units": "3"},
        ],
        "unmatched": "listed",
    }
    assert rated([({"state": "CA"}, "8")], **terms).amount == 100
    assert rated([({"state": "CA"}, "30")], **terms).amount == 200
    assert rated([({"state": "NY"}, "8")], **terms).amount == 50
    assert rated([({"state": "CA"}, "8"), ({"state": "NY"}, "8")], **terms).amount == 150


def test_minimum_of_the_rate_holds_for_all_groups_together() -> None:
    terms = {**TOKENS, "minimum_amount": "50"}
    assert rated([({}, "1000000"), ({"model": "a"}, "1000000")], **terms).amount == 50
    assert rated([], **terms).amount == 50


def test_row_without_usage_owes_nothing() -> None:
    rows = [{"match": {}, "unit_amount": "1", "minimum_amount": "100"}]
    assert rated([], model="per_unit", dimensions=["team"], rows=rows).amount == 0


def test_unmatched_usage_is_free_only_when_the_rate_says_so() -> None:
    terms: dict[str, object] = {
        "model": "per_unit",
        "dimensions": ["state"],
        "rows": [{"match": {"state": "CA"}, "unit_amount": "10"}],
    }
    free = rated([({"state": "TX"}, "5"), ({"state": "CA"}, "1")], **terms, unmatched="free")
    assert [(step.kind, str(step.quantity), str(step.amount)) for step in free.working] == [
        ("free", "5", "0"),
        ("units", "1", "10"),
    ]
    with pytest.raises(UnmatchedUsage, match="state = 'TX', but no row"):
        rated([({"state": "TX"}, "5")], **terms, unmatched="listed")
    with pytest.raises(UnmatchedUsage, match="no values at all"):
        rated([({}, "5")], **terms, unmatched="listed")


def test_usage_must_be_grouped_by_the_dimensions_of_the_rate() -> None:
    terms = usage_rate(**TOKENS)
    with pytest.raises(UsageNotGrouped, match="prices by model, type"):
        rate(terms, Usage(Decimal(5)))
    with pytest.raises(UsageNotGrouped, match="grouped by region"):
        rate(terms, Usage(Decimal(5), groups=(GroupUsage({"region": "eu"}, Decimal(5)),)))
    twice = (GroupUsage({"model": "a"}, Decimal(1)), GroupUsage({"model": "a", "type": ""}, Decimal(1)))
    with pytest.raises(UsageNotGrouped, match="given twice"):
        rate(terms, Usage(Decimal(2), groups=twice))


def test_groups_are_ignored_by_a_rate_without_rows() -> None:
    terms = usage_rate(model="per_unit", unit_amount="2")
    assert rate(terms, Usage(Decimal(5), groups=(GroupUsage({"x": "y"}, Decimal(5)),))).amount == 10


def test_windows_of_a_group_are_rated_each_on_its_own_but_cannot_be_pooled() -> None:
    terms: dict[str, object] = {
        "model": "package",
        "dimensions": ["team"],
        "rows": [{"match": {}, "package_size": "10", "package_amount": "1"}],
    }
    usage = Usage(
        Decimal(15), groups=(GroupUsage({"team": "A"}, Decimal(15), windows=(Decimal(9), Decimal(15))),)
    )
    assert rate(usage_rate(**terms), usage).amount == 3
    with pytest.raises(UsageNotGrouped, match="cannot be added up"):
        rate(usage_rate(**terms, tiers_apply="pooled"), usage)


def test_each_window_of_a_group_has_its_included_units_and_carries_its_values() -> None:
    rows = [{"match": {}, "unit_amount": "1", "included_units": "10"}]
    peaks = (Decimal(9), Decimal(15))
    usage = Usage(Decimal(24), groups=(GroupUsage({"team": "A"}, Decimal(24), windows=peaks),))
    steps = rate(usage_rate(model="per_unit", dimensions=["team"], rows=rows), usage).working
    assert [(step.label, str(step.quantity), str(step.amount)) for step in steps] == [
        ("Window 1: Included: first 10", "9", "0"),
        ("Window 1: Units", "0", "0"),
        ("Window 2: Included: first 10", "10", "0"),
        ("Window 2: Units", "5", "5"),
    ]
    assert all(step.group == {"team": "A"} for step in steps)


# per group: 40 + 0 + 20 pay; pooled: all but the first 20
@pytest.mark.parametrize(("tiers_apply", "expected"), [("per_group", "6"), ("pooled", "10")])
def test_events_of_groups_are_pooled_in_order(tiers_apply: str, expected: str) -> None:
    terms = usage_rate(
        model="percentage",
        dimensions=["card"],
        rows=[{"match": {}, "percent": "10", "free_events": 1}],
        tiers_apply=tiers_apply,
    )
    assert needs_event_amounts(terms)
    events = (Decimal(20), Decimal(40))
    visa = GroupUsage({"card": "visa"}, Decimal(60), event_amounts=events)
    other = GroupUsage({"card": "other"}, Decimal(20), event_amounts=(Decimal(20),))
    more = GroupUsage({"card": "more"}, Decimal(40), event_amounts=(Decimal(20), Decimal(20)))
    assert rate(terms, Usage(Decimal(120), groups=(visa, other, more))).amount == Decimal(expected)


def test_pool_without_event_amounts_is_rated_by_its_sum() -> None:
    terms = usage_rate(
        model="percentage",
        dimensions=["card"],
        rows=[{"match": {}, "percent": "10", "free_amount": "10"}],
        tiers_apply="pooled",
    )
    groups = (GroupUsage({"card": "visa"}, Decimal(60)), GroupUsage({"card": "x"}, Decimal(50)))
    assert rate(terms, Usage(Decimal(110), groups=groups)).amount == 10


def test_required_grouping_names_the_dimensions_of_the_rows() -> None:
    assert required_grouping(usage_rate(**TOKENS)) == ("model", "type")
    assert required_grouping(usage_rate(model="per_unit", unit_amount="1")) == ()
    assert required_grouping(parse_rate({"kind": "one_time", "label": "x", "amount": "1"})) == ()
