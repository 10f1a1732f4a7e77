"""One test for each worked case of other billing systems, through the functions that make invoices."""

from __future__ import annotations

from decimal import Decimal

from tests.acceptance.adapters import answer
from tests.acceptance.cases_on_disk import Case
from tests.acceptance.comparing import differences


def test_case(case: Case) -> None:
    figures = answer(case["area"], case["given"])
    if "error" in figures and "error" not in case["expect"]:
        raise AssertionError(f"The case was refused: {figures['error']}: {figures.get('sentence')}")
    found = differences(case["expect"], figures, tolerance=Decimal(case["tolerance"] or 0))
    assert not found, "; ".join(found)
