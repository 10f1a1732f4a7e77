"""Steps on the wire and numbers for people."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing.rating import Step, step_from_json
from billing.rating.working import plain

FULL = Step(
    "Over 100",
    "tier",
    Decimal("40.5"),
    Decimal("0.50"),
    Decimal("0.00002025"),
    Decimal(100),
    None,
    {"model": "a"},
    Decimal(1000000),
    None,
)


def test_step_is_text_and_null_on_the_wire() -> None:
    assert FULL.as_json() == {
        "label": "Over 100",
        "kind": "tier",
        "quantity": "40.5",
        "unit_amount": "0.50",
        "per": "1000000",
        "percent": None,
        "amount": "0.00002025",
        "from": "100",
        "up_to": None,
        "group": {"model": "a"},
    }


@pytest.mark.parametrize("step", [FULL, Step("Flat", "flat", None, None, Decimal("1E+3"))])
def test_step_reads_back_equal(step: Step) -> None:
    assert step_from_json(step.as_json()) == step


@pytest.mark.parametrize(
    ("value", "text"),
    [("1000.50", "1,000.5"), ("1E+6", "1,000,000"), ("100", "100"), ("0.00001", "0.00001"), ("5.00", "5")],
)
def test_numbers_for_people_have_no_needless_zeros(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text
