"""Single outcomes, priced one after the other, add up to what the rate makes of all of them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.rating import GroupUsage, Usage, UsageRate, parse_rate, rate
from billing.rating.marginal import marginal

quantities = st.decimals("0.25", "40", places=2)
prices = st.decimals("0", "9.99", places=3)


def read(**terms: Any) -> UsageRate:
    parsed = parse_rate({"kind": "usage", "meter": "tickets", "model": "graduated"} | terms)
    assert isinstance(parsed, UsageRate)
    return parsed


@st.composite
def tiers(draw: Any) -> list[dict[str, str | None]]:
    bounds = sorted(draw(st.sets(st.integers(1, 60), max_size=3)))
    return [
        {"up_to": up_to, "unit_amount": str(draw(prices)), "flat_amount": str(draw(st.integers(0, 5)))}
        for up_to in [*map(str, bounds), None]
    ]


@given(
    table=tiers(),
    other=tiers(),
    included=st.integers(0, 20),
    used=st.lists(
        st.tuples(st.sampled_from(["lead", "resolution", "x", ""]), quantities), min_size=1, max_size=12
    ),
    apply=st.sampled_from(["pooled", "per_group"]),
)
def test_portions_add_up_to_the_rate_whatever_the_order(
    table: Any, other: Any, included: int, used: list[tuple[str, Decimal]], apply: str
) -> None:
    rows = [
        {"match": {"kind": "lead"}, "tiers": table, "included_units": str(included)},
        {"match": {}, "tiers": other},
    ]
    terms = read(dimensions=["kind"], rows=rows, tiers_apply=apply)
    sums: Counter[str] = Counter()
    for kind, quantity in used:
        sums[kind] += quantity  # type: ignore[assignment]
    groups = tuple(GroupUsage({"kind": kind}, Decimal(quantity)) for kind, quantity in sums.items())
    whole = rate(terms, Usage(quantity=sum((q for _, q in used), Decimal(0)), groups=groups)).amount
    for order in (used, used[::-1]):
        prices = marginal(terms)
        assert prices is not None
        assert sum(prices.next({"kind": kind}, quantity).amount for kind, quantity in order) == whole


def test_each_unit_has_the_price_of_its_place() -> None:
    """Two included; then up to 3 at $2.00 with a flat fee of $5.00 for the second tier at $1.00."""
    table = [
        {"up_to": "3", "unit_amount": "2"},
        {"up_to": None, "unit_amount": "1", "flat_amount": "5"},
    ]
    prices = marginal(read(tiers=table, included_units="2"))
    assert prices is not None
    assert prices.is_ordered
    told = [prices.next({}, Decimal(1)) for _ in range(7)]
    assert [(each.amount, each.unit_amount, each.label) for each in told] == [
        (0, 0, "Included: first 2"),
        (0, 0, "Included: first 2"),
        (2, 2, "Up to 3"),
        (2, 2, "Up to 3"),
        (2, 2, "Up to 3"),
        (6, None, "Over 3"),  # it enters the tier and bears the flat fee
        (1, 1, "Over 3"),
    ]
    both = prices.next({}, Decimal("0.5"))
    assert (both.amount, both.unit_amount) == (Decimal("0.5"), 1)


def test_a_rate_of_the_whole_quantity_prices_no_single_outcome() -> None:
    assert marginal(read(model="volume", tiers=[{"up_to": None, "unit_amount": "2"}])) is None
    assert marginal(read(model="package", package_size="10", package_amount="5")) is None
