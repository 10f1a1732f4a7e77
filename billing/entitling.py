"""What a customer may still use of a meter in its running billing period, and reserving part of it.

`used` is the quantity that the invoice of the period would carry now, by the same function. A reservation is made under
a lock on the limit, so parallel work never exceeds a hard limit; settle it when the usage was sent, release it when
nothing was used. What is held when its period ends is no longer counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.errors import LimitReached, ReservationRefused
from billing.limiting import Look, Standing, look_at
from billing.models import LimitKind, Reservation, ReservationState, UsageLimit
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
    limits = _limits(customer, meter)
    found = _entitlement(customer, meter, limits, look_at(limits, now=now, pairs=[(customer, meter)]))
    tell_reached(found.limits, now=now)
    return found


def reserve(customer: Customer, meter: Meter, *, quantity: Decimal, key: str, now: datetime) -> Reservation:
    """Set part of the limit aside, committed on return. The same key with the same quantity is the same reservation.

    Raises LimitReached when a hard limit leaves too little, ReservationRefused for a key that stands for another
    quantity or is settled or released already, and RatingFailed where a limit is in money and there is no price.
    """
    with transaction.atomic(durable=True):
        # One reservation at a time for a customer and meter. Without a limit, the customer's row stands in for it.
        locked = UsageLimit.objects.select_for_update(of=("self",)).filter(customer=customer, meter=meter)
        if not list(locked.order_by("pk")):
            Customer.objects.select_for_update(of=("self",)).get(pk=customer.pk)
        limits = _limits(customer, meter)
        made = Reservation.objects.filter(customer=customer, meter=meter, key=key).first()
        if made is not None:
            return _the_same(made, quantity)
        looked_at = look_at(limits, now=now, wanted=quantity, pairs=[(customer, meter)])
        for limit in limits:
            _refuse_above(limit, looked_at, quantity)
        return Reservation.objects.create(
            customer=customer,
            meter=meter,
            key=key,
            quantity=quantity,
            period_start=looked_at.running[customer.pk, meter.pk].period.start,
            made_at=now,
        )


def settle_reservation(customer: Customer, meter: Meter, *, key: str) -> Reservation:
    """End a reservation whose usage was sent. Again is the same; after a release it is refused."""
    return _end(customer, meter, key, ReservationState.SETTLED)


def release_reservation(customer: Customer, meter: Meter, *, key: str) -> Reservation:
    """End a reservation of which nothing was used. Again is the same; after it was settled it is refused."""
    return _end(customer, meter, key, ReservationState.RELEASED)


def _limits(customer: Customer, meter: Meter) -> list[UsageLimit]:
    rows = UsageLimit.objects.filter(customer=customer, meter=meter).order_by("pk")
    return list(rows.select_related("customer", "meter"))


def _refuse_above(limit: UsageLimit, looked_at: Look, quantity: Decimal) -> None:
    """Raise LimitReached where a hard limit leaves too little for a quantity on top of what is used and held."""
    if limit.kind != LimitKind.HARD:
        return
    found = looked_at.standing(limit)
    if limit.is_money:
        amounts = looked_at.amounts(limit)
        if amounts is None or amounts[2] <= limit.most:
            return
        would = f" It would come to {found.words(amounts[2])}."
        field = "Less, so that what is used and reserved stays within the limit."
    elif quantity <= found.remaining:
        return
    else:
        would, field = "", f"{found.remaining:f} at most."
    left = found.words(found.remaining) if limit.is_money else f"{found.remaining:f}"
    most = found.words(limit.most) if limit.is_money else f"{limit.most:f}"
    raise LimitReached(
        f"{limit.customer.name} has {left} left of {most} until {found.period.end:%Y-%m-%d %H:%M} UTC.{would} "
        "Wait, or raise the limit.",
        fields={"quantity": field},
    )


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


def _the_same(made: Reservation, quantity: Decimal) -> Reservation:
    if made.state != ReservationState.HELD:
        raise ReservationRefused(
            f"The reservation “{made.key}” was {made.get_state_display().partition(':')[0].lower()} already. "
            "Reserve under a key of its own.",
            fields={"key": "It was used before."},
        )
    if made.quantity != quantity:
        raise ReservationRefused(
            f"The key “{made.key}” stands for a reservation of {made.quantity:f}. Reserve under a key of its own.",
            fields={"key": "It was used before."},
        )
    return made


def _end(customer: Customer, meter: Meter, key: str, state: ReservationState) -> Reservation:
    with transaction.atomic(durable=True):
        made = (
            Reservation.objects.select_for_update(of=("self",))
            .filter(customer=customer, meter=meter, key=key)
            .first()
        )
        if made is None:
            raise ReservationRefused(
                f"There is no reservation “{key}” of {customer.name}.",
                fields={"key": "Name a reservation that was made."},
            )
        if made.state not in (ReservationState.HELD, state):
            raise ReservationRefused(
                f"The reservation “{key}” was {made.get_state_display().partition(':')[0].lower()} already.",
                fields={"key": "It is ended."},
            )
        made.state = state
        made.save(update_fields=["state"])
    return made
