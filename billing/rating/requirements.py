"""What a rate needs to have measured before it can be rated."""

from __future__ import annotations

from billing.rating.parsing import AnyRate
from billing.rating.percentages import Percentage
from billing.rating.terms import UsageRate


def required_grouping(terms: AnyRate) -> tuple[str, ...]:
    """Give the dimensions the usage must be grouped by; () when the total is enough."""
    return terms.dimensions if isinstance(terms, UsageRate) else ()


def needs_event_amounts(terms: AnyRate) -> bool:
    """Tell whether the amount of each event is needed: a percentage with rules for each event."""
    if not isinstance(terms, UsageRate):
        return False
    prices = [terms.price, *(row.price for row in terms.rows)]
    return any(isinstance(price, Percentage) and price.needs_events for price in prices)
