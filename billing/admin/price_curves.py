"""The price of a rate over a range of quantities, for the chart beside the editor: every point comes from `rate`.

Positions are percentages of the plot, written for the page; only the page's pixels are rounded, never an amount.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, localcontext

from billing.formatting import WIDE
from billing.rating import RatingError, Usage, UsageRate, needs_event_amounts, rate, usage_of
from billing.rating.percentages import Percentage
from billing.rating.prices import Dynamic, Package, PerUnit, Stairstep
from billing.rating.terms import Row

STEPS = 40
MOST_BOUNDS = 60
MOST_EVENTS = 500
JUST_ABOVE = Decimal("0.0001")  # of the range: where a total jumps, both sides are points
ZERO, HUNDRED = Decimal(0), Decimal(100)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is priced: a rate in the currency of its plan, one group of values, the amount of each event."""

    terms: UsageRate
    values: Mapping[str, str]
    event_amount: Decimal
    windowed: bool = False

    @property
    def counts_events(self) -> bool:
        return needs_event_amounts(self.terms)

    def usage(self, quantity: Decimal) -> Usage:
        """Give a usage of this quantity, in one group; with rules for each event, of so many events."""
        parts = [(self.values, quantity)] if quantity else []
        if self.counts_events:
            parts = [(self.values, self.event_amount)] * int(quantity)
        return usage_of(parts, dimensions=self.terms.dimensions, windowed=self.windowed)

    def amount(self, quantity: Decimal) -> Decimal:
        return rate(self.terms, self.usage(quantity)).amount

    @property
    def part(self) -> UsageRate | Row:
        index = self.terms.row_index(self.values) if self.terms.rows else None
        return self.terms if index is None else self.terms.rows[index]


@dataclass(frozen=True, slots=True)
class Line:
    """One curve. `paths` are SVG paths in a field of 100 by 100; `top` is the value at the upper edge."""

    paths: tuple[str, ...]
    top: Decimal


@dataclass(frozen=True, slots=True)
class Curve:
    """The price and the price of one unit, from 0 to `until`."""

    until: Decimal
    points: tuple[tuple[Decimal, Decimal], ...]
    total: Line
    unit: Line
    bounds: tuple[tuple[Decimal, str], ...]


def bounds_of(asked: Asked) -> list[Decimal]:
    """Give the quantities at which a price changes: the end of included units, tiers, packages, a free part."""
    part = asked.part
    included, price = part.included_units, part.price
    bounds = [included] if included else []
    match price:
        case Package():
            bounds += [included + price.package_size * number for number in range(1, MOST_BOUNDS)]
        case Percentage():
            free = price.free_amount
            if free is not None:
                bounds.append(round_to(free / asked.event_amount) if asked.counts_events else free)
            if price.free_events is not None:
                bounds.append(Decimal(price.free_events))
        case PerUnit() | Dynamic() | None:
            pass
        case _:
            bounds += [included + tier.up_to for tier in price.tiers if tier.up_to]
    return bounds


def usual_range(asked: Asked) -> Decimal:
    """Give a round quantity up to which the price is worth looking at."""
    part = asked.part
    match part.price:
        case Package():
            return round_up(part.included_units + part.price.package_size * 5)
        case PerUnit():
            whole = (part.price.per or Decimal(100)) * 2
            return round_up(max(part.included_units * 2, whole))
        case Stairstep() if part.price.tiers[-1].up_to is not None:
            return part.included_units + part.price.tiers[-1].up_to  # beyond the last step there is no price
    bounds = bounds_of(asked)
    if asked.counts_events:
        return min(round_up(max([*bounds, Decimal(60)]) * Decimal("1.5")), Decimal(MOST_EVENTS))
    return round_up(max(bounds) * Decimal("1.5")) if bounds else Decimal(1000)


def round_up(value: Decimal) -> Decimal:
    """Give the next round number: 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 or 10 times a power of ten."""
    if value <= 0:
        return Decimal(1)
    power = Decimal(1).scaleb(value.adjusted())
    for step in ("1", "1.5", "2", "2.5", "3", "4", "5", "6", "8", "10"):
        if value <= Decimal(step) * power:
            return Decimal(step) * power
    return (value / power).to_integral_value(ROUND_CEILING) * power


def draw(asked: Asked, until: Decimal) -> Curve:
    """Rate a few dozen quantities from 0 to `until`. Quantities that cannot be rated are gaps."""
    with localcontext(WIDE):
        bounds = [bound for bound in bounds_of(asked) if bound < until]
        points: list[tuple[Decimal, Decimal]] = []
        for quantity in _quantities(asked, until, bounds):
            try:
                points.append((quantity, asked.amount(quantity)))
            except RatingError:
                continue
        first = until / STEPS  # nearer to 0 a flat fee would make one unit cost without end
        units = [(each, unit_price(asked, each, amount)) for each, amount in points if each and each >= first]
        shown = bounds if len(bounds) <= 12 else []
        return Curve(
            until,
            tuple(points),
            _line(points, until),
            _line(units, until),
            tuple((bound, percent(bound, until)) for bound in shown),
        )


def unit_price(asked: Asked, quantity: Decimal, amount: Decimal) -> Decimal:
    """Give what one unit costs on average: for as many units as prices are quoted for, in percent of an amount."""
    with localcontext(WIDE):
        if is_share(asked.terms):
            base = quantity * asked.event_amount if asked.counts_events else quantity
            return round_to(amount * 100 / base) if base else ZERO
        return round_to(amount * (asked.terms.per or 1) / quantity) if quantity else ZERO


def is_share(terms: UsageRate) -> bool:
    """Tell whether the price is a share of amounts of money, so that its unit price is a percentage."""
    return terms.model in ("percentage", "graduated_percentage", "dynamic")


def round_to(value: Decimal, digits: int = 6) -> Decimal:
    """Round for the page: to 6 decimals, or to 6 digits where the number is smaller than that."""
    if not value:
        return ZERO
    places = max(digits, digits - 1 - value.adjusted()) if value < 1 else digits
    with localcontext(WIDE):
        return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP).normalize()


def percent(value: Decimal, whole: Decimal) -> str:
    return f"{value * 100 / whole:.3f}" if whole else "0"


def _quantities(asked: Asked, until: Decimal, bounds: Sequence[Decimal]) -> list[Decimal]:
    """Give the quantities of the points: evenly spaced ones, and both sides of every bound."""
    above = Decimal(1) if asked.counts_events else until * JUST_ABOVE
    points = {until * number / STEPS for number in range(STEPS + 1)}
    if asked.counts_events or until >= STEPS * 10:
        points = {each.to_integral_value() for each in points}
    points |= {above, *bounds, *(bound + above for bound in bounds)}
    if asked.counts_events:
        points = {each.to_integral_value() for each in points}
    return sorted(each for each in points if each <= until)


def _line(points: Sequence[tuple[Decimal, Decimal]], until: Decimal) -> Line:
    highest = max((value for _, value in points), default=ZERO)
    lowest = min((value for _, value in points), default=ZERO)
    top = round_up(highest) if highest > 0 else Decimal(1)
    if lowest < 0:
        points = [(quantity, max(value, ZERO)) for quantity, value in points]
    places = [f"{percent(quantity, until)} {HUNDRED - value * 100 / top:.3f}" for quantity, value in points]
    return Line((f"M{' L'.join(places)}",) if len(places) > 1 else (), top)
