"""What running periods may still come to: between what settled so far and that plus everything pending."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from django.db.models import Q, QuerySet

from billing.charging import Charges, usage_charges
from billing.errors import RatingFailed
from billing.limiting import Pair, Running, running_periods
from billing.models import MeterCoverage
from billing.plan_rates import rates_of
from billing.rating import TermsError, UsageRate
from customers.models import Customer
from metering.measuring import measure
from metering.meter_types import OncePerSubject
from metering.models import Meter
from metering.periods import Period
from metering.quality import outcome_quality
from metering.spans import Span

# How far back reversals say how many of the pending outcomes will be reversed.
PAST = timedelta(days=365)
# For more customers than these, a forecast of all says no money: pricing them takes as long as closing a month.
PRICED_AT_MOST = 5_000
ZERO = Decimal(0)
Amounts = tuple[Decimal, Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Quantities that settle in the running period. `amounts` are what least, expected and most cost, or None.

    `expected` takes from what is pending the share that was reversed in the year before; it is most without a past.
    """

    meter: Meter
    period: Period
    least: Decimal
    expected: Decimal
    most: Decimal
    reversal_rate: Fraction | None
    amounts: Amounts | None
    currency: str

    @property
    def pending(self) -> Decimal:
        return self.most - self.least


@dataclass(slots=True)
class WholeForecast:
    """The forecasts of all customers of an outcome meter, added up. `amounts` are by currency.

    `unpriced` says of how many customers nothing is in the amounts, because a price depends on dimensions.
    """

    meter: Meter
    customers: int = 0
    least: Decimal = ZERO
    expected: Decimal = ZERO
    most: Decimal = ZERO
    unpriced: int = 0
    amounts: dict[str, Amounts] = field(default_factory=dict)

    @property
    def pending(self) -> Decimal:
        return self.most - self.least

    def add(self, one: Forecast) -> None:
        self.customers += 1
        self.least += one.least
        self.expected += one.expected
        self.most += one.most
        if one.amounts is None:
            self.unpriced += 1
            return
        before = self.amounts.get(one.currency, (ZERO, ZERO, ZERO))
        least, expected, most = (old + new for old, new in zip(before, one.amounts, strict=True))
        self.amounts[one.currency] = (least, expected, most)


def forecasts(customer: Customer, meters: Sequence[Meter], *, now: datetime) -> list[Forecast]:
    """Give the forecast of each outcome meter among these. Writes nothing."""
    chosen = {meter.pk: meter for meter in meters if meter.is_outcome}
    pairs = [(customer.pk, meter) for meter in chosen]
    running = running_periods({customer.pk: customer}, pairs, now=now)
    return list(_forecasts({customer.pk: customer}, chosen, running, now=now))


def forecast_of_all(*, now: datetime) -> list[WholeForecast]:
    """Add up the forecasts of all customers whose plans price an outcome meter, by meter. Writes nothing.

    A few queries for each meter, whatever the number of customers.
    """
    pairs = set(_in_use(now=now).order_by().values_list("customer_id", "meter_id"))
    chosen = Meter.objects.filter(pk__in={meter for _, meter in pairs}).order_by("label", "code")
    meters = {meter.pk: meter for meter in chosen}
    customers = Customer.objects.in_bulk({customer for customer, _ in pairs})
    running = {
        pair: each
        for pair, each in running_periods(customers, pairs, now=now).items()
        if each.subscription is not None
    }
    found = {pk: WholeForecast(meter) for pk, meter in meters.items()}
    with_money = len(running) <= PRICED_AT_MOST
    for one in _forecasts(customers, meters, running, now=now, with_money=with_money):
        found[one.meter.pk].add(one)
    return [each for each in found.values() if each.customers]


def has_forecast(*, now: datetime) -> bool:
    """Tell whether somebody's plan prices an outcome meter."""
    return _in_use(now=now).exists()


def _in_use(*, now: datetime) -> QuerySet[MeterCoverage]:
    """Give which outcome meters plans of about today price, for whom; days of every time zone are among them."""
    recent = (now - timedelta(days=2)).date()
    return MeterCoverage.objects.filter(
        ~Q(meter__once_per_subject=OncePerSubject.NEVER)
        | Q(meter__verification_hours__isnull=False)
        | Q(meter__evidence_meter__isnull=False),
        Q(subscription__end_on=None) | Q(subscription__end_on__gt=recent),
        subscription__start_on__lte=(now + timedelta(days=2)).date(),
    )


def _forecasts(
    customers: Mapping[int, Customer],
    meters: Mapping[int, Meter],
    running: Mapping[Pair, Running],
    *,
    now: datetime,
    with_money: bool = True,
) -> Iterable[Forecast]:
    counted: dict[Pair, tuple[Decimal, Decimal, Decimal, Fraction | None]] = {}
    for meter_id, meter in meters.items():
        pairs = sorted(pair for pair in running if pair[1] == meter_id)
        if not pairs:
            continue
        spans = []
        for place, pair in enumerate(pairs):
            period = running[pair].period
            until = min(max(now, period.start), period.end)
            spans += [
                Span(2 * place, pair[0], period.start, until, zone=period.zone),
                Span(2 * place + 1, pair[0], period.start, period.end, zone=period.zone),
            ]
        measured = measure(meter, spans)
        rates = _reversal_rates(meter, {pair[0]: customers[pair[0]] for pair in pairs}, now=now)
        for place, pair in enumerate(pairs):
            least, most = measured[2 * place].quantity, measured[2 * place + 1].quantity
            rate = rates[pair[0]]
            expected = most - (most - least) * _decimal(rate or Fraction(0))
            counted[pair] = (least, expected, most, rate)
    priced = _amounts(running, counted) if with_money else {}
    for pair, (least, expected, most, rate) in counted.items():
        each = running[pair]
        currency = each.subscription.plan.currency if each.subscription else customers[pair[0]].currency
        yield Forecast(meters[pair[1]], each.period, least, expected, most, rate, priced.get(pair), currency)


def _amounts(
    running: Mapping[Pair, Running], counted: Mapping[Pair, tuple[Decimal, Decimal, Decimal, object]]
) -> dict[Pair, Amounts]:
    """Price what is least, expected and most, where the price does not depend on dimensions."""
    due = {pair: place for pair in counted if (place := running[pair].due) is not None}
    by_dimensions = [_by_dimensions(read) for read in rates_of([each.subscription for each in due.values()])]
    pairs = [pair for pair, depend in zip(due, by_dimensions, strict=True) if pair[1] not in depend]
    more = {
        (slot, pair[1]): (least - most, expected - most, ZERO)
        for slot, pair in enumerate(pairs)
        for least, expected, most, _ in (counted[pair],)
    }
    if not pairs:
        return {}
    charges = usage_charges([due[pair] for pair in pairs], {pair[1] for pair in pairs}, more=more)
    found = {}
    for slot, pair in enumerate(pairs):
        amounts = _priced(charges, slot, pair[1])
        if amounts:
            found[pair] = (amounts[0], amounts[1], amounts[2])
    return found


def _priced(charges: Charges, slot: int, meter_id: int) -> list[Decimal] | None:
    try:
        return charges.of(slot, meter_id)
    except RatingFailed:
        return None


def _by_dimensions(read: object) -> Collection[int]:
    """Give the meters whose price depends on dimensions, so that nobody knows which of the usage would go."""
    if isinstance(read, TermsError):
        return ()
    assert isinstance(read, list)
    return {
        rate.key[0]
        for rate in read
        if rate.key is not None and isinstance(rate.terms, UsageRate) and rate.terms.dimensions
    }


def _reversal_rates(
    meter: Meter, customers: Mapping[int, Customer], *, now: datetime
) -> dict[int, Fraction | None]:
    """Give the share of reversed outcomes of each customer in the past; that of all where it has none."""
    since = (now - PAST).date()
    if len(customers) == 1:
        for only in customers:
            own = outcome_quality(
                meter, since=since, end=now, now=now, group_by="source", customer_id=only
            ).whole
            if own.reversal_rate is not None:
                return {only: own.reversal_rate}
    report = outcome_quality(meter, since=since, end=now, now=now, group_by="customer")
    found = {}
    for pk, customer in customers.items():
        past = report.groups.get(customer.code)
        own_rate = past.reversal_rate if past is not None else None
        found[pk] = report.whole.reversal_rate if own_rate is None else own_rate
    return found


def _decimal(share: Fraction) -> Decimal:
    """Give a share to four digits: a forecast is no invoice."""
    return Decimal(round(share * 10_000)) / 10_000
