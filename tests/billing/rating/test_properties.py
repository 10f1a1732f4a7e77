"""What holds for every rate and every quantity."""

from __future__ import annotations

from decimal import Decimal, localcontext
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.rating import GroupUsage, Rating, TermsError, Usage, UsageRate, parse_rate, rate
from billing.rating.exact import EXACT
from tests.billing.rating.random_plans import random_rate

QUANTITY = st.decimals(0, 10_000, places=3)
PRICE = st.decimals(0, 100, places=4).map(str)
UP = st.decimals("0.001", 1000, places=3)


@st.composite
def tier_tables(draw: st.DrawFn, *, flat: bool) -> list[dict[str, Any]]:
    bound = Decimal(0)
    tiers: list[dict[str, Any]] = []
    for step in draw(st.lists(UP, max_size=6)):
        bound += step
        tiers.append({"up_to": str(bound), "unit_amount": draw(PRICE)})
    tiers.append({"up_to": None, "unit_amount": draw(PRICE)})
    if flat:
        for tier in tiers:
            tier["flat_amount"] = draw(PRICE)
    return tiers


def rated(quantity: Decimal, **terms: object) -> Rating:
    parsed = parse_rate({"kind": "usage", "meter": "m", **terms})
    assert isinstance(parsed, UsageRate)
    return rate(parsed, Usage(quantity))


def amount(quantity: Decimal, **terms: object) -> Decimal:
    return rated(quantity, **terms).amount


@given(tiers=tier_tables(flat=True), quantity=QUANTITY)
def test_tiers_leave_no_gap_and_do_not_overlap(tiers: list[dict[str, Any]], quantity: Decimal) -> None:
    steps = [s for s in rated(quantity, model="graduated", tiers=tiers).working if s.kind == "tier"]
    assert sum(step.quantity or 0 for step in steps) == quantity
    assert steps[0].from_ == 0
    for before, after in pairwise(steps):
        assert after.from_ == before.up_to
        assert before.quantity == (before.up_to or 0) - (before.from_ or 0)


@given(tiers=tier_tables(flat=False), quantity=QUANTITY, more=UP)
def test_graduated_without_flat_fees_is_continuous(
    tiers: list[dict[str, Any]], quantity: Decimal, more: Decimal
) -> None:
    steepest = max(Decimal(tier["unit_amount"]) for tier in tiers)
    small, large = (amount(q, model="graduated", tiers=tiers) for q in (quantity, quantity + more))
    assert 0 <= large - small <= more * steepest


@given(tiers=tier_tables(flat=True), quantity=QUANTITY, more=UP)
def test_more_usage_never_costs_less_where_parts_are_priced(
    tiers: list[dict[str, Any]], quantity: Decimal, more: Decimal
) -> None:
    stairs = [{"up_to": t["up_to"], "flat_amount": str(n)} for n, t in enumerate(tiers)]
    percents = [{"up_to": t["up_to"], "percent": t["unit_amount"]} for t in tiers]
    package = {"package_size": "7.5", "package_amount": tiers[0]["unit_amount"]}
    rates: list[dict[str, Any]] = [
        {"model": "per_unit", "unit_amount": tiers[0]["unit_amount"]},
        {"model": "graduated", "tiers": tiers, "included_units": "10", "maximum_amount": "500"},
        {"model": "stairstep", "tiers": stairs},
        {"model": "graduated_percentage", "tiers": percents},
        {"model": "package", **package, "minimum_amount": "20"},
    ]
    for terms in rates:
        assert amount(quantity, **terms) <= amount(quantity + more, **terms)


@given(tiers=tier_tables(flat=False), quantity=QUANTITY, cut=UP)
def test_cutting_a_tier_in_two_of_the_same_price_changes_nothing(
    tiers: list[dict[str, Any]], quantity: Decimal, cut: Decimal
) -> None:
    last = tiers[-1]
    bound = Decimal(tiers[-2]["up_to"]) + cut if len(tiers) > 1 else cut
    more_tiers = [*tiers[:-1], last | {"up_to": str(bound)}, last]
    for model in ("graduated", "volume"):
        assert amount(quantity, model=model, tiers=tiers) == amount(quantity, model=model, tiers=more_tiers)


@given(price=PRICE, parts=st.lists(QUANTITY, min_size=1, max_size=5))
def test_a_price_per_unit_does_not_depend_on_how_usage_is_split(price: str, parts: list[Decimal]) -> None:
    together = amount(sum(parts, Decimal(0)), model="per_unit", unit_amount=price)
    assert together == sum(amount(part, model="per_unit", unit_amount=price) for part in parts)


@given(
    tiers=tier_tables(flat=True),
    parts=st.lists(QUANTITY, min_size=1, max_size=5),
    model=st.sampled_from(["graduated", "volume"]),
)
def test_pooled_groups_cost_what_their_sum_costs(
    tiers: list[dict[str, Any]], parts: list[Decimal], model: str
) -> None:
    terms = parse_rate(
        {
            "kind": "usage",
            "meter": "m",
            "model": model,
            "tiers": tiers,
            "dimensions": ["team"],
            "rows": [{"match": {}}],
            "tiers_apply": "pooled",
        }
    )
    assert isinstance(terms, UsageRate)
    total = sum(parts, Decimal(0))
    groups = tuple(GroupUsage({"team": str(n)}, part) for n, part in enumerate(parts))
    assert rate(terms, Usage(total, groups=groups)).amount == amount(total, model=model, tiers=tiers)


@given(tiers=tier_tables(flat=True), quantity=QUANTITY, included=QUANTITY)
def test_included_units_shift_the_quantity(
    tiers: list[dict[str, Any]], quantity: Decimal, included: Decimal
) -> None:
    shifted = amount(quantity + included, model="graduated", tiers=tiers, included_units=str(included))
    assert shifted == amount(quantity, model="graduated", tiers=tiers)


@given(price=PRICE, quantity=QUANTITY, low=QUANTITY, span=QUANTITY)
def test_amount_stays_within_minimum_and_maximum(
    price: str, quantity: Decimal, low: Decimal, span: Decimal
) -> None:
    limits = {"minimum_amount": str(low), "maximum_amount": str(low + span)}
    rating = rated(quantity, model="per_unit", unit_amount=price, **limits)
    assert low <= rating.amount <= low + span
    with localcontext(EXACT):
        assert sum(step.amount for step in rating.working) == rating.amount


@given(seed=st.integers(0, 2**32))
def test_every_rate_reads_back_equal_from_its_wire_form(seed: int) -> None:
    parsed = parse_rate(random_rate(Random(seed)))
    assert parse_rate(parsed.as_json()) == parsed
    assert parse_rate(parsed.as_json()).as_json() == parsed.as_json()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.decimals(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), junk=JSON, data=st.data())
def test_spoiled_terms_are_refused_with_a_sentence_and_nothing_else(
    seed: int, junk: Any, data: st.DataObject
) -> None:
    """Put junk in place of any value of a rate: it is read or refused by name, never a crash."""
    terms: Any = random_rate(Random(seed))
    place = terms
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = junk
        break
    error = _refusal(terms)
    assert error is None or (error.code and error.fields and all(error.fields.values()))


def _refusal(terms: Any) -> TermsError | None:
    try:
        parse_rate(terms)
    except TermsError as error:
        return error
    return None
