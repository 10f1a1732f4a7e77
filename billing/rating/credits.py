"""In which order prepaid and promotional credits are used up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from billing.rating.errors import InvalidArgument
from billing.rating.exact import exactly

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Grant:
    """A credit a customer holds. Usable in `[effective_at, expires_at)`; None: from the start, for ever.

    `balance` is what is left of it; low `priority` is used first; `granted_at` tells the oldest.
    """

    id: str
    balance: Decimal
    granted_at: datetime
    priority: int = 0
    effective_at: datetime | None = None
    expires_at: datetime | None = None

    def is_usable(self, at: datetime) -> bool:
        return (self.effective_at is None or self.effective_at <= at) and at < (self.expires_at or _NEVER)


@dataclass(frozen=True, slots=True)
class Burn:
    """What was taken, as (grant id, amount above 0) in the order of use; its sum; what is not covered."""

    taken: tuple[tuple[str, Decimal], ...]
    covered: Decimal
    left: Decimal


@exactly
def burn(grants: Iterable[Grant], amount: Decimal, *, at: datetime) -> Burn:
    """Cover an amount from the credits usable at an instant, never more than the amount and never below zero.

    Order: low priority first, then soonest expiry (those without expiry last), then oldest, then as given.
    """
    if amount < 0:
        raise InvalidArgument(f"Credits cannot cover {amount}. Give an amount of 0 or more.")
    usable = [grant for grant in grants if grant.is_usable(at) and grant.balance > 0]
    usable.sort(key=lambda grant: (grant.priority, grant.expires_at or _NEVER, grant.granted_at))
    taken = []
    left = amount
    for grant in usable:
        if not left:
            break
        part = min(grant.balance, left)
        taken.append((grant.id, part))
        left -= part
    return Burn(tuple(taken), amount - left, left)
