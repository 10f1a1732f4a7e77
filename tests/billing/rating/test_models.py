"""Each rate model with figures worked by hand."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest

from billing.rating import GroupUsage, Rating, Usage, UsageRate, parse_rate, rate
from billing.rating.errors import BeyondLastStep, InvalidArgument, NegativeQuantity, NotANumber
from billing.rating.exact import EXACT
from billing.rerating import Used, amount_of

TIERS = [
    {"up_to": "100", "unit_amount": "2", "flat_amount": "5"},
    {"up_to": "200", "unit_amount": "1.50"},
    {"up_to": None, "unit_amount": "1", "flat_amount": "7"},
]


def usage_rate(**terms: object) -> UsageRate:
    parsed = parse_rate({"kind": "usage", "meter": "m", **terms})
    assert isinstance(parsed, UsageRate)
    return parsed


def rated(quantity: str, **terms: object) -> Rating:
    rating = rate(usage_rate(**terms), Usage(Decimal(quantity)))
    with localcontext(EXACT):
        assert sum(step.amount for step in rating.working) == rating.amount
    return rating


def amount(quantity: str, **terms: object) -> Decimal:
    return rated(quantity, **terms).amount


def amounts(quantity: str, **terms: object) -> list[tuple[str, str]]:
    return [(step.kind, str(step.amount)) for step in rated(quantity, **terms).working]


@pytest.mark.parametrize(("quantity", "expected"), [("120", "240"), ("0", "0"), ("1", "2"), ("0.5", "1")])
def test_per_unit_multiplies(quantity: str, expected: str) -> None:
    assert amount(quantity, model="per_unit", unit_amount="2.00") == Decimal(expected)


def test_per_unit_keeps_every_digit() -> None:
    assert amount("10", model="per_unit", unit_amount="5.12345") == Decimal("51.2345")


def test_included_units_come_off_first() -> None:
    assert amounts("1250", model="per_unit", unit_amount="0.05", included_units="1000") == [
        ("included", "0"),
        ("units", "12.50"),
    ]
    assert amount("999.5", model="per_unit", unit_amount="0.05", included_units="1000") == 0


def test_price_per_million_is_exact_for_one_token() -> None:
    one = rated("1", model="per_unit", unit_amount="0.07", per=1000000)
    assert one.amount == Decimal("0.00000007")
    (step,) = one.working
    assert (step.unit_amount, step.per) == (Decimal("0.07"), Decimal(1000000))


def test_price_per_1024_is_exact() -> None:
    assert amount("1", model="per_unit", unit_amount="1", per="1024") == Decimal("0.0009765625")


def test_thirty_digits_times_thirty_digits_do_not_round() -> None:
    price = "999999999999.999999999999999999"
    expected = Decimal("999999999999999999999999.999998000000000000000000000000000001")
    assert amount(price, model="per_unit", unit_amount=price) == expected


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("0", "5"),  # the first tier's flat fee at zero usage
        ("1", "7"),
        ("100", "205"),  # the bound belongs to the tier: 100 x 2 + 5
        ("100.5", "205.75"),  # and half a unit of the next
        ("200", "355"),
        ("201", "363"),  # 355 + 1 x 1 + 7
    ],
)
def test_graduated_prices_each_part_by_its_tier(quantity: str, expected: str) -> None:
    assert amount(quantity, model="graduated", tiers=TIERS) == Decimal(expected)


def test_second_tier_starts_after_first_bound() -> None:
    steps = rated("101", model="graduated", tiers=TIERS).working
    tiers = [(step.label, str(step.quantity)) for step in steps if step.kind == "tier"]
    assert tiers == [("Up to 100", "100"), ("Over 100 up to 200", "1")]
    assert (steps[2].from_, steps[2].up_to) == (Decimal(100), Decimal(200))


def test_flat_fee_is_a_step_of_its_own() -> None:
    assert amounts("201", model="graduated", tiers=TIERS) == [
        ("tier", "200"),
        ("flat", "5"),
        ("tier", "150.00"),
        ("tier", "1"),
        ("flat", "7"),
    ]


def test_first_bound_of_zero_holds_only_zero_usage() -> None:
    tiers = [{"up_to": "0", "unit_amount": "0"}, {"up_to": None, "unit_amount": "1", "flat_amount": "10"}]
    assert amount("0", model="graduated", tiers=tiers) == 0
    assert amount("0.1", model="graduated", tiers=tiers) == Decimal("10.1")


def test_a_tier_may_have_only_a_flat_fee_and_an_only_tier_names_the_whole() -> None:
    tiers: list[dict[str, object]] = [{"up_to": None, "flat_amount": "3"}]
    for model, label in (("graduated", "All units"), ("graduated_percentage", "Whole amount")):
        steps = rated("5", model=model, tiers=tiers).working
        assert [(step.label, step.amount) for step in steps] == [
            (label, 0),
            (f"Flat fee: {label[0].lower()}{label[1:]}", 3),
        ]


def test_included_units_come_off_before_tiers_are_counted() -> None:
    assert amount("110", model="graduated", tiers=TIERS, included_units="10") == 205


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("0", "5"), ("1", "7"), ("100", "205"), ("100.5", "150.75"), ("200", "300"), ("201", "208")],
)
def test_volume_prices_all_units_by_the_tier_of_the_total(quantity: str, expected: str) -> None:
    assert amount(quantity, model="volume", tiers=TIERS) == Decimal(expected)


def test_tier_prices_can_be_quoted_per_thousand() -> None:
    tiers = [{"up_to": "1000", "unit_amount": "3"}, {"up_to": None, "unit_amount": "2"}]
    assert amount("1500", model="graduated", tiers=tiers, per=1000) == 4
    assert amount("1500", model="volume", tiers=tiers, per=1000) == 3


@pytest.mark.parametrize(
    ("quantity", "included", "expected"),
    [
        ("0", "0", "0"),
        ("0.1", "0", "10"),
        ("1000", "0", "10"),
        ("1000.1", "0", "20"),
        ("3000", "3000", "0"),
        ("3001", "3000", "10"),  # the included units come off before the round-up
        ("4000", "3000", "10"),
        ("4001", "3000", "20"),
    ],
)
def test_started_package_is_paid_in_full(quantity: str, included: str, expected: str) -> None:
    terms = {"model": "package", "package_size": "1000", "package_amount": "10", "included_units": included}
    assert amount(quantity, **terms) == Decimal(expected)


STEPS = [{"up_to": "1000", "flat_amount": "50"}, {"up_to": "5000", "flat_amount": "200"}]


@pytest.mark.parametrize(
    ("quantity", "expected"), [("0", "50"), ("1000", "50"), ("1000.01", "200"), ("5000", "200")]
)
def test_stairstep_costs_the_step_reached(quantity: str, expected: str) -> None:
    assert amount(quantity, model="stairstep", tiers=STEPS) == Decimal(expected)


def test_quantity_beyond_the_last_step_is_an_error_not_free() -> None:
    with pytest.raises(BeyondLastStep, match=r"5,000\.5 is beyond the last step .*Over 1,000 up to 5,000"):
        amount("5000.5", model="stairstep", tiers=STEPS)


def test_open_last_step_holds_every_quantity() -> None:
    assert amount("999999", model="stairstep", tiers=[*STEPS, {"up_to": None, "flat_amount": "300"}]) == 300


def test_minimum_adds_a_true_up_also_at_zero_usage() -> None:
    terms = {"model": "per_unit", "unit_amount": "2", "minimum_amount": "100"}
    assert amounts("10", **terms) == [("units", "20"), ("minimum", "80")]
    assert amounts("0", **terms) == [("units", "0"), ("minimum", "100")]
    assert amounts("50", **terms) == [("units", "100")]


def test_maximum_takes_off_what_is_above() -> None:
    terms = {"model": "per_unit", "unit_amount": "2", "maximum_amount": "100"}
    assert amounts("60", **terms) == [("units", "120"), ("maximum", "-20")]
    assert amounts("50", **terms) == [("units", "100")]


def test_windows_are_rated_each_on_its_own_and_limited_together() -> None:
    tiers = [{"up_to": "10", "unit_amount": "0.1"}, {"up_to": None, "unit_amount": "0.05"}]
    peaks = Usage(Decimal(15), windows=(Decimal(9), Decimal(15)))
    rating = rate(usage_rate(model="volume", tiers=tiers), peaks)
    assert rating.amount == Decimal("1.65")  # 9 x 0.1 + 15 x 0.05
    assert rating.working[1].label == "Window 2: All units at the price of: Over 10"
    assert rate(usage_rate(model="volume", tiers=tiers, maximum_amount="1"), peaks).amount == 1
    assert rate(usage_rate(model="volume", tiers=tiers), Usage(Decimal(0), windows=())).amount == 0


def test_dynamic_takes_the_amount_of_the_events() -> None:
    assert amounts("12.345", model="dynamic") == [("dynamic", "12.345")]
    assert amount("-3", model="dynamic") == -3  # refunds may outweigh sales


def test_graduated_percentage_prices_parts_of_an_amount() -> None:
    tiers = [{"up_to": "10000", "percent": "1"}, {"up_to": None, "percent": "0.5", "flat_amount": "20"}]
    rating = rated("15000", model="graduated_percentage", tiers=tiers)
    assert rating.amount == 145  # 100 + 25 + 20
    assert [step.percent for step in rating.working] == [Decimal(1), Decimal("0.5"), None]


def test_flat_fee_of_the_first_tier_is_owed_at_zero_units_but_not_at_an_amount_of_zero() -> None:
    of_units = [
        {"up_to": "10", "unit_amount": "1", "flat_amount": "200"},
        {"up_to": None, "unit_amount": "2"},
    ]
    of_amounts = [{"up_to": "10", "percent": "1", "flat_amount": "200"}, {"up_to": None, "percent": "2"}]
    assert amount("0", model="graduated", tiers=of_units) == 200
    assert amount("0", model="graduated_percentage", tiers=of_amounts) == 0
    assert amount("0.01", model="graduated_percentage", tiers=of_amounts) == Decimal("200.0001")


TWO = [{"up_to": "100", "unit_amount": "2", "flat_amount": "5"}, {"up_to": None, "unit_amount": "1"}]


@pytest.mark.parametrize(
    ("terms", "quantity", "expected"),
    [
        (
            {"model": "per_unit", "unit_amount": "2", "included_units": "10"},
            "30",
            ["Included: first 10|included|10|-|-|-|-|-|0", "Units|units|20|2|-|-|-|-|40"],
        ),
        (
            {"model": "graduated", "tiers": TWO, "per": "10"},
            "150",
            [
                "Up to 100|tier|100|2|10|-|0|100|20.0",
                "Flat fee: up to 100|flat|-|-|-|-|0|100|5",
                "Over 100|tier|50|1|10|-|100|-|5.0",
            ],
        ),
        (
            {"model": "volume", "tiers": TWO},
            "150",
            ["All units at the price of: Over 100|tier|150|1|-|-|100|-|150"],
        ),
        (
            {"model": "package", "package_size": "1000", "package_amount": "10"},
            "2500",
            ["Packages of 1,000|package|3|10|-|-|-|-|30"],
        ),
        ({"model": "stairstep", "tiers": STEPS}, "1500", ["Over 1,000 up to 5,000|step|1500|-|-|-|1000|5000|200"]),
        (
            {"model": "percentage", "percent": "10", "free_amount": "5"},
            "20",
            ["Free of charge|free|5|-|-|-|-|-|0", "10 %|percentage|15|-|-|10|-|-|1.50"],
        ),
        (
            {"model": "graduated_percentage", "tiers": [{"up_to": "50", "percent": "4"}, {"percent": "2"}]},
            "60",
            ["Up to 50|tier|50|-|-|4|0|50|2.00", "Over 50|tier|10|-|-|2|50|-|0.20"],
        ),
        ({"model": "dynamic"}, "7", ["Amount taken from the events|dynamic|-|-|-|-|-|-|7"]),
    ],
)  # fmt: skip
def test_each_step_says_what_it_is_how_much_at_what_price_between_which_bounds(
    terms: dict[str, object], quantity: str, expected: list[str]
) -> None:
    """By rows each step also carries the values it is for."""
    fields = ("label", "kind", "quantity", "unit_amount", "per", "percent", "from", "up_to", "amount")

    def told(rating: Rating) -> list[str]:
        return ["|".join(str(step.as_json()[name] or "-") for name in fields) for step in rating.working]

    assert told(rated(quantity, **terms)) == expected
    own = {name: each for name, each in terms.items() if name not in ("model", "per")}
    of_rate = {name: each for name, each in terms.items() if name in ("model", "per")}
    by_rows = usage_rate(dimensions=["team"], rows=[{"match": {}} | own], **of_rate)
    group = GroupUsage({"team": "A"}, Decimal(quantity))
    rating = rate(by_rows, Usage(Decimal(quantity), groups=(group,)))
    assert told(rating) == expected
    assert {step.group["team"] for step in rating.working if step.group} == {"A"}
    assert all(step.group for step in rating.working)


@pytest.mark.parametrize("quantity", ["NaN", "Infinity", "-Infinity"])
def test_quantity_must_be_finite(quantity: str) -> None:
    with pytest.raises(NotANumber):
        amount(quantity, model="per_unit", unit_amount="1")


def test_negative_quantity_is_refused() -> None:
    with pytest.raises(NegativeQuantity):
        amount("-1", model="per_unit", unit_amount="1")


def test_volume_below_zero_costs_nothing() -> None:
    """No tier holds it, so not even the flat fee of the first one is owed; a minimum is."""
    tiers = [{"up_to": "100", "unit_amount": "2", "flat_amount": "10"}, {"up_to": None, "unit_amount": "1"}]
    assert amounts("-5", model="volume", tiers=tiers) == [("free", "0")]
    assert amounts("-5", model="volume", tiers=tiers, included_units="7") == [("free", "0")]
    assert amount("-5", model="volume", tiers=tiers, minimum_amount="3") == 3
    assert amount("0", model="volume", tiers=tiers) == 10
    for more in ({}, {"included_units": "7"}):
        terms = {"model": "volume", "tiers": tiers, **more}
        assert amount_of(terms, Used(Fraction(-5))) == 0
    assert amount_of({"model": "volume", "tiers": tiers}, Used(Fraction(0))) == 10


def test_rate_without_any_price_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        rate(UsageRate("m", "per_unit", None), Usage(Decimal(1)))
