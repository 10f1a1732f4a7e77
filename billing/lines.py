"""The lines of an invoice: each rate of the plan, applied to what was measured, explained and rounded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from billing.drafts import DraftLine, DuePeriod
from billing.models import LineKind, Rate
from billing.rating import (
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


def measure_key(row: Rate) -> MeasureKey | None:
    """Give what must be measured to price a rate; None for one that has no meter."""
    if row.meter_id is None:
        return None
    parsed = parse_rate(row.terms)
    assert isinstance(parsed, UsageRate)  # held by rate_meter_exactly_on_usage
    return row.meter_id, required_grouping(parsed), needs_event_amounts(parsed)


def draft_lines(
    due: DuePeriod,
    rates: Sequence[Rate],
    slot: int,
    measures: Mapping[MeasureKey, Mapping[int, Measure]],
) -> list[DraftLine]:
    """Give the lines of one invoice in the order of the plan's rates.

    Raises RatingError or TermsError when a rate cannot price what was measured.
    """
    digits = currency_digits(due.subscription.plan.currency)
    lines = []
    for row in rates:
        parsed = parse_rate(row.terms)
        if isinstance(parsed, UsageRate):
            assert row.meter is not None  # held by rate_meter_exactly_on_usage
            measured = measures[row.meter.pk, required_grouping(parsed), needs_event_amounts(parsed)].get(
                slot, NOTHING
            )
            line = _usage_line(due, row, row.meter, parsed, measured, digits=digits)
        elif isinstance(parsed, SubscriptionRate):
            line = _subscription_line(due, row, parsed, digits=digits)
        elif due.period.start_on == due.subscription.start_on:
            line = _one_time_line(due, row, parsed, digits=digits)
        else:
            continue
        lines.append(line)
    return [replace(line, n=n) for n, line in enumerate(lines, start=1)]


def _usage_line(
    due: DuePeriod,
    row: Rate,
    meter: Meter,
    parsed: UsageRate,
    measured: Measure,
    *,
    digits: int,
) -> DraftLine:
    usage = Usage(
        quantity=measured.quantity,
        groups=tuple(GroupUsage(g.dimensions, g.quantity, g.values) for g in measured.groups),
        event_amounts=measured.values,
    )
    rated = rate(parsed, usage)
    return _line(
        due,
        row,
        kind=LineKind.USAGE,
        description=row.label or meter.label,
        meter=meter,
        quantity=measured.quantity,
        events=measured.events,
        unit_amount=_single_price(rated),
        rated=rated,
        digits=digits,
    )


def _subscription_line(due: DuePeriod, row: Rate, parsed: SubscriptionRate, *, digits: int) -> DraftLine:
    whole = whole_period(due.subscription, due.period.start_on)
    used, days = due.period.days, whole.days
    amount = parsed.amount
    label = parsed.label
    if parsed.prorated and used < days:
        amount = round_fraction(Fraction(parsed.amount) * used / days, digits)
        label = f"{parsed.label} ({used} of {days} days)"
    rated = Rating(amount, (Step(label, "flat", Decimal(1), amount, amount),))
    return _line(
        due,
        row,
        kind=LineKind.SUBSCRIPTION,
        description=label,
        unit_amount=amount,
        rated=rated,
        digits=digits,
    )


def _one_time_line(due: DuePeriod, row: Rate, parsed: OneTimeRate, *, digits: int) -> DraftLine:
    rated = Rating(
        parsed.amount,
        (Step(parsed.label, "flat", Decimal(1), parsed.amount, parsed.amount),),
    )
    return _line(
        due,
        row,
        kind=LineKind.ONE_TIME,
        description=parsed.label,
        unit_amount=parsed.amount,
        rated=rated,
        digits=digits,
    )


def _line(
    due: DuePeriod,
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
        n=0,
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
