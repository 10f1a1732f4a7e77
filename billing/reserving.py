"""Reserving part of a limit for work in progress, so that parallel work never exceeds a hard one.

Settle a reservation when the usage was sent, release it when nothing was used. One whose worker died is held until it
expires, where it says when, else until its billing period ends; then it is no longer counted.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Q

from billing.entitling import limits_of
from billing.errors import LimitReached, ReservationRefused
from billing.limiting import Look, look_at
from billing.models import LimitKind, Reservation, ReservationState, UsageLimit
from customers.models import Customer
from metering.models import Meter


def reserve(
    customer: Customer,
    meter: Meter,
    *,
    quantity: Decimal,
    key: str,
    now: datetime,
    expires_in: timedelta | None = None,
) -> Reservation:
    """Set part of the limit aside, committed on return. The same key with the same quantity is the same reservation.

    Raises LimitReached when a hard limit leaves too little, ReservationRefused for a key that stands for another
    quantity or is no longer held, and RatingFailed where a limit is in money and there is no price.
    """
    with transaction.atomic(durable=True):
        _one_at_a_time(customer, meter)
        limits = limits_of(customer, meter)
        looked_at = look_at(limits, now=now, wanted=quantity, pairs=[(customer, meter)])
        period = looked_at.running[customer.pk, meter.pk].period
        made = Reservation.objects.filter(customer=customer, meter=meter, key=key).first()
        if made is not None:
            return _the_same(made, quantity, since=period.start, now=now)
        for limit in limits:
            _refuse_above(limit, looked_at, quantity)
        return Reservation.objects.create(
            customer=customer,
            meter=meter,
            key=key,
            quantity=quantity,
            made_at=now,
            expires_at=None if expires_in is None else now + expires_in,
        )


def settle_reservation(customer: Customer, meter: Meter, *, key: str) -> Reservation:
    """End a reservation whose usage was sent, also an expired one. Again is the same; after a release it is refused."""
    return _end(customer, meter, key, ReservationState.SETTLED)


def release_reservation(customer: Customer, meter: Meter, *, key: str) -> Reservation:
    """End a reservation of which nothing was used. Again is the same; after it was settled it is refused."""
    return _end(customer, meter, key, ReservationState.RELEASED)


def held_reservations(customer: Customer, meter: Meter, *, now: datetime) -> list[Reservation]:
    """Give what is held of the running period, the oldest first: where work died, its reservation stands here."""
    looked_at = look_at([], now=now, pairs=[(customer, meter)])
    start = looked_at.running[customer.pk, meter.pk].period.start
    rows = Reservation.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now),
        customer=customer,
        meter=meter,
        state=ReservationState.HELD,
        made_at__gte=start,
    )
    return list(rows.order_by("made_at", "pk"))


def _one_at_a_time(customer: Customer, meter: Meter) -> None:
    """Wait for whoever reserves of this customer and meter, whatever limits are set or taken away meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"reserve {customer.pk} {meter.pk}"]
        )


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


def _the_same(made: Reservation, quantity: Decimal, *, since: datetime, now: datetime) -> Reservation:
    problem = ""
    if made.state != ReservationState.HELD:
        problem = f"was {made.get_state_display().partition(':')[0].lower()} already"
    elif made.quantity != quantity:
        problem = f"is of {made.quantity:f}"
    elif made.expires_at is not None and made.expires_at <= now:
        problem = f"expired at {made.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    elif made.made_at < since:
        problem = "was of a billing period that is over"
    if problem:
        raise ReservationRefused(
            f"The reservation “{made.key}” {problem}. Reserve under a key of its own.",
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
                f"{customer.name} has no reservation “{key}”.",
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
