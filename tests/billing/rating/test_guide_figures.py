"""The published figures: whole bills, added up by hand."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from billing.rating import GroupUsage, Usage, UsageRate, describe, parse_rate, rate, round_amount


def line(quantity: str, **terms: object) -> Decimal:
    parsed = parse_rate({"kind": "usage", "meter": "m", **terms})
    assert isinstance(parsed, UsageRate)
    return round_amount(rate(parsed, Usage(Decimal(quantity))).amount, 2)


def lines_by(groups: Mapping[tuple[str], str] | Mapping[tuple[str, str], str], **terms: object) -> Decimal:
    parsed = parse_rate({"kind": "usage", "meter": "m", "model": "per_unit", **terms})
    assert isinstance(parsed, UsageRate)
    parts = tuple(
        GroupUsage(dict(zip(parsed.dimensions, values, strict=True)), Decimal(quantity))
        for values, quantity in groups.items()
    )
    total = sum((part.quantity for part in parts), Decimal(0))
    return round_amount(rate(parsed, Usage(total, groups=parts)).amount, 2)


def test_resolved_tickets_at_two_dollars() -> None:
    tickets = {"model": "per_unit", "unit_amount": "2.00"}
    assert [line(used, **tickets) for used in ("0", "1", "50", "120")] == [0, 2, 100, 240]


def test_fee_with_included_audio_and_transcription_minutes() -> None:
    fee = parse_rate({"kind": "subscription", "label": "Pro", "amount": "199.00"})
    audio = {"model": "per_unit", "unit_amount": "0.05", "included_units": "1000"}
    transcription = {"model": "per_unit", "unit_amount": "0.08", "included_units": "500"}
    assert line("1000", **audio) + line("500", **transcription) == 0
    # 199 + 500 x 0.05 + 250 x 0.08
    extra = line("1500", **audio) + line("750", **transcription)
    assert Decimal(str(fee.as_json()["amount"])) + extra == 244
    words = describe(parse_rate({"kind": "usage", "meter": "m", **audio}), "USD", unit=("minute", "minutes"))
    assert words == "First 1,000 minutes are included, then $0.05 per minute"


def test_api_calls_and_tokens_by_model_and_type() -> None:
    assert line("4800", model="per_unit", unit_amount="0.01") == 48
    rows = [
        {"match": {"model": "A", "type": "input"}, "unit_amount": "0.00001"},
        {"match": {"model": "A", "type": "output"}, "unit_amount": "0.00003"},
        {"match": {}, "unit_amount": "0.00002"},
    ]
    tokens = {("A", "input"): "1234567", ("A", "output"): "100000", ("B", "input"): "50000"}
    # 12.34567 + 3 + 1 = 16.34567
    assert lines_by(tokens, dimensions=["model", "type"], rows=rows) == Decimal("16.35")


def test_the_same_tokens_quoted_per_million() -> None:
    rows = [
        {"match": {"model": "A", "type": "input"}, "unit_amount": "10"},
        {"match": {"model": "A", "type": "output"}, "unit_amount": "30"},
        {"match": {}, "unit_amount": "20"},
    ]
    tokens = {("A", "input"): "1234567", ("A", "output"): "100000", ("B", "input"): "50000"}
    assert lines_by(tokens, dimensions=["model", "type"], rows=rows, per="1000000") == Decimal("16.35")


def test_hundred_hours_at_fifty_dollars() -> None:
    assert line("100", model="per_unit", unit_amount="50") == 5000


def test_seats_by_region() -> None:
    rows = [
        {"match": {"region": "USA"}, "unit_amount": "30"},
        {"match": {"region": "EMEA"}, "unit_amount": "40"},
        {"match": {"region": "APAC"}, "unit_amount": "50"},
    ]
    used = {("USA",): "10", ("EMEA",): "40", ("APAC",): "50"}
    assert lines_by(used, dimensions=["region"], rows=rows, unmatched="listed") == 4400


def test_ci_minutes_in_started_thousands_beyond_the_included() -> None:
    minutes = {
        "model": "package",
        "package_size": "1000",
        "package_amount": "10",
        "included_units": "3000",
    }
    used = ("0", "3000", "3000.5", "4000", "4001", "12345")
    assert [line(quantity, **minutes) for quantity in used] == [0, 0, 10, 10, 20, 100]


def test_cost_of_tickets_month() -> None:
    """The cost side of 120 tickets: 4.80 + 3.00 + 9.60, and 30.00 fixed, is 47.40."""
    tokens = [
        {"match": {"type": "input"}, "unit_amount": "0.50"},
        {"match": {"type": "output"}, "unit_amount": "2.50"},
    ]
    used = {("input",): "9600000", ("output",): "1200000"}
    cost = lines_by(used, dimensions=["type"], rows=tokens, per="1000000", unmatched="listed")
    cost += line("4800", model="per_unit", unit_amount="0.002") + 30
    assert cost == Decimal("47.40")
    assert line("120", model="per_unit", unit_amount="2.00") - cost == Decimal("192.60")
