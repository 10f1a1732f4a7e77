"""The runner itself: nothing is skipped, nothing passes by accident."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from tests.acceptance.adapters import NoAdapterError, answer
from tests.acceptance.cases_on_disk import load_cases
from tests.acceptance.comparing import differences
from tests.acceptance.conftest import COLLECTED_CASES, OWN_CASES
from tests.acceptance.expected_failures import EXPECTED_FAILURES

ROOT = Path(__file__).parents[2]


def test_unknown_area_fails() -> None:
    with pytest.raises(NoAdapterError, match="barter"):
        answer("rating.barter", {"quantity": "1"})


def test_unknown_shape_of_a_known_area_fails() -> None:
    with pytest.raises(NoAdapterError, match="discount_code"):
        answer("rating.per_unit", {"unit_amount": "1", "quantity": "1", "discount_code": "x"})


@pytest.mark.parametrize(
    ("area", "given"),
    [
        ("rating.graduated", {"tiers": [{"up_to": None, "unit": "1", "tax": "1"}], "quantity": "1"}),
        ("rating.dimension", {"table": {"CA": {"unit": "1", "tax": "1"}}, "groups": {"CA": "1"}}),
    ],
)
def test_unknown_field_of_a_row_fails_and_is_named(area: str, given: dict[str, object]) -> None:
    with pytest.raises(NoAdapterError, match="tax"):
        answer(area, given)


def test_key_that_is_null_states_nothing_but_is_not_given_away() -> None:
    per_unit = {"unit_amount": "2", "quantity": "3"}
    assert answer("rating.per_unit", per_unit | {"discount_code": None})["amount"] == 6
    with pytest.raises(NoAdapterError, match="discount_code"):
        answer("rating.per_unit", per_unit | {"discount_code": "0"})
    with pytest.raises(NoAdapterError, match="quantity"):
        answer("rating.per_unit", {"unit_amount": "2", "quantity": None, "discount_code": None})


def test_case_with_two_prices_or_none_fails() -> None:
    with pytest.raises(AssertionError, match="one price"):
        answer("rating.minimum", {"quantity": "1", "minimum": "1", "unit_amount": "1", "package_size": "1"})
    with pytest.raises(AssertionError, match="one price"):
        answer("rating.minimum", {"quantity": "1", "minimum": "1"})


def test_numbers_of_any_length_are_compared_to_the_last_digit() -> None:
    long = "121932631356500531.347203169112635269"
    assert not differences({"amount": long}, {"amount": Decimal(long)})
    assert differences({"amount": long}, {"amount": Decimal("121932631356500531.347203169112635268")})


def test_figure_that_no_adapter_gives_fails() -> None:
    assert differences({"carbon": "1"}, {"amount": Decimal(1)}) == [
        "carbon: the adapter gives no such figure"
    ]


def test_figures_are_compared_as_exact_numbers() -> None:
    assert not differences(
        {"amount": "100", "parts": [1, "2.0"]}, {"amount": Decimal("1E+2"), "parts": (1, 2)}
    )
    assert differences({"amount": "100.01"}, {"amount": Decimal(100)})
    assert differences({"parts": [1]}, {"parts": [1, 2]})
    assert differences({"error": "a"}, {"error": "b"})
    assert differences({"error": "a"}, {"error": None})
    assert differences({"balances": {"g1": "0"}}, {"balances": {"g1": Decimal(1)}})


def test_tolerance_is_the_largest_difference_that_agrees() -> None:
    tolerance = Decimal("0.001")
    assert not differences({"value": "1.001"}, {"value": Decimal(1)}, tolerance=tolerance)
    assert differences({"value": "1.0011"}, {"value": Decimal(1)}, tolerance=tolerance)


def test_shares_are_compared_to_the_published_digits() -> None:
    assert not differences({"fraction": "0.333"}, {"fraction": Fraction(1, 3)})
    assert differences({"fraction": "0.334"}, {"fraction": Fraction(1, 3)})


def test_folder_without_cases_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match="no cases"):
        load_cases(tmp_path)


def test_every_expected_failure_has_a_case() -> None:
    areas = {case["area"] for case in load_cases(COLLECTED_CASES)}
    assert EXPECTED_FAILURES.keys() <= areas


def test_every_area_and_no_figure_twice_among_our_own_cases() -> None:
    """Own cases reach every area that was collected, have ids of their own and repeat none."""
    collected, own = load_cases(COLLECTED_CASES), load_cases(OWN_CASES)
    assert {case["area"] for case in own} >= {case["area"] for case in collected}
    assert len({case["id"] for case in [*collected, *own]}) == len(collected) + len(own)
    stories = [json.dumps([case["area"], case["given"]], sort_keys=True, default=str) for case in own]
    assert len(set(stories)) == len(stories), [each for each in stories if stories.count(each) > 1]


def test_option_runs_the_same_adapters_over_other_files(tmp_path: Path) -> None:
    given = {"unit_amount": "2", "quantity": "3"}
    case = {
        "id": "OWN-1",
        "area": "rating.per_unit",
        "source": "own",
        "given": given,
        "expect": {"amount": "6"},
    }
    wrong = case | {"id": "OWN-2", "expect": {"amount": "7"}}
    unknown = case | {"id": "OWN-3", "area": "rating.barter"}
    (tmp_path / "own.json").write_text(json.dumps([case, wrong, unknown]))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/acceptance/test_cases.py",
        "--cases",
        str(tmp_path),
        "-q",
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "2 failed, 1 passed" in run.stdout, run.stdout + run.stderr
    assert "OWN-2" in run.stdout
    assert "No adapter takes area 'rating.barter'" in run.stdout


def test_one_thing_under_two_names_fails() -> None:
    with pytest.raises(NoAdapterError, match="two names"):
        answer("rating.per_unit", {"unit_amount": "1", "quantity": "5", "units": "7"})
    with pytest.raises(NoAdapterError, match="two names"):
        answer("rating.graduated", {"tiers": [{"unit": "1", "unit_price": "2"}], "quantity": "5"})


def test_units_that_no_meter_can_convert_fail() -> None:
    """Free units come off before a package is rounded, so they cannot be told to a meter that rounds down."""
    package = {"package_size": "10", "package_price": "1", "quantity": "25", "round": "down"}
    assert answer("rating.package", package)["amount"] == 2
    with pytest.raises(NoAdapterError, match="converts"):
        answer("rating.package", package | {"free_units": "5"})
    with pytest.raises(NoAdapterError, match="converts"):
        answer("rating.per_unit", {"unit_amount": "1", "quantity": "5", "round": "down"})


def test_caps_and_packages_of_one_of_several_tiers_fail() -> None:
    """We have no such price, so it is never told as another one."""
    capped = {"tiers": [{"up_to": "5", "unit": "1", "cap": "3"}, {"up_to": None, "unit": "1"}]}
    packed = {"tiers": [{"up_to": "5", "unit": "1", "package_size": "5"}, {"up_to": None, "unit": "1"}]}
    for given in (capped, packed):
        with pytest.raises(NoAdapterError, match="several"):
            answer("rating.graduated", given | {"quantity": "5"})
