"""Two engines that share no code agree to the last digit on ten thousand random rates."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal, localcontext
from fractions import Fraction
from random import Random
from typing import Any

from billing.rating import GroupUsage, Usage, UsageRate, parse_rate, rate
from billing.rating.exact import EXACT
from billing.rerating import Used, amount_of
from tests.billing.rating.random_plans import KINDS, REGIONS, random_decimal, random_quantity, random_rate

RATES = 10_000


def test_both_engines_agree_on_ten_thousand_random_rates() -> None:
    random = Random(20261031)
    models: Counter[str] = Counter()
    for number in range(RATES):
        terms = random_rate(random)
        usage = _usage(random, terms)
        parsed = parse_rate(terms)
        assert isinstance(parsed, UsageRate)
        rating = rate(parsed, usage)
        with localcontext(EXACT):
            assert sum(step.amount for step in rating.working) == rating.amount
        expected = amount_of(
            terms,
            Used(Fraction(usage.quantity), [Fraction(amount) for amount in usage.event_amounts or ()]),
            [
                Used(
                    Fraction(part.quantity),
                    [Fraction(amount) for amount in part.event_amounts or ()],
                    match=part.dimensions,
                )
                for part in usage.groups
            ],
        )
        assert Fraction(rating.amount) == expected, (number, terms, usage)
        models[f"{terms['model']}, {'by rows' if 'rows' in terms else 'one price'}"] += 1
    # Every model was tried often, with one price and by rows.
    assert len(models) == 16
    assert min(models.values()) > RATES // 40


def _usage(random: Random, terms: dict[str, Any]) -> Usage:
    by_events = terms["model"] == "percentage"
    if "rows" not in terms:
        if not by_events:
            return Usage(random_quantity(random, terms))
        events = _events(random)
        return Usage(sum(events, Decimal(0)), event_amounts=events)
    parts = []
    for region in REGIONS:
        for kind in KINDS:
            if random.random() < 0.4:
                events = _events(random)
                quantity = sum(events, Decimal(0)) if by_events else random_quantity(random, terms)
                values = {"region": region, "kind": kind}
                parts.append(GroupUsage(values, quantity, events if by_events else None))
    return Usage(sum((part.quantity for part in parts), Decimal(0)), groups=tuple(parts))


def _events(random: Random) -> tuple[Decimal, ...]:
    return tuple(Decimal(random_decimal(random, 200)) for _ in range(random.randint(0, 8)))
