"""The lines of an invoice: each rate of the plan, applied to what was measured, explained and rounded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from billing.drafts import DraftLine, DuePeriod
from billing.fee_books import Fee, FeeBook
from billing.fees import fee_lines, settle_before
from billing.models import InvoiceKind, LineKind
from billing.plan_rates import MeasureKey, PlanRate
from billing.plan_terms import plan_basis, plan_lines
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
from billing.rating.money import currency_digits
from metering.measuring import Measure
from metering.periods import Period


def draft_lines(
    due: DuePeriod,
    rates: Sequence[PlanRate],
    slot: int,
    measures: Mapping[MeasureKey, Mapping[int, Measure]],
    book: FeeBook,
) -> list[DraftLine]:
    """Give the lines of one invoice in the order of the plan's rates, then what the plan before gives back.

    Raises RatingError when a rate cannot price what was measured.
    """
    digits = currency_digits(due.subscription.plan.currency)
    charged = usage_period(due, book)
    lines: list[DraftLine] = []
    for each in rates:
        match each.terms:
            case UsageRate() as terms:
                if charged is not None:
                    assert each.key is not None
                    measured = measures[each.key][slot]
                    lines.append(_usage_line(each, terms, measured, charged, n=len(lines) + 1, digits=digits))
            case SubscriptionRate() as terms:
                lines += fee_lines(due, Fee(each.row, terms, each.written), book)
            case OneTimeRate() as terms if _is_first(due, book):
                lines.append(_one_time_line(due, each, terms, digits=digits))
    lines += settle_before(due, book)
    basis = plan_basis(due, plan_fees(rates), lines, book)
    if basis is not None:
        lines += plan_lines(due, basis, lines)
    return [line if line.n == n else replace(line, n=n) for n, line in enumerate(lines, start=1)]


def usage_period(due: DuePeriod, book: FeeBook) -> Period | None:
    """Give the days whose usage an invoice charges; None for an invoice without usage, and where it is all free."""
    if due.kind != InvoiceKind.PERIODIC:
        return None
    # Asked for each invoice: most have nothing agreed that could make a difference.
    if not (due.agreed_by or due.subscription.trial_usage_free or book.agreements):
        return due.period
    return book.agreement(due).usage_days(due.period)


def _is_first(due: DuePeriod, book: FeeBook) -> bool:
    """Tell whether one-time fees are due: once, after a trial, not when the customer moves on to another plan."""
    if due.kind != InvoiceKind.PERIODIC or due.subscription.moved_from_id is not None:
        return False
    return due.period.start_on <= book.agreement(due).charged_from < due.period.end_on


def plan_fees(rates: Sequence[PlanRate]) -> list[Fee]:
    """Give the fees of a plan, whose own days count towards its minimum."""
    return [Fee(each.row, each.terms, {}) for each in rates if isinstance(each.terms, SubscriptionRate)]


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
    priced: PlanRate, terms: UsageRate, measured: Measure, charged: Period, *, n: int, digits: int
) -> DraftLine:
    meter = priced.meter
    assert meter is not None  # held by rate_meter_exactly_on_usage
    rated = rate_measure(terms, measured)
    return DraftLine(
        n=n,
        kind=LineKind.USAGE,
        description=priced.description,
        rate_id=priced.row.pk,
        meter=meter,
        unit=meter.unit,
        quantity=measured.quantity,
        events=measured.events,
        unit_amount=_single_price(rated),
        amount=round_amount(rated.amount, digits),
        terms=priced.written,
        working=rated.working,
        period=charged,
        tax_category=priced.tax_category,
    )


def _one_time_line(due: DuePeriod, priced: PlanRate, terms: OneTimeRate, *, digits: int) -> DraftLine:
    return DraftLine(
        n=0,
        kind=LineKind.ONE_TIME,
        description=terms.label,
        rate_id=priced.row.pk,
        meter=None,
        unit="",
        quantity=Decimal(1),
        events=0,
        unit_amount=terms.amount,
        amount=round_amount(terms.amount, digits),
        terms=priced.written,
        working=(Step(terms.label, "flat", Decimal(1), terms.amount, terms.amount),),
        period=due.period,
        tax_category=priced.tax_category,
    )


def _single_price(rated: Rating) -> Decimal | None:
    """Give the unit price when one price explains the whole line; None for tiers, allowances and the like."""
    if len(rated.working) == 1 and rated.working[0].kind == "units":
        return rated.working[0].unit_amount
    return None
