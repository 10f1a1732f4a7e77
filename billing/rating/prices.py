"""The rate models: how a quantity becomes steps. One class per shape of price.

Every class has `steps(quantity, events, group)`: `quantity` is what is left after included units, below zero
for volume and dynamic prices alone, `events` the single amounts of the events (read only by percentage rules),
`group` the dimension values to write on each step. Bounds are inclusive and continuous: with a tier up to 100,
the quantity 100.5 has 100 in the first tier and 0.5 in the next. A tier's flat fee is owed once the tier is
entered; the first tier of units is entered even at zero usage, the first tier of an amount only above zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from billing.rating.errors import BeyondLastStep
from billing.rating.exact import ZERO
from billing.rating.working import Step, plain

Group = Mapping[str, str] | None
Events = tuple[Decimal, ...] | None


class Price(Protocol):
    """What every rate model gives."""

    def steps(self, quantity: Decimal, events: Events, group: Group) -> list[Step]: ...


@dataclass(frozen=True, slots=True)
class Tier:
    """One row of a tier table. `from_` is where the tier before it ends; `up_to` None: open.

    `unit_amount` is quoted for `per` units and `unit_price` is the same for one unit; with a `percent`,
    `unit_price` is its share of an amount of 1. Both None: the tier has only a flat fee.
    """

    from_: Decimal
    up_to: Decimal | None
    unit_price: Decimal
    unit_amount: Decimal | None
    per: Decimal | None
    percent: Decimal | None
    flat_amount: Decimal
    label: str

    def holds(self, quantity: Decimal) -> bool:
        return self.up_to is None or quantity <= self.up_to

    def step(self, label: str, quantity: Decimal, group: Group) -> Step:
        return Step(
            label,
            "tier",
            quantity,
            self.unit_amount,
            quantity * self.unit_price,
            self.from_,
            self.up_to,
            group,
            self.per,
            self.percent,
        )

    def flat_step(self, group: Group) -> Step:
        label = f"Flat fee: {self.label[0].lower()}{self.label[1:]}"
        return Step(label, "flat", None, None, self.flat_amount, self.from_, self.up_to, group)


def tier_label(from_: Decimal, up_to: Decimal | None, *, whole: str = "All units") -> str:
    """Write the bounds of a tier for people; `whole` is the name of an only tier."""
    if up_to is None:
        return f"Over {plain(from_)}" if from_ else whole
    return f"Over {plain(from_)} up to {plain(up_to)}" if from_ else f"Up to {plain(up_to)}"


@dataclass(frozen=True, slots=True)
class PerUnit:
    """A price for `per` units; a part of a unit costs its part."""

    unit_amount: Decimal
    unit_price: Decimal
    per: Decimal | None

    def steps(self, quantity: Decimal, events: Events, group: Group) -> list[Step]:
        amount = quantity * self.unit_price
        return [Step("Units", "units", quantity, self.unit_amount, amount, None, None, group, self.per)]


@dataclass(frozen=True, slots=True)
class Graduated:
    """Each part of the quantity has the price of the tier it falls in. Also serves graduated percentages."""

    tiers: tuple[Tier, ...]

    def steps(self, quantity: Decimal, events: Events, group: Group) -> list[Step]:
        steps: list[Step] = []
        for tier in self.tiers:
            if quantity <= tier.from_ and steps:
                break
            upper = quantity if tier.up_to is None else min(quantity, tier.up_to)
            steps.append(tier.step(tier.label, upper - tier.from_, group))
            if tier.flat_amount and (quantity > tier.from_ or tier.percent is None):
                steps.append(tier.flat_step(group))
        return steps


@dataclass(frozen=True, slots=True)
class Volume:
    """The whole quantity has the price of the tier that holds it, so a total can fall as usage grows.

    No tier holds a quantity below zero, where more was taken back than used: it costs nothing.
    """

    tiers: tuple[Tier, ...]

    def steps(self, quantity: Decimal, events: Events, group: Group) -> list[Step]:
        if quantity < 0:
            return [Step("Free of charge", "free", quantity, None, ZERO, group=group)]
        tier = next(tier for tier in self.tiers if tier.holds(quantity))
        steps = [tier.step(f"All units at the price of: {tier.label}", quantity, group)]
        if tier.flat_amount:
            steps.append(tier.flat_step(group))
        return steps


@dataclass(frozen=True, slots=True)
class Stairstep:
    """One amount for the step that holds the quantity, the first step's even at zero usage."""

    tiers: tuple[Tier, ...]

    def steps(self, quantity: Decimal, events: Events, group: Group) -> list[Step]:
        for tier in self.tiers:
            if tier.holds(quantity):
                return [
                    Step(tier.label, "step", quantity, None, tier.flat_amount, tier.from_, tier.up_to, group)
                ]
        raise BeyondLastStep(
            f"The quantity {plain(quantity)} is beyond the last step of this rate ({self.tiers[-1].label}). "
            "Add a step that covers it, or leave the bound of the last step open."
        )


@dataclass(frozen=True, slots=True)
class Package:
    """Whole packages: a started one is paid in full."""

    package_size: Decimal
    package_amount: Decimal
    label: str

    def steps(self, quantity: Decimal, events: Events, group: Group) -> list[Step]:
        whole, rest = divmod(quantity, self.package_size)
        packages = whole + 1 if rest else whole
        return [
            Step(
                self.label,
                "package",
                packages,
                self.package_amount,
                packages * self.package_amount,
                group=group,
            )
        ]


@dataclass(frozen=True, slots=True)
class Dynamic:
    """The events bring their own amounts; the quantity is their sum."""

    def steps(self, quantity: Decimal, events: Events, group: Group) -> list[Step]:
        return [Step("Amount taken from the events", "dynamic", None, None, quantity, group=group)]
