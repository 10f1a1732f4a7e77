"""Findings at the bounds of tiers, and prices of nothing."""

from __future__ import annotations

from typing import Any

import pytest

from billing.rating import boundary_findings, parse_rate


def codes(**fields: Any) -> list[tuple[str, str, bool]]:
    terms = parse_rate({"kind": "usage", "meter": "m", **fields})
    return [(each.code, each.path, each.blocks) for each in boundary_findings(terms, "USD")]


def tiers(*rows: tuple[str | None, str, str]) -> list[dict[str, Any]]:
    return [{"up_to": up_to, "unit_amount": unit, "flat_amount": flat} for up_to, unit, flat in rows]


def steps(*rows: tuple[str | None, str]) -> list[dict[str, Any]]:
    return [{"up_to": up_to, "flat_amount": flat} for up_to, flat in rows]


DROP = [("price_drop", "tiers.1", True)]


def test_a_volume_total_that_falls_just_above_a_bound_is_found() -> None:
    assert codes(model="volume", tiers=tiers(("10", "2", "0"), (None, "1", "0"))) == DROP
    # 10 x 2 = 20, and 10 x 1 + 10 = 20: it does not fall.
    assert codes(model="volume", tiers=tiers(("10", "2", "0"), (None, "1", "10"))) == []


def test_a_stairstep_that_steps_down_is_found() -> None:
    assert codes(model="stairstep", tiers=steps(("10", "20"), (None, "19"))) == DROP
    assert codes(model="stairstep", tiers=steps(("10", "20"), (None, "20"))) == []


def test_a_bounded_last_step_is_noted() -> None:
    rows = steps(("10", "20"), ("20", "30"))
    assert codes(model="stairstep", tiers=rows) == [("no_price_above", "tiers.1", False)]
    rows = steps(("10", "20"), ("20", "30"), ("30", "40"))
    assert codes(model="stairstep", tiers=rows) == [("no_price_above", "tiers.2", False)]


def test_a_graduated_price_never_blocks_and_is_noted_when_it_rises() -> None:
    assert codes(model="graduated", tiers=tiers(("10", "2", "0"), (None, "1", "0"))) == []
    rising = tiers(("10", "1", "0"), (None, "2", "0"))
    assert codes(model="graduated", tiers=rising) == [("unit_price_rises", "tiers.1", False)]
    assert codes(model="graduated", tiers=tiers(("10", "2", "0"), (None, "2", "5"))) == []


def test_the_row_of_a_drop_is_named() -> None:
    rows = [{"match": {}, "tiers": tiers(("10", "2", "0"), (None, "1", "0"))}]
    found = codes(model="volume", dimensions=["d"], rows=rows)
    assert found == [("price_drop", "rows.0.tiers.1", True)]
    # Where rows without a price use the rate's, each row is looked at, and the rate's own price not once more.
    rows = [{"match": {"d": "x"}, "tiers": tiers((None, "1", "0"))}, {"match": {}}]
    falling = tiers(("10", "2", "0"), (None, "1", "0"))
    found = codes(model="volume", dimensions=["d"], rows=rows, tiers=falling)
    assert found == [("price_drop", "rows.1.tiers.1", True)]


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "per_unit", "unit_amount": "0"},
        {"model": "package", "package_size": "10", "package_amount": "0"},
        {"model": "percentage", "percent": "0"},
        {"model": "graduated", "tiers": tiers((None, "0", "0"))},
    ],
)
def test_a_price_of_nothing_is_noted(fields: dict[str, Any]) -> None:
    assert codes(**fields) == [("zero_price", "", False)]
    assert codes(**fields, minimum_amount="5") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "percentage", "percent": "1"},
        {"model": "percentage", "percent": "0", "fixed_amount": "1"},
        {"model": "percentage", "percent": "0", "per_event_minimum": "1"},
        {"model": "graduated", "tiers": tiers(("10", "0", "0"), (None, "0", "1"))},
    ],
)
def test_a_price_of_which_one_part_charges_is_no_price_of_nothing(fields: dict[str, Any]) -> None:
    assert "zero_price" not in {code for code, _, _ in codes(**fields)}


def test_rows_of_nothing_are_noted_unless_one_of_them_or_a_minimum_charges() -> None:
    def found(first: dict[str, Any], **terms: Any) -> list[str]:
        rows = [{"match": {"d": "x"}, "unit_amount": "0"} | first, {"match": {}, "unit_amount": "0"}]
        return [code for code, _, _ in codes(model="per_unit", dimensions=["d"], rows=rows, **terms)]

    assert found({}) == ["zero_price"]
    assert found({"unit_amount": "1"}) == []
    assert found({"minimum_amount": "5"}) == []
    assert found({}, minimum_amount="5") == []


def test_a_dynamic_price_charges_what_events_bring() -> None:
    assert codes(model="dynamic") == []


def test_fees_of_nothing_are_noted() -> None:
    for kind in ("subscription", "one_time"):
        fee = {"kind": kind, "label": "Fee"}
        assert boundary_findings(parse_rate(fee | {"amount": "1"}), "USD") == []
        assert [each.code for each in boundary_findings(parse_rate(fee | {"amount": "0"}), "USD")] == [
            "zero_price"
        ]


def test_rows_without_a_catch_all_are_noted() -> None:
    rows = [{"match": {"d": "x"}, "unit_amount": "1"}]
    found = codes(model="per_unit", dimensions=["d"], rows=rows, unmatched="listed")
    assert found == [("catch_all_missing", "rows", False)]
    assert codes(model="per_unit", dimensions=["d"], rows=rows, unmatched="free") == []
