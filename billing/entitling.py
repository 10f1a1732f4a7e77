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
from django.db.models import Q, Sum

from billing.errors import LimitReached, ReservationRefused
from billing.models import LimitKind, MeterCoverage, Reservation, ReservationState, UsageLimit
from billing.subscribing import whole_period
from customers.models import Customer
from metering.aggregation import Span
from metering.measuring import measure
from metering.models import Meter
from metering.periods import Period, clip, local_day, month_period


@dataclass(frozen=True, slots=True)
class Entitlement:
    """Quantities are units of the meter. `limit` and `remaining` are None without a limit.

    `remaining` is never below 0.
    """

    allowed: bool
    limit: Decimal | None
    kind: str | None
    used: Decimal
    reserved: Decimal
    remaining: Decimal | None
    resets_at: datetime


def entitlement(customer: Customer, meter: Meter, *, now: datetime) -> Entitlement:
    """Say what a customer may still use of a meter now. Writes nothing."""
    limit = UsageLimit.objects.filter(customer=customer, meter=meter).first()
    return _entitlement(customer, meter, limit, now=now)


def reserve(customer: Customer, meter: Meter, *, quantity: Decimal, key: str, now: datetime) -> Reservation:
    """Set part of the limit aside, committed on return. The same key with the same quantity is the same reservation.

    Raises LimitReached when a hard limit leaves too little, and ReservationRefused for a key that stands for another
    quantity or is settled or released already.
    """
    with transaction.atomic(durable=True):
        # One reservation at a time for a customer and meter. Without a limit, the customer's row stands in for it.
        limit = UsageLimit.objects.select_for_update().filter(customer=customer, meter=meter).first()
        if limit is None:
            Customer.objects.select_for_update(of=("self",)).get(pk=customer.pk)
        made = Reservation.objects.filter(customer=customer, meter=meter, key=key).first()
        if made is not None:
            return _the_same(made, quantity)
        found = _entitlement(customer, meter, limit, now=now)
        if found.kind == LimitKind.HARD and found.remaining is not None and quantity > found.remaining:
            raise LimitReached(
                f"{customer.name} has {found.remaining:f} left of {found.limit:f} "
                f"until {found.resets_at:%Y-%m-%d %H:%M} UTC. Wait, or raise the limit.",
                fields={"quantity": f"{found.remaining:f} at most."},
            )
        return Reservation.objects.create(
            customer=customer,
            meter=meter,
            key=key,
            quantity=quantity,
            period_start=_period(customer, meter, now=now).start,
            made_at=now,
        )


def settle_reservation(customer: Customer, meter: Meter, *, key: str) -> Reservation:
    """End a reservation whose usage was sent. Again is the same; after a release it is refused."""
    return _end(customer, meter, key, ReservationState.SETTLED)


def release_reservation(customer: Customer, meter: Meter, *, key: str) -> Reservation:
    """End a reservation of which nothing was used. Again is the same; after it was settled it is refused."""
    return _end(customer, meter, key, ReservationState.RELEASED)


def _entitlement(customer: Customer, meter: Meter, limit: UsageLimit | None, *, now: datetime) -> Entitlement:
    period = _period(customer, meter, now=now)
    span = Span(0, customer.pk, period.start, period.end, zone=period.zone)
    used = measure(meter, [span])[0].quantity
    held = Reservation.objects.filter(
        customer=customer, meter=meter, state=ReservationState.HELD, period_start=period.start
    ).aggregate(held=Sum("quantity"))["held"] or Decimal(0)
    remaining = None if limit is None else max(limit.quantity - used - held, Decimal(0))
    return Entitlement(
        allowed=limit is None or limit.kind == LimitKind.SOFT or remaining != 0,
        limit=None if limit is None else limit.quantity,
        kind=None if limit is None else limit.kind,
        used=used,
        reserved=held,
        remaining=remaining,
        resets_at=period.end,
    )


def _period(customer: Customer, meter: Meter, *, now: datetime) -> Period:
    """Give the running billing period of the plan that prices the meter; the calendar month where none does."""
    day = local_day(now, customer.timezone)
    coverage = (
        MeterCoverage.objects.filter(
            Q(subscription__end_on=None) | Q(subscription__end_on__gt=day),
            customer=customer,
            meter=meter,
            subscription__start_on__lte=day,
        )
        .select_related("subscription__plan")
        .first()
    )
    if coverage is None:
        return month_period(day.year, day.month, customer.timezone)
    subscription = coverage.subscription
    whole = whole_period(subscription, day)
    return clip(whole, start_on=subscription.start_on, end_on=subscription.end_on) or whole


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
