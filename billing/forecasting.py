"""What a running period may still come to: between what settled so far and that plus everything pending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from billing.charging import usage_charges
from billing.errors import RatingFailed
from billing.limiting import running_periods
from billing.models import Rate
from customers.models import Customer
from metering.aggregation import Span
from metering.measuring import measure
from metering.models import Meter
from metering.periods import Period
from metering.quality import Quality, outcome_quality

# How far back reversals say how many of the pending outcomes will be reversed.
PAST = timedelta(days=365)


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
    amounts: tuple[Decimal, Decimal, Decimal] | None
    currency: str

    @property
    def pending(self) -> Decimal:
        return self.most - self.least


def forecasts(customer: Customer, meters: Sequence[Meter], *, now: datetime) -> list[Forecast]:
    """Give the forecast of each outcome meter among these. Writes nothing."""
    chosen = [meter for meter in meters if meter.is_outcome]
    running = running_periods({customer.pk: customer}, [(customer.pk, meter.pk) for meter in chosen], now=now)
    found = []
    for meter in chosen:
        each = running[customer.pk, meter.pk]
        period = each.period
        spans = [
            Span(0, customer.pk, period.start, max(now, period.start), zone=period.zone),
            Span(1, customer.pk, period.start, period.end, zone=period.zone),
        ]
        measured = measure(meter, spans)
        least, most = measured[0].quantity, measured[1].quantity
        rate = _reversal_rate(customer, meter, now=now)
        expected = most - (most - least) * _decimal(rate or Fraction(0))
        amounts = None
        if each.due is not None and not _by_dimensions(each.due.subscription.plan_id, meter):
            more = {(0, meter.pk): (least - most, expected - most, Decimal(0))}
            try:
                priced = usage_charges([each.due], [meter.pk], more=more).of(0, meter.pk)
            except RatingFailed:
                priced = None
            amounts = (priced[0], priced[1], priced[2]) if priced else None
        currency = each.due.subscription.plan.currency if each.due else customer.currency
        found.append(Forecast(meter, period, least, expected, most, rate, amounts, currency))
    return found


def _reversal_rate(customer: Customer, meter: Meter, *, now: datetime) -> Fraction | None:
    """Give the share of reversed outcomes of the customer in the past; that of all customers where it has none."""
    for customer_id in (customer.pk, None):
        whole: Quality = outcome_quality(
            meter, since=(now - PAST).date(), end=now, now=now, group_by="source", customer_id=customer_id
        ).whole
        if whole.reversal_rate is not None:
            return whole.reversal_rate
    return None


def _decimal(share: Fraction) -> Decimal:
    """Give a share to four digits: a forecast is no invoice."""
    return Decimal(round(share * 10_000)) / 10_000


def _by_dimensions(plan_id: int, meter: Meter) -> bool:
    """Tell whether a price depends on dimensions, so that nobody knows which of the usage would go."""
    return any(row.terms.get("dimensions") for row in Rate.objects.filter(plan=plan_id, meter=meter))
