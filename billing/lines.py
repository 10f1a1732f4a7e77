"""The lines of an invoice: each rate of the plan, applied to what was measured, explained and rounded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.drafts import DraftLine, DuePeriod
from billing.models import LineKind, Rate
from billing.rating import (
    AnyRate,
    GroupUsage,
    OneTimeRate,
    Rating,
    Step,
    SubscriptionRate,
    Usage,
    UsageRate,
    needs_event_amounts,
    parse_rate,
    rate,
    required_grouping,
    round_amount,
)
from billing.rating.money import currency_digits, round_fraction
from billing.subscribing import whole_period
from metering.measuring import NOTHING, Measure
from metering.models import Meter

# What is measured for a rate: the meter, the dimensions to group by, and whether each event's value is needed.
MeasureKey = tuple[int, tuple[str, ...], bool]


@dataclass(frozen=True, slots=True)
class PlanRate:
    """A rate of a plan, read once for all the customers that have it. `key` says what to measure for it."""

    row: Rate
    terms: AnyRate
    key: MeasureKey | None


def read_plan_rate(row: Rate) -> PlanRate:
    """Read a stored rate. Raises TermsError when its terms cannot be used."""
    terms = parse_rate(row.terms)
    if not isinstance(terms, UsageRate):
        return PlanRate(row, terms, None)
    assert row.meter_id is not None  # held by rate_meter_exactly_on_usage
    return PlanRate(row, terms, (row.meter_id, required_grouping(terms), needs_event_amounts(terms)))


def draft_lines(
    due: DuePeriod,
    rates: Sequence[PlanRate],
    slot: int,
    measures: Mapping[MeasureKey, Mapping[int, Measure]],
) -> list[DraftLine]:
    """Give the lines of one invoice in the order of the plan's rates.

    Raises RatingError when a rate cannot price what was measured.
    """
    digits = currency_digits(due.subscription.plan.currency)
    lines: list[DraftLine] = []
    for each in rates:
        n = len(lines) + 1
        match each.terms:
            case UsageRate() as terms:
                assert each.key is not None
                measured = measures[each.key].get(slot, NOTHING)
                lines.append(_usage_line(due, n, each.row, terms, measured, digits=digits))
            case SubscriptionRate() as terms:
                lines.append(_subscription_line(due, n, each.row, terms, digits=digits))
            case OneTimeRate() as terms if due.period.start_on == due.subscription.start_on:
                lines.append(_one_time_line(due, n, each.row, terms, digits=digits))
    return lines


def _usage_line(
    due: DuePeriod, n: int, row: Rate, terms: UsageRate, measured: Measure, *, digits: int
) -> DraftLine:
    assert row.meter is not None  # held by rate_meter_exactly_on_usage
    usage = Usage(
        quantity=measured.quantity,
        groups=tuple(GroupUsage(g.dimensions, g.quantity, g.values, g.windows) for g in measured.groups),
        event_amounts=measured.values,
        windows=measured.windows,
    )
    rated = rate(terms, usage)
    return _line(
        due,
        n,
        row,
        kind=LineKind.USAGE,
        description=row.label or row.meter.label,
        meter=row.meter,
        quantity=measured.quantity,
        events=measured.events,
        unit_amount=_single_price(rated),
        rated=rated,
        digits=digits,
    )


def _subscription_line(
    due: DuePeriod, n: int, row: Rate, terms: SubscriptionRate, *, digits: int
) -> DraftLine:
    whole = whole_period(due.subscription, due.period.start_on)
    used, days = due.period.days, whole.days
    amount = terms.amount
    label = terms.label
    if terms.prorated and used < days:
        amount = round_fraction(Fraction(terms.amount) * used / days, digits)
        label = f"{terms.label} ({used} of {days} days)"
    rated = Rating(amount, (Step(label, "flat", Decimal(1), amount, amount),))
    return _line(
        due,
        n,
        row,
        kind=LineKind.SUBSCRIPTION,
        description=label,
        unit_amount=amount,
        rated=rated,
        digits=digits,
    )


def _one_time_line(due: DuePeriod, n: int, row: Rate, terms: OneTimeRate, *, digits: int) -> DraftLine:
    rated = Rating(
        terms.amount,
        (Step(terms.label, "flat", Decimal(1), terms.amount, terms.amount),),
    )
    return _line(
        due,
        n,
        row,
        kind=LineKind.ONE_TIME,
        description=terms.label,
        unit_amount=terms.amount,
        rated=rated,
        digits=digits,
    )


def _line(
    due: DuePeriod,
    n: int,
    row: Rate,
    *,
    kind: str,
    description: str,
    unit_amount: Decimal | None,
    rated: Rating,
    digits: int,
    meter: Meter | None = None,
    quantity: Decimal = Decimal(1),
    events: int = 0,
) -> DraftLine:
    return DraftLine(
        n=n,
        kind=kind,
        description=description,
        rate_id=row.pk,
        meter=meter,
        unit=meter.unit if meter else "",
        quantity=quantity,
        events=events,
        unit_amount=unit_amount,
        amount=round_amount(rated.amount, digits),
        terms=row.terms,
        working=rated.working,
        period=due.period,
    )


def _single_price(rated: Rating) -> Decimal | None:
    """Give the unit price when one price explains the whole line; None for tiers, allowances and the like."""
    if len(rated.working) == 1 and rated.working[0].kind == "units":
        return rated.working[0].unit_amount
    return None
