"""Rating a million (rate, quantity) pairs: pairs per second by model, and where the time goes.

Ratios are against one bare decimal multiplication in the same run, because seconds depend on the machine. Nothing is
asserted about time; the sums are checked so that the work is known to be done.
"""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from decimal import Decimal
from time import perf_counter
from typing import Any

from billing.rating import GroupUsage, Usage, UsageRate, parse_rate, rate
from tests.benchmarks.report import write_section

COMMAND = "make bench ARGS=tests/benchmarks/test_rating_speed.py"
PAIRS = 1_000_000
TIERS = [
    {"up_to": "100", "unit_amount": "2", "flat_amount": "5"},
    {"up_to": "1000", "unit_amount": "1.5"},
    {"up_to": None, "unit_amount": "1"},
]
MODELS: dict[str, dict[str, Any]] = {
    "per_unit": {"model": "per_unit", "unit_amount": "2.00"},
    "per_unit, included units": {"model": "per_unit", "unit_amount": "2.00", "included_units": "50"},
    "graduated, three tiers": {"model": "graduated", "tiers": TIERS},
    "volume, three tiers": {"model": "volume", "tiers": TIERS},
    "package": {"model": "package", "package_size": "10", "package_amount": "3"},
    "per_unit by rows, four groups": {
        "model": "per_unit",
        "per": "1000000",
        "dimensions": ["model", "type"],
        "rows": [
            {"match": {"model": "a", "type": "input"}, "unit_amount": "0.50"},
            {"match": {"model": "a", "type": "output"}, "unit_amount": "2.50"},
            {"match": {}, "unit_amount": "1"},
        ],
    },
}
GROUPS = [{"model": model, "type": kind} for model in "ab" for kind in ("input", "output")]


def test_rating_a_million_pairs(database: None) -> None:
    quantities = [Decimal(number % 2000) for number in range(PAIRS // len(MODELS))]
    bare = _seconds(lambda: [quantity * Decimal(2) for quantity in quantities]) / len(quantities)
    total, rows = 0.0, []
    for name, fields in MODELS.items():
        terms = parse_rate({"kind": "usage", "meter": "m", **fields})
        assert isinstance(terms, UsageRate)
        usages = [_usage(terms, quantity) for quantity in quantities]
        ratings: list[Decimal] = []
        seconds = _seconds(lambda: ratings.extend([rate(terms, usage).amount for usage in usages]))  # noqa: B023
        total += seconds
        each = seconds / len(quantities)
        rows.append([name, f"{1 / each:,.0f}", f"{each / bare:,.0f} x"])
        if name == "per_unit":
            assert sum(ratings) == 2 * sum(quantities)
    pairs = len(quantities) * len(MODELS)
    rows.append([f"all {pairs:,}, {total:.1f} s", f"{pairs / total:,.0f}", ""])
    write_section(
        "Rating",
        command=COMMAND,
        columns=["rate", "ratings a second", "time against one decimal multiplication"],
        rows=rows,
        notes=[
            "One process, no database; each rating gives the amount and the working that explains it.",
            f"Where the time of three graduated tiers goes: {_own_times(quantities[:50_000])}.",
        ],
    )


def _usage(terms: UsageRate, quantity: Decimal) -> Usage:
    if not terms.rows:
        return Usage(quantity)
    return Usage(quantity * 4, groups=tuple(GroupUsage(values, quantity) for values in GROUPS))


def _seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def _own_times(quantities: list[Decimal]) -> str:
    """Name the functions that use most of the time of one model, each with its own share."""
    terms = parse_rate({"kind": "usage", "meter": "m", **MODELS["graduated, three tiers"]})
    assert isinstance(terms, UsageRate)
    usages = [Usage(quantity) for quantity in quantities]
    profile = cProfile.Profile()
    profile.runcall(lambda: [rate(terms, usage) for usage in usages])
    found: Any = pstats.Stats(profile)
    own = {f"`{name}`": times[2] for (_, _, name), times in found.stats.items()}
    whole = sum(own.values())
    first = sorted(own, key=lambda name: -own[name])[:6]
    return ", ".join(f"{name} {own[name] / whole:.0%}" for name in first)
