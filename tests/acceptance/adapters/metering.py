"""Areas aggregation.*: quantities of a meter."""

from __future__ import annotations

from typing import Any

from metering.rounding import round_quantity
from tests.acceptance.adapters.rating import number
from tests.acceptance.adapters.registry import Figures, adapts


@adapts("aggregation.rounding", required="function quantity", optional="precision")
def rounding(*, function: str, quantity: Any, precision: int = 0) -> Figures:
    return {"quantity": round_quantity(number(quantity), function, precision)}
