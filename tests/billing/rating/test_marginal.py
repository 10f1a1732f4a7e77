"""Single outcomes, priced one after the other, add up to what the rate makes of all of them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
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


def test_one_price_with_included_units_is_paid_from_the_first_unit_beyond_them() -> None:
    prices = marginal(read(model="per_unit", unit_amount="2", included_units="2.5"))
    assert prices is not None
    told = [prices.next({}, Decimal(quantity)) for quantity in ("1", "1", "1", "0.5", "3")]
    assert [(each.amount, each.unit_amount, each.label) for each in told] == [
        (0, 0, "Included: first 2.5"),
        (0, 0, "Included: first 2.5"),
        (1, None, "Included: first 2.5, Units"),
        (1, 2, "Units"),
        (6, 2, "Units"),
    ]


def test_what_lies_in_two_tiers_has_no_unit_price_even_where_both_cost_the_same() -> None:
    prices = marginal(read(tiers=[{"up_to": "1", "unit_amount": "2"}, {"up_to": None, "unit_amount": "2"}]))
    assert prices is not None
    both = prices.next({}, Decimal(2))
    assert (both.amount, both.unit_amount, both.label) == (4, None, "Up to 1, Over 1")


FLAT = {"model": "per_unit", "unit_amount": "2"}
OPEN = {"tiers": [{"up_to": None, "unit_amount": "2"}]}


def by_rows(**of_first: Any) -> dict[str, Any]:
    return {"model": "per_unit", "dimensions": ["kind"], "rows": [
        {"match": {"kind": "a"}, "unit_amount": "1"} | of_first, {"match": {}, "unit_amount": "2"},
    ]}  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "is_ordered", "has_limits"),
    [
        (FLAT, False, False),
        (FLAT | {"included_units": "1"}, True, False),
        (OPEN, True, False),
        (FLAT | {"minimum_amount": "0"}, False, True),
        (FLAT | {"maximum_amount": "9"}, False, True),
        (by_rows(), False, False),
        (by_rows(included_units="1"), True, False),
        (by_rows(minimum_amount="1"), False, True),
        (by_rows() | {"maximum_amount": "1"}, False, True),
    ],
)
def test_what_an_outcome_costs_depends_on_others_where_units_are_included_or_tiers_follow(
    terms: dict[str, Any], is_ordered: bool, has_limits: bool
) -> None:
    prices = marginal(read(**terms))
    assert prices is not None
    assert (prices.is_ordered, prices.has_limits) == (is_ordered, has_limits)


@pytest.mark.parametrize(
    ("tiers_apply", "labels"),
    [("per_group", ["kind: a, team: x", "kind: a"]), ("pooled", ["kind: a", "kind: a"])],
)
def test_the_row_that_prices_an_outcome_is_named_and_what_no_row_matches_is_free(
    tiers_apply: str, labels: list[str]
) -> None:
    rows = [{"match": {"kind": "a"}, "unit_amount": "3"}]
    prices = marginal(
        read(
            model="per_unit",
            dimensions=["kind", "team"],
            rows=rows,
            unmatched="free",
            tiers_apply=tiers_apply,
        )
    )
    assert prices is not None
    given = ({"kind": "a", "team": "x"}, {"kind": "a"}, {"kind": "b"}, {})
    told = [prices.next(values, Decimal(2)) for values in given]
    assert [(each.amount, each.unit_amount, each.label) for each in told] == [
        *((6, 3, label) for label in labels),
        (0, 0, "Free: no price for it"),
        (0, 0, "Free: no price for it"),
    ]


def test_a_rate_of_the_whole_quantity_prices_no_single_outcome() -> None:
    assert marginal(read(model="volume", tiers=[{"up_to": None, "unit_amount": "2"}])) is None
    assert marginal(read(model="package", package_size="10", package_amount="5")) is None
