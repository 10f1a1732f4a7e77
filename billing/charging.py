"""What the usage of some meters costs so far, and would cost with more: the amounts of the invoice's usage lines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from billing.agreements import agreements_of
from billing.drafts import DuePeriod
from billing.errors import RatingFailed
from billing.fee_books import FeeBook
from billing.invoicing import measures_of
from billing.lines import rate_measure, usage_period
from billing.models import Subscription
from billing.plan_rates import PlanRate, rates_of
from billing.rating import TermsError, UsageRate, round_amount
from billing.rating.errors import RatingError
from billing.rating.money import currency_digits
from metering.measuring import NOTHING, GroupMeasure, Measure

ZERO = Decimal(0)


@dataclass(slots=True)
class Charges:
    """Amounts in major units by place in `due` and meter, one for each quantity that was asked for on top.

    `failures` holds, in place of amounts, why usage cannot be priced.
    """

    amounts: dict[tuple[int, int], list[Decimal]] = field(default_factory=dict)
    failures: dict[tuple[int, int], RatingFailed] = field(default_factory=dict)

    def of(self, slot: int, meter_id: int) -> list[Decimal] | None:
        """Give the amounts; None where no plan prices the meter. Raises RatingFailed."""
        if (slot, meter_id) in self.failures:
            raise self.failures[slot, meter_id]
        return self.amounts.get((slot, meter_id))


def usage_charges(
    due: Sequence[DuePeriod],
    meter_ids: Collection[int],
    *,
    more: Mapping[tuple[int, int], Sequence[Decimal]] | None = None,
) -> Charges:
    """Price the usage of meters in periods from everything committed, one measure query per meter. Writes nothing.

    `more` gives, by place and meter, quantities on top of what was used; without it there is one amount: of what was
    used. What comes on top counts in the row of prices in which it is dearest, since nobody knows its dimensions yet.
    """
    rates = [_only(each, meter_ids) for each in rates_of([each.subscription for each in due])]
    stored: list[Subscription] = [each.subscription for each in due]
    book = FeeBook(agreements_of(stored))
    measures = measures_of(due, rates, book, None)
    charges = Charges()
    for slot, (each, known) in enumerate(zip(due, rates, strict=True)):
        if isinstance(known, TermsError):
            for meter_id in meter_ids:
                charges.failures[slot, meter_id] = RatingFailed(f"{each.subscription}: {known}")
            continue
        is_charged = usage_period(each, book) is not None
        digits = currency_digits(each.subscription.plan.currency)
        for rate in known:
            assert isinstance(rate.terms, UsageRate)
            assert rate.key is not None  # held by the rate being one of usage
            place = (slot, rate.key[0])
            wanted = (more or {}).get(place, (ZERO,))
            measured = measures[rate.key].get(slot, NOTHING) if is_charged else NOTHING
            try:
                amounts = [
                    _dearest(rate, rate.terms, measured, extra, digits=digits) if is_charged else ZERO
                    for extra in wanted
                ]
            except RatingError as problem:
                charges.failures[place] = RatingFailed(f"{each.subscription}: {problem}")
                continue
            before = charges.amounts.get(place, [ZERO] * len(amounts))
            charges.amounts[place] = [old + new for old, new in zip(before, amounts, strict=True)]
    return charges


def _only(read: list[PlanRate] | TermsError, meter_ids: Collection[int]) -> list[PlanRate] | TermsError:
    if isinstance(read, TermsError):
        return read
    return [rate for rate in read if rate.key is not None and rate.key[0] in meter_ids]


def _dearest(rate: PlanRate, terms: UsageRate, measured: Measure, extra: Decimal, *, digits: int) -> Decimal:
    if not extra:
        return round_amount(rate_measure(terms, measured).amount, digits)
    assert rate.row.meter is not None  # held by rate_meter_exactly_on_usage
    windowed = bool(rate.row.meter.window)
    return max(
        round_amount(rate_measure(terms, each).amount, digits)
        for each in _with_more(terms, measured, extra, windowed=windowed)
    )


def _with_more(terms: UsageRate, measured: Measure, extra: Decimal, *, windowed: bool) -> Iterable[Measure]:
    """Give the measure with a quantity on top, as one event, once for each row of prices it may fall in."""
    whole = measured._replace(
        quantity=measured.quantity + extra,
        events=measured.events + 1,
        values=None if measured.values is None else (*measured.values, extra),
        windows=(*(measured.windows or ()), extra) if windowed else measured.windows,
    )
    if not terms.dimensions:
        yield whole
        return
    for row in terms.rows:
        values = {name: row.match.get(name, "") for name in terms.dimensions}
        groups = list(measured.groups)
        at = next((n for n, group in enumerate(groups) if group.dimensions == values), None)
        old = groups.pop(at) if at is not None else GroupMeasure(values, ZERO, 0, ())
        groups.append(
            GroupMeasure(
                values,
                old.quantity + extra,
                old.events + 1,
                (*(old.values or ()), extra),
                (*(old.windows or ()), extra) if windowed else None,
            )
        )
        yield whole._replace(groups=tuple(groups))
