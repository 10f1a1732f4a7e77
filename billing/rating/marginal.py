"""What each of many outcomes costs, where their single amounts add up to what the rate makes of all of them.

That is so where a price depends on dimensions alone, and where units are included or tiers graduated: then each
outcome, taken in some order, has the price of the place it falls in. Volume tiers, packages and steps price the whole
quantity; no single outcome has a price there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from billing.rating.exact import ZERO, exactly
from billing.rating.prices import Graduated, PerUnit
from billing.rating.terms import AnyPrice, Row, UsageRate
from billing.rating.working import plain

ADDS_UP = frozenset({"per_unit", "graduated"})


@dataclass(frozen=True, slots=True)
class Portion:
    """What one outcome costs. `unit_amount` is None where it lies in several tiers or bears a flat fee.

    `label` says which price it has: the dimension values, the tier, that it is included; empty where there is only one.
    """

    amount: Decimal
    unit_amount: Decimal | None
    label: str


class Marginal:
    """Prices outcomes one after the other. `is_ordered`: what an outcome costs depends on those before it."""

    def __init__(self, terms: UsageRate) -> None:
        self._terms = terms
        self._before: dict[object, Decimal] = {}
        parts: list[UsageRate | Row] = [terms, *terms.rows]
        self.is_ordered = any(
            part.included_units or isinstance(part.price, Graduated)
            for part in parts
            if part.price is not None
        )
        self.has_limits = any(
            part.minimum_amount is not None or part.maximum_amount is not None for part in parts
        )

    @exactly
    def next(self, dimensions: Mapping[str, str], quantity: Decimal) -> Portion:
        """Price the outcome that comes next."""
        terms = self._terms
        if not terms.rows:
            assert terms.price is not None  # without rows a rate has a price
            return self._place(None, terms.price, terms.included_units, quantity, "")
        values = {name: dimensions.get(name, "") for name in terms.dimensions}
        index = terms.row_index(values)
        if index is None:
            return Portion(ZERO, ZERO, "Free: no price for it")
        row = terms.rows[index]
        pool = index if terms.tiers_apply == "pooled" else (index, *values.values())
        shown = row.match if terms.tiers_apply == "pooled" else values
        label = ", ".join(f"{name}: {value}" for name, value in shown.items() if value)
        return self._place(pool, row.price, row.included_units, quantity, label)

    def _place(
        self, pool: object, price: AnyPrice, included: Decimal, quantity: Decimal, label: str
    ) -> Portion:
        if isinstance(price, PerUnit) and not included:
            return Portion(quantity * price.unit_price, price.unit_price, label)
        before = self._before.get(pool)
        after = (before or ZERO) + quantity
        self._before[pool] = after
        amount = _cost(price, included, after) - (ZERO if before is None else _cost(price, included, before))
        where = _where(price, included, before or ZERO, after)
        unit_amount = None
        if len(where) == 1:  # none of its prices gives the amount where a flat fee is in it
            unit_amount = next((each for each in _unit_prices(price) if each * quantity == amount), None)
        return Portion(amount, unit_amount, ", ".join([*([label] if label else []), *where]))


def marginal(terms: UsageRate) -> Marginal | None:
    """Give what prices single outcomes; None for a rate whose single outcomes have no price."""
    return Marginal(terms) if terms.model in ADDS_UP else None


def _cost(price: AnyPrice, included: Decimal, quantity: Decimal) -> Decimal:
    beyond = max(quantity - included, ZERO)
    return sum((step.amount for step in price.steps(beyond, None, None)), ZERO)


def _where(price: AnyPrice, included: Decimal, before: Decimal, after: Decimal) -> list[str]:
    """Name the places that the units between two quantities fall in."""
    found = []
    if before < included:
        found.append(f"Included: first {plain(included)}")
    low, high = before - included, after - included
    if high > 0 and isinstance(price, Graduated):
        found += [
            tier.label
            for tier in price.tiers
            if high > tier.from_ and (tier.up_to is None or max(low, ZERO) < tier.up_to)
        ]
    elif high > 0:
        found.append("Units")
    return found


def _unit_prices(price: AnyPrice) -> set[Decimal]:
    """Give the prices that a single unit can have: 0 where it is included."""
    if isinstance(price, Graduated):
        return {ZERO, *(tier.unit_price for tier in price.tiers)}
    assert isinstance(price, PerUnit)  # no other model is in ADDS_UP
    return {ZERO, price.unit_price}
