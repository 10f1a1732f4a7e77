"""How much was used, as `rate` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """The part of a usage that has these dimension values. A value that no event gave is left out or ''."""

    dimensions: Mapping[str, str]
    quantity: Decimal
    event_amounts: tuple[Decimal, ...] | None = None
    windows: tuple[Decimal, ...] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
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
