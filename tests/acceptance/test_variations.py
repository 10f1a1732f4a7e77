"""The collected cases at other quantities, days and currencies, against sums in plain fractions.

A case of another system is one point; the same terms are tried here at nothing, at each bound and just beside it, and
at very much. What is expected is counted in the shortest way that is right, not in the way that the product counts.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Any

import pytest

from tests.acceptance.adapters import answer
from tests.acceptance.cases_on_disk import Case, load_cases
from tests.acceptance.conftest import COLLECTED_CASES

CASES = load_cases(COLLECTED_CASES)
LITTLE = Decimal("0.000001")
EDGES = [Decimal(0), LITTLE, Decimal("0.5"), Decimal(1), Decimal("123456789.123456"), Decimal(10) ** 15]
DIGITS = {"usd": 2, "eur": 2, "jpy": 0, "krw": 0, "kwd": 3, "bhd": 3}


def cases(*areas: str, having: str = "") -> list[Any]:
    """Give each case of some areas once for its terms: those that differ in a quantity alone are one."""
    found: dict[str, Any] = {}
    for case in CASES:
        if case["area"] in areas and (not having or having in case["given"]):
            terms = {name: each for name, each in case["given"].items() if name != "quantity"}
            found.setdefault(f"{case['area']} {terms}", pytest.param(case, id=case["id"]))
    assert found
    return list(found.values())


def half_up(value: Fraction, digits: int = 0) -> Fraction:
    scaled = abs(value) * 10**digits
    rounded = Fraction(floor(scaled + Fraction(1, 2)), 10**digits)
    return -rounded if value < 0 else rounded


def around(bounds: list[Decimal]) -> list[Decimal]:
    beside = (bound + change for bound in bounds for change in (-LITTLE, Decimal(0), LITTLE))
    return sorted({*EDGES, *(quantity for quantity in beside if quantity >= 0)})


def rows_of(rows: list[dict[str, Any]]) -> list[tuple[Fraction, Fraction | None, Fraction, Fraction]]:
    """Give from, up to, price of a unit and flat fee of each tier."""
    bounds = [None if row["up_to"] is None else Fraction(str(row["up_to"])) for row in rows]
    starts = [Fraction(0), *(bound for bound in bounds[:-1] if bound is not None)]
    return [
        (
            start,
            bound,
            Fraction(str(row.get("unit") or 0)),
            Fraction(str(row.get("flat") or row.get("price") or 0)),
        )
        for start, bound, row in zip(starts, bounds, rows, strict=True)
    ]


def expected_of_tiers(mode: str, rows: list[dict[str, Any]], used: Fraction) -> Fraction | None:
    """None: the last tier has a bound, and the quantity is beyond it."""
    tiers = rows_of(rows)
    if mode == "graduated":
        return sum(
            (
                (min(used, used if up_to is None else up_to) - start) * unit + flat
                for place, (start, up_to, unit, flat) in enumerate(tiers)
                if used > start or not place
            ),
            Fraction(0),
        )
    for _, up_to, unit, flat in tiers:
        if up_to is None or used <= up_to:
            return used * unit + flat
    return None


@pytest.mark.parametrize(
    "collected",
    cases("rating.graduated", "rating.volume", "rating.minimum", "rating.maximum", having="tiers"),
)
def test_tiers_at_every_bound(collected: Case) -> None:
    given = collected["given"]
    mode = given.get("mode") or collected["area"].removeprefix("rating.")
    for quantity in around([Decimal(row["up_to"]) for row in given["tiers"] if row["up_to"] is not None]):
        figures = answer(collected["area"], given | {"quantity": str(quantity)})
        usage = expected_of_tiers(mode, given["tiers"], Fraction(quantity))
        assert usage is not None
        assert Fraction(figures["usage"]) == usage, quantity
        low, high = (Fraction(given[name]) if given.get(name) else None for name in ("minimum", "maximum"))
        total = usage if low is None else max(usage, low)
        assert Fraction(figures["total"]) == (total if high is None else min(total, high)), quantity


@pytest.mark.parametrize("collected", cases("rating.stairstep"))
def test_steps_at_every_bound(collected: Case) -> None:
    steps = collected["given"]["steps"]
    for quantity in around([Decimal(row["up_to"]) for row in steps if row["up_to"] is not None]):
        expected = expected_of_tiers("stairstep", steps, Fraction(quantity))
        figures = answer("rating.stairstep", {"steps": steps, "quantity": str(quantity)})
        assert figures.get("amount") == expected, quantity
        assert figures.get("error") == ("beyond_last_step" if expected is None else None)


@pytest.mark.parametrize("collected", cases("rating.package", "rating.per_unit"))
def test_packages_and_units_at_every_bound(collected: Case) -> None:
    given = collected["given"]
    size = Decimal(given.get("package_size", 1))
    free = Fraction(given.get("free_units") or 0)
    for quantity in around([size, 2 * size, 1000 * size, Decimal(given.get("free_units") or 1)]):
        beyond = max(Fraction(quantity) - free, Fraction(0))
        if collected["area"] == "rating.package":
            expected = ceil(beyond / Fraction(size)) * Fraction(given["package_price"])
        else:
            expected = beyond * Fraction(given["unit_amount"])
        assert answer(collected["area"], given | {"quantity": str(quantity)})["amount"] == expected, quantity


@pytest.mark.parametrize("collected", cases("rating.graduated_percentage", "rating.percentage"))
def test_percentages_of_other_amounts(collected: Case) -> None:
    given = collected["given"]
    if collected["area"] == "rating.graduated_percentage":
        ranges = [row | {"unit": str(Decimal(row["rate_percent"]) / 100)} for row in given["ranges"]]
        for amount in around([Decimal(row["up_to"]) for row in ranges if row["up_to"] is not None]):
            expected = expected_of_tiers("graduated", ranges, Fraction(amount)) if amount else 0
            assert answer(collected["area"], given | {"amount": str(amount)})["amount"] == expected, amount
        return
    for amounts in (["0.01"], ["10"] * 5, ["9999999.99", "0.01"], [str(number) for number in range(1, 60)]):
        paying = []
        before, count = Fraction(0), 0
        events, sums = given.get("free_events"), Fraction(given.get("free_amount") or 0)
        for text in amounts:
            sold, covered = Fraction(text), Fraction(0)
            if (events or sums) and (not events or count < events) and (not sums or before < sums):
                covered = min(sold, sums - before) if sums else sold
                count, before = count + 1, before + covered
            if covered < sold:
                paying.append(sold - covered)
        rate, fixed = Fraction(given["rate_percent"]) / 100, Fraction(given.get("fixed_per_event") or 0)
        low, high = (
            Fraction(given.get(name) or text)
            for name, text in (("per_event_min", 0), ("per_event_max", 10**9))
        )
        expected = sum((min(max(part * rate + fixed, low), high) for part in paying), Fraction(0))
        assert answer(collected["area"], given | {"event_amounts": amounts})["amount"] == expected, amounts


@pytest.mark.parametrize("currency", DIGITS)
def test_lines_of_every_currency(currency: str) -> None:
    digits = DIGITS[currency]
    for number in range(-40, 41):
        amount = Decimal(number).scaleb(-digits - 1) + Decimal(number // 7)
        expected = half_up(Fraction(amount), digits)
        assert (
            answer("invoice.rounding", {"amount": str(amount), "currency": currency})["rounded"] == expected
        )
        lines = {"each": str(amount), "count": 7}
        found = answer("invoice.rounding", {"lines": lines, "currency": currency.upper()})
        assert found["subtotal"] == 7 * expected


@pytest.mark.parametrize("currency", DIGITS)
def test_discounts_and_tax_of_every_currency(currency: str) -> None:
    digits = DIGITS[currency]
    for price in ("0", "0.005", "1", "99.995", "1000", "999999.99"):
        printed = half_up(Fraction(price), digits)
        for percent in ("0", "0.1", "12.345", "33.333", "50", "100"):
            off = half_up(printed * Fraction(percent) / 100, digits)
            figures = answer(
                "invoice.discount", {"price": price, "percent_off": percent, "currency": currency}
            )
            assert (figures["discount"], figures["final"]) == (off, printed - off), (price, percent)
        for percent in ("0", "7.5", "8.875", "21", "100"):
            net = half_up(printed / (1 + Fraction(percent) / 100), digits)
            figures = answer(
                "invoice.tax_inclusive", {"gross": price, "tax_percent": percent, "currency": currency}
            )
            assert (figures["net"], figures["tax"]) == (net, printed - net), (price, percent)


@pytest.mark.parametrize("collected", cases("invoice.discount_split"))
def test_parts_of_a_discount_are_the_whole(collected: Case) -> None:
    lines = collected["given"]["lines_cents"]
    whole = sum(lines)
    for cents in range(0, whole + 3, max(whole // 97, 1)):
        parts = answer("invoice.discount_split", {"lines_cents": lines, "discount_cents": cents})["split"]
        assert sum(parts) == min(cents, whole)
        for line, part in zip(lines, parts, strict=True):
            assert 0 <= part <= line
            assert abs(Fraction(part) - Fraction(min(cents, whole) * line, whole)) < 1


@pytest.mark.parametrize("collected", cases("proration.plan_change"))
def test_every_day_of_a_cycle(collected: Case) -> None:
    """Also at the prices of currencies without minor units and with thousandths."""
    given = collected["given"]
    start = date.fromisoformat(given["cycle_start"])
    end = shifted(start, {"month": 1, "year": 12}[given["cycle"]])
    whole = (end - start).days
    old, new = (Fraction(given[name]) for name in ("old_cents", "new_cents"))
    for days in range(0, whole + 1, 1 if whole < 40 else 13):
        share = Fraction(whole - days, whole)
        varied = given | {"change_at": (start + timedelta(days)).isoformat()}
        figures = answer("proration.plan_change", varied)
        charged = new * share if given["new_cycle"] == given["cycle"] else new
        assert figures["fraction"] == share
        assert (figures["credit_cents"], figures["charge_cents"]) == (half_up(old * share), half_up(charged))
        priced = {name: varied[name] for name in ("cycle", "cycle_start", "change_at", "new_cycle")}
        for currency in ("jpy", "kwd"):
            figures = answer(
                "proration.plan_change", priced | {"old": "1001", "new": "33.335", "currency": currency}
            )
            assert figures["credit"] == half_up(1001 * share, DIGITS[currency])


def shifted(day: date, months: int, remembered: int | None = None) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(remembered or day.day, last))


def anchors() -> Iterator[date]:
    for year in (1999, 2000, 2023, 2024, 2099, 2100):
        for month, last in enumerate((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1):
            yield from (date(year, month, day) for day in {1, 28, min(29, last), min(30, last), last})
    yield from (date(2000, 2, 29), date(2024, 2, 29))


@pytest.mark.parametrize(
    ("interval", "months"), [("month", 1), ("quarter", 3), ("semiannual", 6), ("year", 12)]
)
def test_ends_of_periods_from_every_anchor(interval: str, months: int) -> None:
    for anchor in anchors():
        given = {"anchor": anchor.isoformat(), "interval": interval, "count": 30}
        found = [
            date.fromisoformat(end) for end in answer("period.month_end_anchor", given)["ends_exclusive"]
        ]
        assert found == [shifted(anchor, months * number) for number in range(1, 31)]


def test_first_period_from_every_start_and_billing_day() -> None:
    """It ends at the first boundary after the start; a cycle's own date may be the start itself."""
    for start in anchors():
        for day in (1, 15, 28, 29, 30, 31):
            given = {"start": start.isoformat(), "billing_day": day, "months": 1}
            boundaries = [shifted(start, number, remembered=day) for number in range(3)]
            ends = [
                answer("period.first_stub", given | {"index": index})["end_exclusive"] for index in (0, 1)
            ]
            assert ends == [each.isoformat() for each in boundaries if each > start][:2]
            cycle = {"start": start.isoformat(), "bill_cycle_day": day, "interval": "month"}
            found = answer("period.bill_cycle_day", cycle)["first_cycle_date"]
            assert found == next(each for each in boundaries if each >= start).isoformat()


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_days_are_those_of_the_calendar_in_every_zone(zone: str) -> None:
    days = [date(2024, 1, 1) + timedelta(number) for number in range(0, 800, 7)]
    for before, after in pairwise(days):
        given = {"from": before.isoformat(), "to": after.isoformat(), "zone": zone}
        assert answer("proration.days", given) == {"days": 7}
