"""The lines of an invoice: each rate of the plan, applied to what was measured, explained and rounded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.drafts import DraftLine, DuePeriod
from billing.formatting import money
from billing.models import LineKind, Plan, Rate
from billing.rating import (
    AnyRate,
    GroupUsage,
    OneTimeRate,
    Rating,
    Step,
    SubscriptionRate,
    Usage,
    UsageRate,
    in_currency,
    needs_event_amounts,
    parse_rate,
    rate,
    required_grouping,
    round_amount,
)
from billing.rating.commitments import PlanLine, apply_plan_terms
from billing.rating.money import currency_digits, round_fraction
from billing.rating.working import plain
from billing.subscribing import fee_period, whole_period
from metering.measuring import NOTHING, Measure
from metering.models import Meter
from metering.periods import Period, clip

# What is measured for a rate: the meter, the dimensions to group by, and whether each event's value is needed.
MeasureKey = tuple[int, tuple[str, ...], bool]


@dataclass(frozen=True, slots=True)
class PlanRate:
    """A rate, read once for all the customers that have it. `key` says what to measure for it.

    `written` is what an invoice line freezes: the terms in the currency of the plan.
    """

    row: Rate
    terms: AnyRate
    written: Mapping[str, object]
    key: MeasureKey | None


def read_plan_rate(row: Rate, *, plan: Plan, override: Mapping[str, object] | None = None) -> PlanRate:
    """Read a stored rate, or the terms a customer has in its place. Raises TermsError when they cannot be used."""
    written = row.terms if override is None else override
    terms = parse_rate(written)
    if not isinstance(terms, UsageRate):
        return PlanRate(row, terms, written, None)
    if plan.custom_unit_value is not None:
        terms = in_currency(terms, plan.custom_unit_value)
        written = terms.as_json()
    assert row.meter_id is not None  # held by rate_meter_exactly_on_usage
    return PlanRate(row, terms, written, (row.meter_id, required_grouping(terms), needs_event_amounts(terms)))


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
                lines.append(_usage_line(due, n, each, terms, measured, digits=digits))
            case SubscriptionRate() as terms:
                covered = _fee_days(due, terms)
                if covered is not None:
                    lines.append(_subscription_line(due, n, each, terms, covered, digits=digits))
            case OneTimeRate() as terms if _is_first(due):
                lines.append(_one_time_line(due, n, each, terms, digits=digits))
    return lines + _plan_lines(due, lines, digits=digits)


def _is_first(due: DuePeriod) -> bool:
    """Tell whether one-time fees are due: once, also when the customer moves on to another version."""
    subscription = due.subscription
    return due.period.start_on == subscription.start_on and subscription.moved_from_id is None


def _usage_description(row: Rate, plan: Plan) -> str:
    assert row.meter is not None  # held by rate_meter_exactly_on_usage
    name = row.label or row.meter.label
    if plan.custom_unit_value is None:
        return name
    return f"{name} (1 {plan.custom_unit} = {money(plan.custom_unit_value, plan.currency)})"


def _fee_days(due: DuePeriod, terms: SubscriptionRate) -> Period | None:
    """Give the days a fee is for; None where this invoice does not carry it.

    Where usage settles within the period of the fees, the first of its invoices carries fees in advance, the last
    those in arrears.
    """
    subscription = due.subscription
    if not subscription.plan.usage_period:
        return due.period
    whole = fee_period(subscription, due.period.start_on)
    covered = clip(whole, start_on=subscription.start_on, end_on=subscription.end_on)
    assert covered is not None  # the invoice's own days are covered
    if terms.timing == "in_advance":
        return covered if due.period.start_on == covered.start_on else None
    return covered if due.period.end_on == covered.end_on else None


def _plan_lines(due: DuePeriod, lines: Sequence[DraftLine], *, digits: int) -> list[DraftLine]:
    """Give the lines of what holds for the invoice as a whole: included spend, minimum, service fee."""
    plan = due.subscription.plan
    sums = {kind: sum((line.amount for line in lines if line.kind == kind), Decimal(0)) for kind in LineKind}
    added = apply_plan_terms(
        plan.terms,
        usage=sums[LineKind.USAGE],
        fees=sums[LineKind.SUBSCRIPTION],
        once=sums[LineKind.ONE_TIME],
        days_used=due.period.days,
        days=whole_period(due.subscription, due.period.start_on).days,
        digits=digits,
    )
    return [
        DraftLine(
            n=n,
            kind=line.kind,
            description=_describe_plan_line(line),
            rate_id=None,
            meter=None,
            unit="",
            quantity=Decimal(1),
            events=0,
            unit_amount=None,
            amount=line.amount,
            terms={"kind": line.kind, **plan.terms.as_json()},
            working=line.working,
            period=due.period,
            tax_category=plan.tax_category,
        )
        for n, line in enumerate(added, start=len(lines) + 1)
    ]


def _describe_plan_line(line: PlanLine) -> str:
    name = LineKind(line.kind).label
    percent = line.working[0].percent
    return name if percent is None else f"{name} {plain(percent)} %"


def read_frozen(meter_id: int, terms: Mapping[str, object]) -> tuple[UsageRate, MeasureKey]:
    """Read the terms that a usage line froze, and what to measure for them. Raises TermsError."""
    parsed = parse_rate(terms)
    assert isinstance(parsed, UsageRate)  # a usage line froze them
    return parsed, (meter_id, required_grouping(parsed), needs_event_amounts(parsed))


def rate_measure(terms: UsageRate, measured: Measure) -> Rating:
    """Price what was measured. Raises RatingError when the terms cannot."""
    usage = Usage(
        quantity=measured.quantity,
        groups=tuple(GroupUsage(g.dimensions, g.quantity, g.values, g.windows) for g in measured.groups),
        event_amounts=measured.values,
        windows=measured.windows,
    )
    return rate(terms, usage)


def _usage_line(
    due: DuePeriod, n: int, priced: PlanRate, terms: UsageRate, measured: Measure, *, digits: int
) -> DraftLine:
    row = priced.row
    assert row.meter is not None  # held by rate_meter_exactly_on_usage
    rated = rate_measure(terms, measured)
    return _line(
        due,
        n,
        priced,
        kind=LineKind.USAGE,
        description=_usage_description(row, due.subscription.plan),
        meter=row.meter,
        quantity=measured.quantity,
        events=measured.events,
        unit_amount=_single_price(rated),
        rated=rated,
        digits=digits,
    )


def _subscription_line(
    due: DuePeriod, n: int, priced: PlanRate, terms: SubscriptionRate, covered: Period, *, digits: int
) -> DraftLine:
    used, days = covered.days, fee_period(due.subscription, covered.start_on).days
    part = terms.prorated and used < days
    seats = Decimal(due.subscription.quantity) if terms.per_seat else Decimal(1)
    whole = terms.amount * seats
    amount = round_fraction(Fraction(whole) * used / days, digits) if part else whole
    label = f"{terms.label} ({used} of {days} days)" if part else terms.label
    if terms.per_seat:
        steps = [Step(terms.label, "seats", seats, terms.amount, whole)]
        if part:
            steps.append(
                Step(f"{days - used} of {days} days not used", "unused_days", None, None, amount - whole)
            )
    else:
        steps = [Step(label, "flat", Decimal(1), amount, amount)]
    return _line(
        due,
        n,
        priced,
        kind=LineKind.SUBSCRIPTION,
        description=label,
        quantity=seats,
        unit_amount=terms.amount if terms.per_seat else amount,
        rated=Rating(amount, tuple(steps)),
        digits=digits,
        period=covered,
    )


def _one_time_line(due: DuePeriod, n: int, priced: PlanRate, terms: OneTimeRate, *, digits: int) -> DraftLine:
    rated = Rating(
        terms.amount,
        (Step(terms.label, "flat", Decimal(1), terms.amount, terms.amount),),
    )
    return _line(
        due,
        n,
        priced,
        kind=LineKind.ONE_TIME,
        description=terms.label,
        unit_amount=terms.amount,
        rated=rated,
        digits=digits,
    )


def _line(
    due: DuePeriod,
    n: int,
    priced: PlanRate,
    *,
    kind: str,
    description: str,
    unit_amount: Decimal | None,
    rated: Rating,
    digits: int,
    meter: Meter | None = None,
    quantity: Decimal = Decimal(1),
    events: int = 0,
    period: Period | None = None,
) -> DraftLine:
    return DraftLine(
        n=n,
        kind=kind,
        description=description,
        rate_id=priced.row.pk,
        meter=meter,
        unit=meter.unit if meter else "",
        quantity=quantity,
        events=events,
        unit_amount=unit_amount,
        amount=round_amount(rated.amount, digits),
        terms=priced.written,
        working=rated.working,
        period=period or due.period,
        tax_category=priced.row.tax_category or due.subscription.plan.tax_category,
    )


def _single_price(rated: Rating) -> Decimal | None:
    """Give the unit price when one price explains the whole line; None for tiers, allowances and the like."""
    if len(rated.working) == 1 and rated.working[0].kind == "units":
        return rated.working[0].unit_amount
    return None
