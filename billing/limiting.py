"""How far customers have come with their limits. What the limits are is set by `billing.restricting`.

`standings` is the one place that compares use with limits: for entitlements, reservations, reminders, staff and portal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from django.db import connection
from django.db.models import Q

from billing.charging import Charges, usage_charges
from billing.drafts import DuePeriod
from billing.errors import RatingFailed
from billing.formatting import money, quantity_of
from billing.models import (
    MeterCoverage,
    Subscription,
    UsageLimit,
)
from billing.rating.exact import exactly
from billing.subscription_periods import whole_period
from customers.models import Customer
from metering.measuring import measure_all
from metering.models import Meter
from metering.periods import Period, clip, local_day, month_period
from metering.spans import Asked, Span

ZERO = Decimal(0)
# A customer and a meter.
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Running:
    """The running billing period of a customer and meter; without a plan that prices it, the calendar month."""

    period: Period
    subscription: Subscription | None

    @property
    def due(self) -> DuePeriod | None:
        return None if self.subscription is None else DuePeriod(self.subscription, self.period)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a customer has come with a limit in its running period.

    All in units of the meter, or all in `currency`. `held` is what reservations come to on top of what was `used`.
    """

    limit: UsageLimit
    period: Period
    used: Decimal
    held: Decimal
    currency: str

    @property
    @exactly
    def remaining(self) -> Decimal:
        """What is left, never below 0."""
        return max(self.limit.most - self.used - self.held, ZERO)

    @property
    def is_reached(self) -> bool:
        return self.remaining == 0

    @property
    def percent(self) -> int:
        """The full percents that are used; 100 of a limit of 0."""
        most = Fraction(self.limit.most)
        return int(Fraction(self.used) * 100 / most) if most else 100

    @property
    @exactly
    def reached(self) -> list[int]:
        """The percentages to remind of that are reached."""
        return [each for each in sorted(self.limit.remind_at) if self.used * 100 >= each * self.limit.most]

    def words(self, value: Decimal) -> str:
        if self.limit.is_money:
            return money(value, self.currency)
        return quantity_of(value, self.limit.meter.unit)


def running_periods(
    customers: Mapping[int, Customer], pairs: Collection[Pair], *, now: datetime
) -> dict[Pair, Running]:
    """Give the running period of each customer and meter. One query, whatever their number."""
    wanted = set(pairs)
    recent = (now - timedelta(days=2)).date()
    rows = MeterCoverage.objects.filter(
        Q(subscription__end_on=None) | Q(subscription__end_on__gt=recent),
        customer__in={customer for customer, _ in wanted},
        meter__in={meter for _, meter in wanted},
        subscription__start_on__lte=(now + timedelta(days=2)).date(),
    ).select_related("subscription__plan", "subscription__customer")
    found: dict[Pair, Running] = {}
    for row in rows:
        pair, subscription = (row.customer_id, row.meter_id), row.subscription
        day = local_day(now, customers[row.customer_id].timezone) if pair in wanted else None
        if (
            day is None
            or day < subscription.start_on
            or (subscription.end_on is not None and subscription.end_on <= day)
        ):
            continue
        whole = whole_period(subscription, day)
        covered = clip(whole, start_on=subscription.start_on, end_on=subscription.end_on)
        found[pair] = Running(covered or whole, subscription)
    for pair in wanted - found.keys():
        zone = customers[pair[0]].timezone
        day = local_day(now, zone)
        found[pair] = Running(month_period(day.year, day.month, zone), None)
    return found


def standings(limits: Sequence[UsageLimit], *, now: datetime) -> list[Standing]:
    """Give how far each limit is used, in their order. Customer and meter are loaded on them.

    A few queries for each meter, whatever the number of customers. Raises RatingFailed where usage has no price.
    """
    looked_at = look_at(limits, now=now)
    return [looked_at.standing(limit) for limit in limits]


def known_standings(limits: Sequence[UsageLimit], *, now: datetime) -> list[Standing | None]:
    """Give how far each limit is used, in their order; None where usage has no price."""
    looked_at = look_at(limits, now=now)
    found: list[Standing | None] = []
    for limit in limits:
        try:
            found.append(looked_at.standing(limit))
        except RatingFailed:
            found.append(None)
    return found


@dataclass(frozen=True, slots=True)
class Look:
    """What was used, and is held, of the meters of some limits, at one moment."""

    running: Mapping[Pair, Running]
    used: Mapping[Pair, Decimal]
    held: Mapping[Pair, Decimal]
    charges: Charges
    places: Mapping[Pair, int]

    def standing(self, limit: UsageLimit) -> Standing:
        """Raises RatingFailed where a limit is in money and the usage has no price."""
        pair = (limit.customer_id, limit.meter_id)
        running = self.running[pair]
        if not limit.is_money:
            return Standing(limit, running.period, self.used[pair], self.held[pair], "")
        currency = running.subscription.plan.currency if running.subscription else limit.customer.currency
        amounts = self.amounts(limit)
        used, with_held = (amounts[0], amounts[1]) if amounts else (ZERO, ZERO)
        return Standing(limit, running.period, used, max(with_held - used, ZERO), currency)

    def amounts(self, limit: UsageLimit) -> list[Decimal] | None:
        """Give what is used costs, with what is held, and with what is wanted on top; None where nothing is priced."""
        pair = (limit.customer_id, limit.meter_id)
        return self.charges.of(self.places[pair], limit.meter_id) if pair in self.places else None


def look_at(
    limits: Sequence[UsageLimit],
    *,
    now: datetime,
    wanted: Decimal = ZERO,
    pairs: Sequence[tuple[Customer, Meter]] = (),
) -> Look:
    """Measure and price what some limits are about, and `pairs` that have none. `wanted` units come on top of each."""
    known = [*((limit.customer, limit.meter) for limit in limits), *pairs]
    customers = {customer.pk: customer for customer, _ in known}
    meters = {meter.pk: meter for _, meter in known}
    places = {(customer.pk, meter.pk) for customer, meter in known}
    running = running_periods(customers, places, now=now)
    held = _held(running, now=now)
    in_money = sorted(
        {
            (limit.customer_id, limit.meter_id)
            for limit in limits
            if limit.is_money and running[limit.customer_id, limit.meter_id].subscription is not None
        }
    )
    due = [each for pair in in_money if (each := running[pair].due) is not None]
    slots = {pair: slot for slot, pair in enumerate(in_money)}
    more = {(slot, pair[1]): (ZERO, held[pair], held[pair] + wanted) for pair, slot in slots.items()}
    charges = usage_charges(due, {meter for _, meter in in_money}, more=more) if due else Charges()
    in_units = {
        *((limit.customer_id, limit.meter_id) for limit in limits if not limit.is_money),
        *((customer.pk, meter.pk) for customer, meter in pairs),
    }
    return Look(running, _used(meters, running, in_units), held, charges, slots)


def _used(
    meters: Mapping[int, Meter], running: Mapping[Pair, Running], pairs: Iterable[Pair]
) -> dict[Pair, Decimal]:
    by_meter: dict[int, list[Pair]] = {}
    for pair in sorted(pairs):
        by_meter.setdefault(pair[1], []).append(pair)
    asked = [
        Asked(
            meters[meter_id],
            [
                Span(slot, pair[0], period.start, period.end, zone=period.zone)
                for slot, pair in enumerate(mine)
                for period in (running[pair].period,)
            ],
        )
        for meter_id, mine in by_meter.items()
    ]
    return {
        pair: measured[slot].quantity
        for mine, measured in zip(by_meter.values(), measure_all(asked), strict=True)
        for slot, pair in enumerate(mine)
    }


HELD = """
SELECT running.customer_id, running.meter_id, sum(held.quantity)
FROM unnest(%(customers)s::bigint[], %(meters)s::bigint[], %(starts)s::timestamptz[])
    AS running (customer_id, meter_id, start)
JOIN billing_reservation held ON held.customer_id = running.customer_id AND held.meter_id = running.meter_id
    AND held.made_at >= running.start
WHERE held.state = 'held' AND (held.expires_at IS NULL OR held.expires_at > %(now)s)
GROUP BY 1, 2
"""


def _held(running: Mapping[Pair, Running], *, now: datetime) -> dict[Pair, Decimal]:
    """Add up what is held of the running periods. A period may begin anew, as when the plan changes: the instant at
    which something was reserved tells whether its usage can be in it."""
    with connection.cursor() as cursor:
        cursor.execute(
            HELD,
            {
                "customers": [customer for customer, _ in running],
                "meters": [meter for _, meter in running],
                "starts": [each.period.start for each in running.values()],
                "now": now,
            },
        )
        found = {(customer, meter): held for customer, meter, held in cursor.fetchall()}
    return {pair: found.get(pair, ZERO) for pair in running}
