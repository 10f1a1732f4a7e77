"""How much was used, as `rate` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from billing.rating.exact import ZERO, exactly


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """The part of a usage that has these dimension values. A value that no event gave is left out or ''."""

    dimensions: Mapping[str, str]
    quantity: Decimal
    event_amounts: tuple[Decimal, ...] | None = None
    windows: tuple[Decimal, ...] | None = None


class Usage(NamedTuple):
    """What was measured in one period.

    `quantity` is in units of the meter; for percentage and dynamic models it is the sum of the events'
    amounts. `groups` is read only by rates with `rows` (see `required_grouping`): one entry for each
    combination of values. `event_amounts` are the single amounts in the order of the events (see
    `needs_event_amounts`); None: not measured. `windows` are the peaks of the windows of a windowed meter;
    each is rated on its own. None: not windowed.
    """

    quantity: Decimal
    groups: tuple[GroupUsage, ...] = ()
    event_amounts: tuple[Decimal, ...] | None = None
    windows: tuple[Decimal, ...] | None = None


@exactly
def usage_of(
    parts: Sequence[tuple[Mapping[str, str], Decimal]], *, dimensions: Sequence[str], windowed: bool = False
) -> Usage:
    """Add up quantities with their dimension values as measuring would, grouped by `dimensions`.

    Each part is one event to a percentage of each event, and one window's peak to a `windowed` meter.
    """
    groups: dict[tuple[str, ...], list[Decimal]] = {}
    for values, quantity in parts:
        groups.setdefault(tuple(values.get(name, "") for name in dimensions), []).append(quantity)
    quantities = tuple(quantity for _, quantity in parts)
    return Usage(
        sum(quantities, ZERO),
        tuple(
            GroupUsage(
                dict(zip(dimensions, values, strict=True)),
                sum(each, ZERO),
                tuple(each),
                tuple(each) if windowed else None,
            )
            for values, each in groups.items()
        )
        if dimensions
        else (),
        quantities,
        quantities if windowed else None,
    )
