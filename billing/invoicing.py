"""What an invoice says: drawing it up for one customer or thousands, by one measure query per meter.

Previews (billing.previewing) and the close use the same `draw_up`. Everything that is frozen on an invoice is in its
draft, so issuing adds only a number and a date.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from billing.adjusting import Adjustment, adjustment_lines, compute_adjustments
from billing.agreements import agreements_of
from billing.consolidating import consolidate, payers_of, shared_groups
from billing.discounting import held_coupons
from billing.drafts import DraftDiscount, DraftLine, DrawnUp, DuePeriod, GroupKey, InvoiceDraft
from billing.errors import RatingFailed
from billing.fee_books import Fee, FeeBook, open_book
from billing.lines import draft_lines, plan_fees, usage_period
from billing.models import InvoiceKind, Subscription
from billing.parties import issuer_now, recipient_of
from billing.placing import place_adjustments
from billing.plan_rates import MeasureKey, PlanRate, rates_of
from billing.plan_terms import PlanBasis, plan_basis
from billing.rating import SubscriptionRate, TermsError
from billing.rating.errors import RatingError
from billing.rating.money import currency_digits
from billing.taxing import Taxes, tax_lines, tax_table
from metering.measuring import Measure, measure_all
from metering.models import Meter
from metering.spans import Asked, Span


def draw_up(
    due: Sequence[DuePeriod],
    *,
    now: datetime,
    watermark: int | None,
    changed_lines: Collection[int] = (),
    replaced: Collection[int] = (),
) -> DrawnUp:
    """Compute the invoices of many subscriptions at once, with one measure query per meter, whatever their number.

    `watermark` is the ledger position to count up to; None counts everything committed (previews).
    `changed_lines` are issued lines whose events changed: their differences go on these invoices (billing.adjusting).
    `replaced` are stored drafts that these take the place of. One customer's error never costs the others.
    Coupons come off the lines, tax is on what they leave (docs/money.md has the order); credits wait for the issue.
    """
    adjustments = place_adjustments(
        compute_adjustments(
            changed_lines, watermark=watermark, without_drafts=replaced, wait_for_drafts=True
        ),
        due,
    )
    rates = _rates(due)
    return _draw(
        due,
        rates,
        _open_book(due, rates),
        adjustments,
        now=now,
        watermark=watermark,
        replaced=replaced,
    )


def price_periods(due: Sequence[DuePeriod], *, now: datetime, watermark: int | None) -> DrawnUp:
    """Compute what periods cost by themselves: each with the fees of its own days, whatever was invoiced before.

    For comparing plans, not for invoices. Writes nothing.
    """
    stored = [each.subscription for each in due]
    stored += Subscription.objects.filter(pk__in={each.agreed_by for each in due if each.agreed_by})
    return _draw(
        due,
        _rates(due),
        FeeBook(agreements_of(row for row in stored if row.pk)),
        {},
        now=now,
        watermark=watermark,
    )


def _draw(
    due: Sequence[DuePeriod],
    rates: Sequence[list[PlanRate] | TermsError],
    book: FeeBook,
    adjustments: Mapping[int, list[Adjustment]],
    *,
    now: datetime,
    watermark: int | None,
    replaced: Collection[int] = (),
) -> DrawnUp:
    measures = measures_of(due, rates, book, watermark)
    drawn = DrawnUp()
    rated: dict[int, list[DraftLine]] = {}
    frozen: dict[int, Mapping[str, object]] = {}
    for slot, each in _in_order(due):
        try:
            lines, basis = _period_lines(each, rates[slot], slot, measures, book)
        except (RatingError, TermsError) as problem:
            message = f"{each.subscription.customer.name}, {each.subscription.plan}: {problem}"
            drawn.failures.append((each, RatingFailed(message)))
            continue
        if basis is not None:
            frozen[slot] = basis.as_json()
        for adjustment in adjustments.get(slot, []):
            lines += adjustment_lines(adjustment, n=len(lines) + 1)
        if each.kind == InvoiceKind.ADJUSTMENT and not lines:
            continue
        if each.kind == InvoiceKind.AT_START and sum((line.amount for line in lines), Decimal(0)) <= 0:
            continue  # nothing to charge at the start; what is to be given back waits for the next invoice
        book.enter(lines)
        rated[slot] = lines
    discounted = _discounted(due, rated, replaced)
    table, issuer = tax_table(), issuer_now()
    shared, payers = shared_groups(due), payers_of(due)
    together: dict[GroupKey, list[InvoiceDraft]] = {}
    for slot, (lines, discounts) in sorted(discounted.items()):
        each = due[slot]
        customer, currency = each.subscription.customer, each.subscription.plan.currency
        is_part = each.group in shared
        digits = currency_digits(currency)
        taxed = (
            Taxes(lines, (), Decimal(0), Decimal(0))
            if is_part
            else tax_lines(lines, customer, table, period=each.period, digits=digits)
        )
        subtotal = sum((line.amount for line in lines), Decimal(0))
        discount = sum((one.amount for one in discounts), Decimal(0))
        draft = InvoiceDraft(
            due=each,
            currency=currency,
            lines=tuple(taxed.lines),
            subtotal=subtotal,
            discount=discount,
            discounts=discounts,
            tax=taxed.added,
            tax_included=taxed.included,
            taxes=taxed.taxes,
            total=subtotal - discount + taxed.added,
            issuer=issuer,
            recipient=recipient_of(customer),
            watermark=watermark or 0,
            plan_terms=frozen.get(slot),
            examined=tuple(adjustment.line.pk for adjustment in adjustments.get(slot, [])),
            drawn_up_at=now,
        )
        if is_part:
            together.setdefault(each.group, []).append(draft)
        else:
            drawn.drafts.append(draft)
    for group, parts in together.items():
        payer = payers[group[0]]
        whole = consolidate(parts, payer, table, recipient=recipient_of(payer))
        drawn.consolidated.append(whole)
        drawn.drafts.extend(whole.parts)
    return drawn


def _in_order(due: Sequence[DuePeriod]) -> list[tuple[int, DuePeriod]]:
    """Give the places in the order of time, so that an invoice knows the fees of those before it."""

    def place(each: tuple[int, DuePeriod]) -> tuple[date, bool, int]:
        slot, period = each[0], each[1].period
        at_start = each[1].kind == InvoiceKind.AT_START
        return (period.start_on if at_start else period.end_on, at_start, slot)

    return sorted(enumerate(due), key=place)


def _open_book(due: Sequence[DuePeriod], rates: Sequence[list[PlanRate] | TermsError]) -> FeeBook:
    """Read facts and invoiced fees, also of the plans that these continue; nothing where no fee is due."""
    known = [rate.terms for each in rates if not isinstance(each, TermsError) for rate in each]
    timings = {terms.timing for terms in known if isinstance(terms, SubscriptionRate)}
    continued = [
        each for each in due if each.subscription.moved_from_id and each.kind != InvoiceKind.ADJUSTMENT
    ]
    if not continued:
        if not timings and all(each.subscription.plan.minimum_amount is None for each in due):
            return FeeBook(settles=True)
        return open_book(due, {}, in_advance=timings != {"in_arrears"})
    by_id = Subscription.objects.select_related("plan", "customer").in_bulk(
        [each.subscription.moved_from_id for each in continued]
    )
    old = list(by_id.values())
    fees = {
        row.pk: [
            Fee(rate.row, rate.terms, rate.written)
            for rate in read
            if isinstance(rate.terms, SubscriptionRate)
        ]
        for row, read in zip(old, rates_of(old), strict=True)
        if not isinstance(read, TermsError)
    }
    before = {}
    for each in continued:
        row = by_id[each.subscription.moved_from_id or 0]
        if row.end_on == each.subscription.start_on and row.pk in fees:
            before[each.subscription.pk] = (row, fees[row.pk])
    return open_book(due, before, in_advance=True)


def _discounted(
    due: Sequence[DuePeriod], rated: Mapping[int, list[DraftLine]], replaced: Collection[int]
) -> dict[int, tuple[list[DraftLine], tuple[DraftDiscount, ...]]]:
    """Take coupons off the lines of each invoice, by place in `due`: the earliest period uses them first."""
    held = held_coupons({due[slot].subscription.customer_id for slot in rated}, replaced=replaced)
    discounted = {}
    for slot in sorted(rated, key=lambda slot: (due[slot].period.end_on, slot)):
        currency = due[slot].subscription.plan.currency
        digits = currency_digits(currency)
        discounted[slot] = held.take(due[slot], rated[slot], currency=currency, digits=digits)
    return discounted


def _rates(due: Sequence[DuePeriod]) -> list[list[PlanRate] | TermsError]:
    return rates_of([each.subscription for each in due])


def _period_lines(
    due: DuePeriod,
    rates: list[PlanRate] | TermsError,
    slot: int,
    measures: Mapping[MeasureKey, Mapping[int, Measure]],
    book: FeeBook,
) -> tuple[list[DraftLine], PlanBasis | None]:
    if isinstance(rates, TermsError):
        raise rates
    if due.kind == InvoiceKind.ADJUSTMENT:
        return [], None
    lines = draft_lines(due, rates, slot, measures, book)
    return lines, plan_basis(due, plan_fees(rates), lines, book)


def measures_of(
    due: Sequence[DuePeriod],
    rates: Sequence[list[PlanRate] | TermsError],
    book: FeeBook,
    watermark: int | None,
) -> dict[MeasureKey, dict[int, Measure]]:
    """Measure what some plan needs: all of a few periods in one query, of many each meter and grouping in one."""
    spans: dict[MeasureKey, list[Span]] = {}
    meters: dict[MeasureKey, Meter | None] = {}
    for slot, (each, known) in enumerate(zip(due, rates, strict=True)):
        period = usage_period(each, book)
        if isinstance(known, TermsError) or period is None:
            continue
        keys = {rate.key: rate.row.meter for rate in known if rate.key is not None}
        meters |= keys
        span = Span(slot, each.subscription.customer_id, period.start, period.end, zone=period.zone)
        for key in keys:
            spans.setdefault(key, []).append(span)
    asked = []
    for key, meter in meters.items():
        assert meter is not None  # held by rate_meter_exactly_on_usage
        asked.append(Asked(meter, spans[key], group_by=key[1], with_values=key[2]))
    return dict(zip(meters, measure_all(asked, as_of=watermark), strict=True))
