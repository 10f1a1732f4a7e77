"""What looks wrong in a price although it can be rated: a total that falls as usage grows, a price of nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from billing.rating.describing import money_writer
from billing.rating.exact import exactly
from billing.rating.parsing import AnyRate
from billing.rating.percentages import Percentage
from billing.rating.prices import Dynamic, Graduated, Package, PerUnit, Stairstep, Tier, Volume
from billing.rating.terms import AnyPrice, OneTimeRate, Row, SubscriptionRate, UsageRate
from billing.rating.working import plain

Money = Callable[[Decimal], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to look at before a price is published. `path` is dotted: `rows.1.tiers.0`.

    `blocks`: the plan is not published until a person says that it is meant so.
    """

    code: str
    path: str
    message: str
    blocks: bool


@exactly
def boundary_findings(terms: AnyRate, currency: str) -> list[Finding]:
    """Look at a rate at the bounds of its tiers and at its price for nothing. Raises UnknownCurrency."""
    write = money_writer(currency)
    match terms:
        case SubscriptionRate() | OneTimeRate():
            return [] if terms.amount else [_zero("amount", "This fee is 0: it charges nothing.")]
    findings: list[Finding] = []
    parts: list[tuple[str, AnyPrice, UsageRate | Row]] = [
        (f"rows.{index}.", row.price, row) for index, row in enumerate(terms.rows)
    ]
    if not parts and terms.price is not None:
        parts = [("", terms.price, terms)]
    for at, price, _ in parts:
        findings += _of_price(price, at, write)
    if not terms.minimum_amount and not any(
        _charges(price) or part.minimum_amount for _, price, part in parts
    ):
        findings.append(_zero("", "Every price of this rate is 0: it charges nothing, however much is used."))
    if terms.unmatched == "listed":
        sentence = "There is no row for everything else. Usage with another value cannot be invoiced."
        findings.append(Finding("catch_all_missing", "rows", sentence, blocks=False))
    return findings


@exactly
def cost_findings(
    terms: UsageRate, currency: str, cost_of: Callable[[Mapping[str, str]], Fraction | None]
) -> list[Finding]:
    """Look for prices of a unit that lie below what it costs. `cost_of` gives the known cost of dimension values.

    Models that price amounts or whole steps have no price of a unit, and a tier that only has a flat fee has none.
    """
    write = money_writer(currency)
    parts: list[tuple[str, AnyPrice, Mapping[str, str]]] = [
        (f"rows.{index}.", row.price, row.match) for index, row in enumerate(terms.rows)
    ]
    if not parts and terms.price is not None:
        parts = [("", terms.price, {})]
    findings = []
    for at, price, match in parts:
        cost = cost_of(match)
        if cost is None:
            continue
        for path, name, amount in _unit_prices(price):
            if cost > amount:
                sentence = (
                    f"{name}{write(_shown(amount))} is below what one unit costs you, {write(_shown(cost))}."
                )
                findings.append(Finding("cost_above_price", f"{at}{path}", sentence, blocks=True))
    return findings


def _unit_prices(price: AnyPrice) -> Iterator[tuple[str, str, Fraction]]:
    match price:
        case PerUnit():
            yield "unit_amount", "The unit price of ", Fraction(price.unit_price)
        case Package():
            each = Fraction(price.package_amount) / Fraction(price.package_size)
            yield "package_amount", "The price of each unit in a full package, ", each
        case Graduated() | Volume() if not any(tier.percent is not None for tier in price.tiers):
            for index, tier in enumerate(price.tiers):
                if tier.unit_price or not tier.flat_amount:
                    yield f"tiers.{index}", f"Tier {index + 1}: the unit price of ", Fraction(tier.unit_price)


def _shown(amount: Fraction) -> Decimal:
    """Give an amount as people read it, rounded to six decimals where it has more."""
    return Decimal(round(amount * 10**6)).scaleb(-6)


def _of_price(price: AnyPrice, at: str, write: Money) -> Iterator[Finding]:
    match price:
        case Volume():
            yield from _drops(price.tiers, at, write, _volume_total)
        case Stairstep():
            yield from _drops(price.tiers, at, write, lambda tier, bound: tier.flat_amount)
            last = price.tiers[-1].up_to
            if last is not None:
                sentence = f"More than {plain(last)} has no price: such usage cannot be invoiced."
                yield Finding("no_price_above", f"{at}tiers.{len(price.tiers) - 1}", sentence, blocks=False)
        case Graduated():
            for index, (before, after) in enumerate(pairwise(price.tiers)):
                if after.unit_price > before.unit_price and before.up_to is not None:
                    sentence = f"Units over {plain(before.up_to)} cost more each than those before."
                    yield Finding("unit_price_rises", f"{at}tiers.{index + 1}", sentence, blocks=False)


def _drops(
    tiers: Sequence[Tier], at: str, write: Money, total: Callable[[Tier, Decimal], Decimal]
) -> Iterator[Finding]:
    """Compare the total at each bound with the total just above it."""
    for index, (before, after) in enumerate(pairwise(tiers)):
        assert before.up_to is not None  # only the last tier is open
        here, above = total(before, before.up_to), total(after, before.up_to)
        if above < here:
            sentence = (
                f"Tier {index + 2}: {plain(before.up_to)} cost {write(here)}, but just above it the total falls to "
                f"{write(above)}."
            )
            yield Finding("price_drop", f"{at}tiers.{index + 1}", sentence, blocks=True)


def _volume_total(tier: Tier, bound: Decimal) -> Decimal:
    return bound * tier.unit_price + tier.flat_amount


def _charges(price: AnyPrice) -> bool:
    match price:
        case PerUnit():
            return bool(price.unit_amount)
        case Package():
            return bool(price.package_amount)
        case Percentage():
            return bool(price.percent or price.fixed_amount or price.per_event_minimum)
        case Dynamic():
            return True
    return any(tier.unit_price or tier.flat_amount for tier in price.tiers)


def _zero(path: str, sentence: str) -> Finding:
    return Finding("zero_price", path, sentence, blocks=False)
