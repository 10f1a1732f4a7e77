"""What holds for an invoice as a whole, worked by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from billing.rating import PlanTerms, TermsError, UsageRate, in_currency, parse_rate
from billing.rating.commitments import apply_plan_terms


def amounts(terms: PlanTerms, *, used: int = 31, **sums: str) -> list[tuple[str, Decimal]]:
    given: dict[str, Any] = {"usage": "0", "fees": "0", "once": "0"} | sums
    decimals = {name: Decimal(each) for name, each in given.items()}
    found = apply_plan_terms(terms, **decimals, days_used=used, days=31, digits=2)
    for line in found:
        exact = sum((step.amount for step in line.working), Decimal(0))
        assert abs(exact - line.amount) < Decimal("0.01")
    return [(line.kind, line.amount) for line in found]


def test_included_spend_takes_off_no_more_than_was_used() -> None:
    terms = PlanTerms(included_spend=Decimal(50))
    assert amounts(terms, usage="80") == [("included_spend", Decimal(-50))]
    assert amounts(terms, usage="30", fees="100") == [("included_spend", Decimal(-30))]
    assert amounts(terms) == []
    assert amounts(PlanTerms(included_spend=Decimal(0)), usage="80") == []
    assert amounts(terms, usage="0.40") == [("included_spend", Decimal("-0.40"))]
    assert amounts(terms, usage="-5") == []  # what events gave back is not included spend


def test_the_minimum_counts_usage_and_fees_but_no_one_time_fee() -> None:
    terms = PlanTerms(minimum_amount=Decimal(100))
    assert amounts(terms, usage="30", fees="20", once="500") == [("minimum", Decimal(50))]
    assert amounts(terms, usage="80", fees="20") == []


def test_a_part_of_a_period_owes_that_part_of_the_minimum() -> None:
    # 310.00 x 10 / 31 = 100.00
    terms = PlanTerms(minimum_amount=Decimal(310))
    assert amounts(terms, used=10, usage="40") == [("minimum", Decimal("60.00"))]


def test_each_line_says_how_it_came_about() -> None:
    def words(used: int) -> list[list[tuple[str, str, str]]]:
        terms = PlanTerms(Decimal(10), Decimal(310))
        lines = apply_plan_terms(
            terms, usage=Decimal(50), fees=Decimal(5), once=Decimal(0), days_used=used, days=31, digits=2
        )
        return [[(step.label, step.kind, str(step.amount)) for step in line.working] for line in lines]

    included = [("First 10 of usage included", "included_spend", "-10")]
    assert words(10) == [
        included,
        [("Minimum of the plan (10 of 31 days)", "minimum", "100.00"), ("Usage and fees", "used", "-45")],
    ]
    assert words(31)[1][0] == ("Minimum of the plan", "minimum", "310.00")


def test_the_service_fee_is_a_share_of_everything_before_it_rounded_once() -> None:
    terms = PlanTerms(Decimal(10), Decimal(100), Decimal("2.5"))
    # usage 60 - 10 = 50, + fees 20 = 70, + 30 missing = 100, + once 1 = 101; 2.5 % = 2.525 -> 2.53
    assert amounts(terms, usage="60", fees="20", once="1") == [
        ("included_spend", Decimal(-10)),
        ("minimum", Decimal(30)),
        ("service_fee", Decimal("2.53")),
    ]
    assert amounts(PlanTerms(service_fee_percent=Decimal(3))) == []


def test_terms_are_written_with_every_digit() -> None:
    written = PlanTerms(minimum_amount=Decimal("10.50")).as_json()
    assert written == {"included_spend": None, "minimum_amount": "10.50", "service_fee_percent": None}


def test_a_rate_in_credits_becomes_the_same_rate_in_money() -> None:
    def rate(factor: str) -> UsageRate:
        one = Decimal(factor)
        rows = [
            {"match": {"d": "x"}, "tiers": [{"up_to": "10", "unit_amount": 3 * one, "flat_amount": one},
                                            {"up_to": None, "unit_amount": 2 * one}]},
            {"match": {}, "tiers": [{"up_to": None, "unit_amount": one}], "maximum_amount": 9 * one},
        ]  # fmt: skip
        fields = {"kind": "usage", "meter": "m", "model": "graduated", "dimensions": ["d"], "rows": rows}
        parsed = parse_rate(fields | {"minimum_amount": 5 * one})
        assert isinstance(parsed, UsageRate)
        return parsed

    assert in_currency(rate("1"), Decimal("0.01")) == rate("0.01")


@pytest.mark.parametrize("fields", [{"model": "dynamic"}, {"model": "percentage", "percent": "1"}])
def test_a_price_of_amounts_has_no_custom_unit(fields: dict[str, str]) -> None:
    parsed = parse_rate({"kind": "usage", "meter": "m", **fields})
    assert isinstance(parsed, UsageRate)
    with pytest.raises(TermsError, match="no meaning in a custom unit"):
        in_currency(parsed, Decimal("0.01"))
