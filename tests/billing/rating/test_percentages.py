"""Percentages with rules for each event, by figures worked by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing.rating import Rating, Usage, UsageRate, needs_event_amounts, parse_rate, rate
from billing.rating.errors import EventAmountsMissing, NegativeQuantity, NotANumber


def percentage(**terms: object) -> UsageRate:
    parsed = parse_rate({"kind": "usage", "meter": "m", "model": "percentage", **terms})
    assert isinstance(parsed, UsageRate)
    return parsed


def rated(events: list[str], **terms: object) -> Rating:
    amounts = tuple(Decimal(event) for event in events)
    rating = rate(percentage(**terms), Usage(sum(amounts, Decimal(0)), event_amounts=amounts))
    assert sum(step.amount for step in rating.working) == rating.amount
    return rating


def steps(rating: Rating) -> list[tuple[str, str]]:
    return [(step.kind, str(step.amount)) for step in rating.working]


def test_percentage_alone_needs_only_the_sum() -> None:
    terms = percentage(percent="2.9")
    assert not needs_event_amounts(terms)
    assert rate(terms, Usage(Decimal(4))).amount == Decimal("0.116")


def test_free_amount_alone_needs_only_the_sum() -> None:
    terms = percentage(percent="10", free_amount="100")
    assert not needs_event_amounts(terms)
    assert rate(terms, Usage(Decimal(150))).amount == 5
    assert rate(terms, Usage(Decimal(80))).amount == 0


@pytest.mark.parametrize(
    "rule",
    [{"fixed_amount": "1"}, {"free_events": 1}, {"per_event_minimum": "0"}, {"per_event_maximum": "9"}],
)
def test_rules_for_each_event_need_the_amounts(rule: dict[str, object]) -> None:
    terms = percentage(percent="1", **rule)
    assert needs_event_amounts(terms)
    with pytest.raises(EventAmountsMissing):
        rate(terms, Usage(Decimal(100)))


def test_other_rates_need_no_event_amounts() -> None:
    assert not needs_event_amounts(parse_rate({"kind": "one_time", "label": "x", "amount": "1"}))


def test_fixed_fee_is_owed_for_each_event() -> None:
    # 800 x 1.3 % = 10.40, 4 x 2 = 8
    rating = rated(["50", "100", "250", "400"], percent="1.3", fixed_amount="2")
    assert steps(rating) == [("percentage", "10.400"), ("fixed", "8")]
    assert rating.amount == Decimal("18.4")


def test_free_events_end_before_the_free_amount() -> None:
    # three events are free (400 of 500); 400 x 1.3 % + 2 = 7.20
    rating = rated(
        ["50", "100", "250", "400"], percent="1.3", fixed_amount="2", free_events=3, free_amount="500"
    )
    assert steps(rating) == [("free", "0"), ("percentage", "5.200"), ("fixed", "2")]


def test_free_amount_ends_before_the_free_events() -> None:
    # 250 are free, in the middle of the third event; (150 + 400) x 1.3 % + 2 x 2 = 11.15
    rating = rated(
        ["50", "100", "250", "400"], percent="1.3", fixed_amount="2", free_events=3, free_amount="250"
    )
    assert rating.amount == Decimal("11.15")
    assert rating.working[0].quantity == 250


def test_event_that_uses_up_the_free_amount_exactly_pays_nothing() -> None:
    rating = rated(["60", "40", "10"], percent="10", fixed_amount="1", free_amount="100")
    assert rating.amount == 2  # 10 x 10 % + 1
    assert rated(["1"], percent="10", fixed_amount="1", free_amount="1").amount == 0


def test_an_event_of_nothing_pays_its_fixed_fee_once_nothing_is_free_any_more() -> None:
    assert rated(["0", "0.50"], percent="10", fixed_amount="1").amount == Decimal("2.05")
    assert rated(["100", "0"], percent="10", fixed_amount="1", free_amount="100", free_events=5).amount == 1


def test_minimum_and_maximum_hold_for_each_paying_event() -> None:
    # fees 2.299, 4.392, 301 -> 12; minimum 3 lifts the first
    rating = rated(
        ["10", "80", "10000"],
        percent="2.99",
        fixed_amount="2",
        per_event_minimum="3",
        per_event_maximum="12",
    )
    assert rating.amount == Decimal("19.392")
    assert steps(rating)[2:] == [("event_minimum", "0.7010"), ("event_maximum", "-289.0000")]


def test_free_events_owe_no_minimum() -> None:
    rating = rated(["10", "80"], percent="1", free_events=2, per_event_minimum="5")
    assert steps(rating) == [("free", "0"), ("percentage", "0.00")]


def test_no_events_cost_nothing() -> None:
    assert rated([], percent="1", fixed_amount="5").amount == 0


def test_events_must_be_numbers_of_zero_or_more() -> None:
    with pytest.raises(NegativeQuantity):
        rate(percentage(percent="1", fixed_amount="1"), Usage(Decimal(1), event_amounts=(Decimal(-1),)))
    with pytest.raises(NotANumber):
        rate(percentage(percent="1", fixed_amount="1"), Usage(Decimal(1), event_amounts=(Decimal("NaN"),)))
