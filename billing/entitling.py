"""What a customer may still use of a meter in its running billing period.

`used` is the quantity that the invoice of the period would carry now, by the same function. What is reserved for work
in progress (`billing.reserving`) comes off what remains.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.limiting import Look, Standing, look_at
from billing.models import LimitKind, UsageLimit
from billing.reminding import tell_reached
from customers.models import Customer
from metering.models import Meter


@dataclass(frozen=True, slots=True)
class Entitlement:
    """Quantities are units of the meter. `limit`, `kind` and `remaining` are of the tightest limit in units, or None.

    `remaining` is never below 0. `limits` are all of them, those in money too; every hard one has to leave something.
    """

    allowed: bool
    limit: Decimal | None
    kind: str | None
    used: Decimal
    reserved: Decimal
    remaining: Decimal | None
    resets_at: datetime
    limits: tuple[Standing, ...]


def entitlement(customer: Customer, meter: Meter, *, now: datetime) -> Entitlement:
    """Say what a customer may still use of a meter now. Writes only that a part of a limit is reached, once.

    Raises RatingFailed where a limit is in money and the usage has no price.
    """
    limits = limits_of(customer, meter)
    found = _entitlement(customer, meter, limits, look_at(limits, now=now, pairs=[(customer, meter)]))
    tell_reached(found.limits, now=now)
    return found


def limits_of(customer: Customer, meter: Meter) -> list[UsageLimit]:
    rows = UsageLimit.objects.filter(customer=customer, meter=meter).order_by("pk")
    return list(rows.select_related("customer", "meter"))


def _entitlement(customer: Customer, meter: Meter, limits: list[UsageLimit], looked_at: Look) -> Entitlement:
    found = tuple(looked_at.standing(limit) for limit in limits)
    # The tightest first, and a hard one before a soft one that is as tight.
    in_units = sorted(
        (each for each in found if not each.limit.is_money),
        key=lambda each: (each.limit.most, each.limit.kind != LimitKind.HARD),
    )
    tightest = in_units[0] if in_units else None
    pair = (customer.pk, meter.pk)
    return Entitlement(
        allowed=not any(each.is_reached and each.limit.kind == LimitKind.HARD for each in found),
        limit=None if tightest is None else tightest.limit.most,
        kind=None if tightest is None else tightest.limit.kind,
        used=looked_at.used[pair],
        reserved=looked_at.held[pair],
        remaining=None if tightest is None else tightest.remaining,
        resets_at=looked_at.running[pair].period.end,
        limits=found,
    )
