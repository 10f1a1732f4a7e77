"""Terms are refused when they are written, with every wrong field named."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing.rating import OneTimeRate, SubscriptionRate, TermsError, UsageRate, parse_rate

PER_UNIT: dict[str, object] = {"kind": "usage", "meter": "m", "model": "per_unit", "unit_amount": "2.00"}


def refused(**terms: object) -> TermsError:
    with pytest.raises(TermsError) as caught:
        parse_rate(terms)
    assert str(caught.value) == caught.value.message
    return caught.value


def refused_tiers(*tiers: dict[str, object], model: str = "graduated") -> TermsError:
    return refused(kind="usage", meter="m", model=model, tiers=list(tiers))


def test_per_unit_rate_of_the_api_reads_and_writes_back() -> None:
    terms = PER_UNIT | {"included_units": "0", "minimum_amount": None, "maximum_amount": None}
    rate = parse_rate(terms)
    assert isinstance(rate, UsageRate)
    assert rate.meter == "m"
    assert rate.as_json() == terms


@pytest.mark.parametrize(
    "terms",
    [
        {"model": "per_unit", "unit_amount": "0.07", "per": "1000000"},
        {"model": "graduated", "tiers": [{"up_to": "100", "unit_amount": "2"}, {"unit_amount": "1"}]},
        {"model": "volume", "tiers": [{"up_to": None, "flat_amount": "9"}], "included_units": "5"},
        {"model": "package", "package_size": "1000", "package_amount": "10"},
        {"model": "stairstep", "tiers": [{"up_to": "250", "flat_amount": "10"}]},
        {"model": "percentage", "percent": "2.9"},
        {
            "model": "percentage",
            "percent": "2.9",
            "fixed_amount": "0.30",
            "free_events": 3,
            "free_amount": "5",
            "per_event_minimum": "1",
            "per_event_maximum": "2",
        },
        {"model": "graduated_percentage", "tiers": [{"up_to": "10", "percent": "1"}, {"percent": "2"}]},
        {"model": "dynamic", "minimum_amount": "10", "maximum_amount": "20"},
        {
            "model": "per_unit",
            "dimensions": ["model", "type"],
            "rows": [{"match": {"model": "a"}, "unit_amount": "1"}, {"match": {}, "unit_amount": "2"}],
        },
        {
            "model": "graduated",
            "tiers": [{"up_to": None, "unit_amount": "2"}],
            "dimensions": ["region"],
            "rows": [{"match": {"region": "eu"}, "minimum_amount": "1", "included_units": "3"}],
            "tiers_apply": "pooled",
            "unmatched": "free",
        },
        {
            "model": "dynamic",
            "dimensions": ["region"],
            "rows": [{"match": {"region": "eu"}, "maximum_amount": "1"}],
            "unmatched": "listed",
        },
    ],
)
def test_what_is_written_reads_back_equal(terms: dict[str, object]) -> None:
    rate = parse_rate({"kind": "usage", "meter": "m", **terms})
    assert parse_rate(rate.as_json()) == rate


def test_subscription_and_one_time_rates() -> None:
    terms = {"kind": "subscription", "label": "Pro", "amount": "199.00", "timing": "in_arrears"}
    assert parse_rate(terms) == SubscriptionRate("Pro", Decimal("199.00"), "in_arrears", prorated=True)
    assert parse_rate(terms | {"prorated": False}).as_json() == terms | {"prorated": False}
    seats = terms | {"prorated": True, "per_seat": True}
    assert parse_rate(seats).as_json() == seats
    once = {"kind": "one_time", "label": "Set-up", "amount": "500.00"}
    assert parse_rate(once) == OneTimeRate("Set-up", Decimal(500))
    assert parse_rate(once).as_json() == once


def test_a_percentage_without_allowances_is_written_with_none_of_them() -> None:
    terms = {"kind": "usage", "meter": "m", "model": "percentage", "percent": "2.9"}
    assert parse_rate(terms).as_json() == terms | {
        "fixed_amount": "0", "free_events": 0, "free_amount": "0", "per_event_minimum": None,
        "per_event_maximum": None, "minimum_amount": None, "maximum_amount": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2.50", "2.50"), (3, "3"), (Decimal("1E+3"), "1000"), ("1e-5", "0.00001"), ("-0", "0"), ("+4", "4")],
)
def test_decimals_come_as_text_ints_or_decimals(value: object, expected: str) -> None:
    assert parse_rate(PER_UNIT | {"unit_amount": value}).as_json()["unit_amount"] == expected


@pytest.mark.parametrize(
    "value",
    [
        2.5,
        True,
        "NaN",
        "Infinity",
        Decimal("NaN"),
        Decimal("Infinity"),
        "1_000",
        "1,000",
        " 1",
        "",
        "\u0661",
        "0x10",
        [],
        {},
        "1e400",
        Decimal("1e-400"),
        10**40,
        "1" * 31,
        "0." + "1" * 19,
        "1" * 20 + "." + "1" * 18,
        "9" * 100_000,
    ],
)
def test_anything_but_an_exact_decimal_is_refused(value: object) -> None:
    error = refused(**PER_UNIT | {"unit_amount": value})
    assert error.code == "not_a_number"
    assert list(error.fields) == ["unit_amount"]


def test_thirty_digits_and_eighteen_decimals_are_allowed() -> None:
    parse_rate(PER_UNIT | {"unit_amount": "9" * 12 + "." + "9" * 18, "minimum_amount": "9" * 30})


def test_negative_price_is_refused_with_what_to_do() -> None:
    error = refused(**PER_UNIT | {"unit_amount": "-0.01"})
    assert error.code == "negative"
    assert error.fields == {
        "unit_amount": "unit_amount cannot be negative. Give money back with a credit or a discount."
    }


def test_unknown_field_is_named() -> None:
    error = refused(**PER_UNIT | {"unit_price": "2"})
    assert error.code == "unknown_field"
    assert "unit_price" in error.fields


@pytest.mark.parametrize("model", ["percentage", "graduated_percentage", "dynamic"])
def test_amount_models_have_no_included_units(model: str) -> None:
    assert "included_units" in refused(kind="usage", meter="m", model=model, included_units="1").fields


@pytest.mark.parametrize("model", ["package", "stairstep", "percentage"])
def test_only_unit_prices_are_quoted_per_units(model: str) -> None:
    assert "per" in refused(kind="usage", meter="m", model=model, per="100").fields


def test_all_problems_are_reported_at_once() -> None:
    error = refused(
        kind="usage", model="package", package_size="0", minimum_amount="5", maximum_amount="4", x=1
    )
    assert error.fields.keys() == {"meter", "package_size", "package_amount", "minimum_amount", "x"}
    assert error.code == "required"
    assert error.message == "meter is missing. (4 more to correct.)"
    assert [problem.code for problem in error.problems] == [
        "required",
        "not_positive",
        "required",
        "minimum_above_maximum",
        "unknown_field",
    ]


@pytest.mark.parametrize("terms", [None, [], "x", 1, {1: "x"}])
def test_terms_must_be_an_object(terms: object) -> None:
    with pytest.raises(TermsError) as caught:
        parse_rate(terms)  # type: ignore[arg-type]
    assert caught.value.code == "not_an_object"


@pytest.mark.parametrize(
    ("terms", "field", "code"),
    [
        ({}, "kind", "required"),
        ({"kind": "gift"}, "kind", "unknown_choice"),
        ({"kind": ["usage"]}, "kind", "unknown_choice"),
        ({"kind": "usage", "meter": "m"}, "model", "required"),
        ({"kind": "usage", "meter": "m", "model": "magic"}, "model", "unknown_choice"),
        (PER_UNIT | {"meter": ""}, "meter", "not_text"),
        (PER_UNIT | {"meter": 7}, "meter", "not_text"),
        (PER_UNIT | {"meter": "a\x00b"}, "meter", "not_text"),
        (PER_UNIT | {"meter": "\ud800"}, "meter", "not_text"),
        (PER_UNIT | {"meter": "a\udfff"}, "meter", "not_text"),
        (PER_UNIT | {"meter": "a\x1fb"}, "meter", "not_text"),
        (PER_UNIT | {"meter": "x" * 201}, "meter", "not_text"),
        (PER_UNIT | {"per": "0"}, "per", "per_not_exact"),
        (PER_UNIT | {"per": "3"}, "per", "per_not_exact"),
        (PER_UNIT | {"per": "2.5"}, "per", "not_whole"),
        (PER_UNIT | {"per": str(2**40)}, "per", "per_not_exact"),  # a little more than 10^12
        (PER_UNIT | {"unit_amount": None}, "unit_amount", "required"),
        (PER_UNIT | {"unit_amount": None, "per": "1000"}, "unit_amount", "required"),
        (
            {"kind": "usage", "meter": "m", "model": "package", "package_amount": "1"},
            "package_size",
            "required",
        ),
        ({"kind": "subscription", "label": "P", "amount": "1", "per": "2"}, "per", "unknown_field"),
        ({"kind": "one_time", "label": "P", "amount": "1", "per": "2"}, "per", "unknown_field"),
        (
            {"kind": "subscription", "label": "P", "amount": "1", "timing": "later"},
            "timing",
            "unknown_choice",
        ),
        ({"kind": "subscription", "label": "P", "amount": "1", "prorated": "no"}, "prorated", "not_a_flag"),
        ({"kind": "subscription", "amount": "1"}, "label", "required"),
        ({"kind": "one_time", "label": "P"}, "amount", "required"),
        ({"kind": "one_time", "amount": "-1", "label": "P"}, "amount", "negative"),
        (
            {"kind": "usage", "meter": "m", "model": "percentage", "percent": "1", "free_events": "1.5"},
            "free_events",
            "not_whole",
        ),
        ({"kind": "usage", "meter": "m", "model": "percentage"}, "percent", "required"),
        (
            {
                "kind": "usage",
                "meter": "m",
                "model": "percentage",
                "percent": "1",
                "per_event_minimum": "2",
                "per_event_maximum": "1",
            },
            "per_event_minimum",
            "minimum_above_maximum",
        ),
        ({"kind": "usage", "meter": "m", "model": "graduated"}, "tiers", "required"),
        ({"kind": "usage", "meter": "m", "model": "graduated", "tiers": {}}, "tiers", "not_a_list"),
        ({"kind": "usage", "meter": "m", "model": "graduated", "tiers": []}, "tiers", "not_a_list"),
        ({"kind": "usage", "meter": "m", "model": "graduated", "tiers": "ab"}, "tiers", "not_a_list"),
        (
            {"kind": "usage", "meter": "m", "model": "graduated", "tiers": [{}] * 1001},
            "tiers",
            "not_a_list",
        ),
        ({"kind": "usage", "meter": "m", "model": "graduated", "tiers": [1]}, "tiers.0", "not_an_object"),
    ],
)
def test_wrong_field_is_named(terms: dict[str, object], field: str, code: str) -> None:
    error = refused(**terms)
    assert error.code == code
    assert next(iter(error.fields)) == field
    assert len(error.problems) == 1


def test_every_row_that_is_no_object_is_named() -> None:
    error = refused(kind="usage", meter="m", model="graduated", tiers=[1, {"unit_amount": "1"}, "x"])
    assert list(error.fields) == ["tiers.0", "tiers.2"]


@pytest.mark.parametrize(
    "terms",
    [
        PER_UNIT | {"per": str(10**12)},
        PER_UNIT | {"minimum_amount": "5", "maximum_amount": "5.0"},
        PER_UNIT | {"meter": "x y" + "z" * 197},
        PER_UNIT | {"dimensions": [f"d{n}" for n in range(20)], "rows": [{"match": {}}]},
        {
            "kind": "usage",
            "meter": "m",
            "model": "volume",
            "tiers": [
                *({"up_to": n, "unit_amount": "1"} for n in range(999)),
                {"unit_amount": "1"},
            ],
        },  # a thousand tiers
        {"kind": "usage", "meter": "m", "model": "percentage", "percent": "1"}
        | {"per_event_minimum": "2", "per_event_maximum": "2"},
    ],
)
def test_what_is_just_within_its_limits_is_allowed(terms: dict[str, object]) -> None:
    parse_rate(terms)


def test_per_of_one_is_the_same_as_none() -> None:
    assert parse_rate(PER_UNIT | {"per": 1}) == parse_rate(PER_UNIT)


class TestTiers:
    def test_only_one_tier_is_open(self) -> None:
        error = refused_tiers({"unit_amount": "1"}, {"unit_amount": "1"}, {"unit_amount": "1"})
        assert error.code == "two_open_tiers"
        assert list(error.fields) == ["tiers.1.up_to", "tiers.2.up_to"]
        assert error.fields["tiers.1.up_to"].startswith("Tier 2: Tier 1 is open already.")

    def test_the_open_tier_is_the_last(self) -> None:
        error = refused_tiers({"up_to": None, "unit_amount": "1"}, {"up_to": "20", "unit_amount": "1"})
        assert (error.code, list(error.fields)) == ("open_tier_not_last", ["tiers.0.up_to"])

    def test_bounds_are_not_repeated(self) -> None:
        error = refused_tiers(
            {"up_to": "20", "unit_amount": "1"},
            {"up_to": "20.0", "unit_amount": "1"},
            {"up_to": None, "unit_amount": "1"},
        )
        assert (error.code, list(error.fields)) == ("duplicate_bound", ["tiers.1.up_to"])

    def test_bounds_are_not_repeated_further_down(self) -> None:
        tiers: list[dict[str, object]] = [
            {"up_to": bound, "unit_amount": "1"} for bound in (10, 20, 10, None)
        ]
        error = refused_tiers(*tiers)
        assert (error.code, list(error.fields)) == ("duplicate_bound", ["tiers.2.up_to"])
        assert "is the bound of tier 1 already" in error.message

    def test_bounds_rise(self) -> None:
        error = refused_tiers(
            {"up_to": "20", "unit_amount": "1"},
            {"up_to": "10", "unit_amount": "1"},
            {"up_to": None, "unit_amount": "1"},
        )
        assert (error.code, list(error.fields)) == ("bound_not_rising", ["tiers.1.up_to"])

    def test_the_last_tier_is_open(self) -> None:
        error = refused_tiers({"up_to": "20", "unit_amount": "1"}, model="volume")
        assert (error.code, list(error.fields)) == ("last_tier_not_open", ["tiers.0.up_to"])

    def test_a_tier_states_its_price(self) -> None:
        error = refused_tiers({"up_to": "20"}, {"up_to": None, "flat_amount": "0"})
        assert (error.code, list(error.fields)) == ("required", ["tiers.0.unit_amount"])
        assert list(refused_tiers({"up_to": "20"}, model="stairstep").fields) == ["tiers.0.flat_amount"]
        assert list(refused_tiers({}, model="graduated_percentage").fields) == ["tiers.0.percent"]

    def test_a_stairstep_has_no_unit_price(self) -> None:
        error = refused_tiers({"up_to": None, "flat_amount": "1", "unit_amount": "1"}, model="stairstep")
        assert (error.code, list(error.fields)) == ("unknown_field", ["tiers.0.unit_amount"])

    def test_a_bound_that_is_no_number_is_named_alone(self) -> None:
        error = refused_tiers({"up_to": "many", "unit_amount": "1"}, {"up_to": None, "unit_amount": "1"})
        assert list(error.fields) == ["tiers.0.up_to"]
        assert error.fields["tiers.0.up_to"].startswith("Tier 1: up_to: Give a decimal number")


class TestRows:
    def refused(self, *rows: object, **terms: object) -> TermsError:
        usage = {"kind": "usage", "meter": "m", "model": "per_unit", "dimensions": ["region"]}
        return refused(**usage | {"rows": list(rows)} | terms)

    def test_catch_all_or_a_word_about_the_rest_is_required(self) -> None:
        error = self.refused({"match": {"region": "eu"}, "unit_amount": "1"})
        assert (error.code, list(error.fields)) == ("catch_all_missing", ["rows"])

    def test_catch_all_leaves_nothing_unmatched(self) -> None:
        error = self.refused({"match": {}, "unit_amount": "1"}, unmatched="free")
        assert (error.code, list(error.fields)) == ("unmatched_not_used", ["unmatched"])

    def test_each_match_is_listed_once(self) -> None:
        error = self.refused({"match": {}, "unit_amount": "1"}, {"match": {}, "unit_amount": "2"})
        assert (error.code, list(error.fields)) == ("duplicate_row", ["rows.1.match"])
        assert error.message == "Row 2: match is the same as in row 1. Remove one of them."

    def test_rows_are_compared_also_after_one_that_is_wrong(self) -> None:
        twice = {"match": {"region": "eu"}, "unit_amount": "1"}
        error = self.refused({"match": None, "unit_amount": "1"}, twice, twice, unmatched="free")
        assert list(error.fields) == ["rows.0.match", "rows.2.match"]

    def test_there_are_at_most_ten_thousand_rows(self) -> None:
        assert self.refused(*[1] * 10_001).code == "not_a_list"
        assert self.refused(*[1] * 10_000).code == "not_an_object"

    def test_match_names_dimensions_of_the_rate(self) -> None:
        error = self.refused({"match": {"zone": "eu"}, "unit_amount": "1"}, unmatched="free")
        assert (error.code, list(error.fields)) == ("unknown_dimension", ["rows.0.match.zone"])

    @pytest.mark.parametrize("value", [1, None, "x" * 201])
    def test_match_values_are_text(self, value: object) -> None:
        error = self.refused({"match": {"region": value}, "unit_amount": "1"}, unmatched="free")
        assert (error.code, list(error.fields)) == ("not_text", ["rows.0.match.region"])

    @pytest.mark.parametrize("match", [None, "eu", [], {1: "eu"}])
    def test_match_is_an_object(self, match: object) -> None:
        error = self.refused({"match": match, "unit_amount": "1"}, unmatched="free")
        assert (error.code, list(error.fields)) == ("required", ["rows.0.match"])

    @pytest.mark.parametrize(
        "names", [None, "region", [], [""], ["a", ""], ["a", "a"], [1], ["x"] * 21, [[]]]
    )
    def test_dimensions_are_different_names(self, names: object) -> None:
        error = self.refused({"match": {}, "unit_amount": "1"}, dimensions=names)
        assert (error.code, list(error.fields)) == ("bad_dimensions", ["dimensions"])

    def test_dimensions_need_rows(self) -> None:
        error = refused(**PER_UNIT | {"dimensions": ["region"]})
        assert (error.code, list(error.fields)) == ("required", ["rows"])

    def test_empty_lists_mean_no_rows(self) -> None:
        assert parse_rate(PER_UNIT | {"dimensions": [], "rows": []}) == parse_rate(PER_UNIT)

    def test_row_without_any_price_names_what_is_missing(self) -> None:
        error = self.refused({"match": {}})
        assert (error.code, list(error.fields)) == ("required", ["rows.0.unit_amount"])

    def test_price_of_the_rate_must_be_used_by_a_row(self) -> None:
        error = self.refused({"match": {}, "unit_amount": "1"}, unit_amount="2")
        assert (error.code, list(error.fields)) == ("price_not_used", ["unit_amount"])
        # One that could not be read is no price of its own.
        error = self.refused({"match": {}, "unit_amount": "x"}, unit_amount="2")
        assert list(error.fields) == ["rows.0.unit_amount"]

    def test_included_units_stand_on_the_rows(self) -> None:
        error = self.refused({"match": {}, "unit_amount": "1"}, included_units="2")
        assert (error.code, list(error.fields)) == ("included_units_on_rows", ["included_units"])

    def test_tier_of_a_row_is_named(self) -> None:
        error = self.refused({"match": {}, "tiers": [{"up_to": "5", "unit_amount": "1"}]}, model="volume")
        assert list(error.fields) == ["rows.0.tiers.0.up_to"]
        assert error.message.startswith("Row 1: Tier 1: up_to of the last tier must be empty")

    def test_unknown_words_are_refused(self) -> None:
        row = {"match": {}, "unit_amount": "1"}
        assert "tiers_apply" in self.refused(row, tiers_apply="both").fields
        assert "unmatched" in self.refused(row, unmatched="ignored").fields
        assert "rows.0.price" in self.refused(row | {"price": "1"}).fields
