from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from billing.explaining import explain_line, explain_step
from billing.formatting import direction, moment, money, period, plural, quantity, quantity_of, told_in
from billing.rating import Usage, parse_rate, rate
from billing.rating.terms import UsageRate


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        ("240.0000", "USD", "$240.00"),
        ("1234567.5", "USD", "$1,234,567.50"),
        ("0.00001", "USD", "$0.00001"),
        ("0.000000000000000001", "USD", "$0.000000000000000001"),
        ("-5", "USD", "-$5.00"),
        ("-0.00", "USD", "$0.00"),
        ("1E+3", "USD", "$1,000.00"),
        ("1200", "JPY", "¥1,200"),
        ("1.5", "KWD", "KWD\u00a01.500"),
        ("-1.5", "KWD", "-KWD\u00a01.500"),
        ("123456789012345678901234567890.12", "EUR", "€123,456,789,012,345,678,901,234,567,890.12"),
    ],
)
def test_money_has_the_digits_of_its_currency_and_all_it_needs(
    amount: str, currency: str, written: str
) -> None:
    assert money(Decimal(amount), currency) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [("1234.50", "1,234.5"), ("120", "120"), ("0.00", "0"), ("-0", "0"), ("1E+3", "1,000")],
)
def test_quantities_have_no_needless_zeros(value: str, written: str) -> None:
    assert quantity(Decimal(value)) == written


@pytest.mark.parametrize(
    ("unit", "many"),
    [
        ("ticket", "tickets"),
        ("API call", "API calls"),
        ("query", "queries"),
        ("day", "days"),
        ("box", "boxes"),
        ("tokens", "tokens"),
        ("GB", "GB"),
        ("kWh", "kWh"),
        ("工单", "工单"),
        ("", ""),
    ],
)
def test_units_have_a_plural_and_abbreviations_none(unit: str, many: str) -> None:
    assert plural(unit) == many


def test_one_of_a_unit_is_singular() -> None:
    assert quantity_of(Decimal(1), "ticket") == "1 ticket"
    assert quantity_of(Decimal(0), "ticket") == "0 tickets"
    assert quantity_of(Decimal("1.5"), "ticket") == "1.5 tickets"
    assert quantity_of(Decimal(120), "") == "120"


@pytest.mark.parametrize(
    ("first", "end", "written"),
    [
        (date(2026, 10, 1), date(2026, 11, 1), "1–31 October 2026"),
        (date(2026, 10, 16), date(2026, 11, 16), "16 October – 15 November 2026"),
        (date(2026, 12, 16), date(2027, 1, 16), "16 December 2026 – 15 January 2027"),
        (date(2026, 12, 1), date(2027, 1, 1), "1–31 December 2026"),
        (date(2026, 10, 5), date(2026, 10, 6), "5 October 2026"),
    ],
)
def test_a_period_names_its_last_day(first: date, end: date, written: str) -> None:
    assert period(first, end) == written


def test_a_moment_is_told_by_the_clock_of_its_zone() -> None:
    last_instant = datetime(2026, 10, 31, 22, 59, 59, 999999, tzinfo=UTC)
    assert moment(last_instant, "Europe/Berlin") == "31 Oct 2026, 23:59:59"
    assert moment(last_instant, "Pacific/Auckland") == "1 Nov 2026, 11:59:59"


def test_a_text_runs_the_way_of_its_first_letter() -> None:
    assert direction("شركة 12") == "rtl"
    assert direction("12 רחוב") == "rtl"
    assert direction("Acme שלום") == "ltr"
    assert direction("12 - 3") == "ltr"


def sentences(terms: dict[str, object], used: str, *, unit: str = "ticket") -> list[str]:
    parsed = parse_rate({"kind": "usage", "meter": "m"} | terms)
    assert isinstance(parsed, UsageRate)
    steps = rate(parsed, Usage(Decimal(used))).working
    words = [explain_step(step, currency="USD", unit=unit) for step in steps]
    return [" | ".join(filter(None, (each.group, each.label, each.sentence))) for each in words]


def test_a_price_per_unit_is_explained_as_a_multiplication() -> None:
    assert sentences({"model": "per_unit", "unit_amount": "2.00"}, "120") == ["120 tickets × $2.00 = $240.00"]


def test_a_price_for_a_million_names_the_million() -> None:
    terms = {"model": "per_unit", "unit_amount": "0.50", "per": 1000000}
    assert sentences(terms, "9600000", unit="token") == [
        "9,600,000 tokens × $0.50 per 1,000,000 tokens = $4.80"
    ]


def test_tiers_included_units_and_a_minimum_are_explained_step_by_step() -> None:
    tiers = [{"up_to": "100", "unit_amount": "2"}, {"up_to": None, "unit_amount": "1", "flat_amount": "5"}]
    terms = {"model": "graduated", "tiers": tiers, "included_units": "20", "minimum_amount": "300"}
    # 140 used: 20 included, 100 x 2 = 200, 20 x 1 = 20, flat 5: 225, raised by 75
    assert sentences(terms, "140") == [
        "Included: first 20 | 20 tickets = $0.00",
        "Up to 100 | 100 tickets × $2.00 = $200.00",
        "Over 100 | 20 tickets × $1.00 = $20.00",
        "Flat fee: over 100 | $5.00",
        "Raised to the minimum of 300 | $75.00",
    ]


def test_packages_and_percentages_are_explained() -> None:
    package = {"model": "package", "package_size": "1000", "package_amount": "10"}
    assert sentences(package, "2001") == ["Packages of 1,000 | 3 × $10.00 = $30.00"]
    share = {"model": "percentage", "percent": "2.9"}
    assert sentences(share, "1000", unit="") == ["$1,000.00 × 2.9 % = $29.00"]


def line_of(terms: dict[str, object], used: str, *, amount: str) -> SimpleNamespace:
    parsed = parse_rate({"kind": "usage", "meter": "m"} | terms)
    assert isinstance(parsed, UsageRate)
    working = [step.as_json() for step in rate(parsed, Usage(Decimal(used))).working]
    return SimpleNamespace(
        kind="usage",
        description="Tickets",
        unit="ticket",
        quantity=Decimal(used),
        unit_amount=None,
        amount=Decimal(amount),
        working=working,
    )


def test_a_rounded_single_step_says_so_in_one_sentence() -> None:
    terms = {"model": "per_unit", "unit_amount": "0.00031"}
    words = explain_line(line_of(terms, "40", amount="0.01"), currency="USD")
    assert [step.sentence for step in words.steps] == ["40 tickets × $0.00031 = $0.0124, rounded to $0.01"]
    assert words.rounding == ""


def test_a_sum_with_more_digits_than_usual_is_added_exactly() -> None:
    tiers = [
        {"up_to": "1", "unit_amount": "0.000000000000000001"},
        {"up_to": None, "unit_amount": "1000000000000000"},
    ]
    line = line_of({"model": "graduated", "tiers": tiers}, "1001", amount="1000000000000000000")
    words = explain_line(line, currency="USD")
    assert words.rounding == (
        "$1,000,000,000,000,000,000.000000000000000001, rounded to $1,000,000,000,000,000,000.00"
    )


def test_a_fee_is_not_explained_by_repeating_it() -> None:
    step = {
        "label": "Platform fee",
        "kind": "flat",
        "amount": "49.00",
        "quantity": "1",
        "unit_amount": "49.00",
    }
    blank = dict.fromkeys(("per", "percent", "from", "up_to", "group"))
    line = SimpleNamespace(
        kind="subscription",
        description="Platform fee",
        unit="",
        quantity=Decimal(1),
        unit_amount=Decimal("49.00"),
        amount=Decimal("49.00"),
        working=[step | blank],
    )
    words = explain_line(line, currency="USD")
    assert (words.steps, words.unit_price, words.amount, words.quantity) == ((), "$49.00", "$49.00", "")


def test_instants_of_a_sentence_are_told_in_a_zone() -> None:
    sentence = "Reversed at 2026-10-04 02:30 UTC, after it had settled at 2026-10-03 23:59 UTC."
    assert told_in(sentence, "America/New_York") == (
        "Reversed at 3 October 2026, 22:30, after it had settled at 3 October 2026, 19:59."
    )
    assert told_in("No activity for its subject.", "Asia/Tokyo") == "No activity for its subject."
