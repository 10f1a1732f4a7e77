"""Areas aggregation.*: quantities of a meter."""

from __future__ import annotations

from typing import Any

from metering.rounding import round_quantity
from tests.acceptance.adapters.rating import number
from tests.acceptance.adapters.registry import Figures, adapts


@adapts("aggregation.rounding", required="function precision quantity")
def rounding(*, function: str, precision: int, quantity: Any) -> Figures:
    return {"quantity": round_quantity(number(quantity), function, precision)}
