"""What an invoice says: drawing it up for one customer or thousands, and storing what was drawn up.

`preview_invoice` and the close use the same `draw_up`; previews write nothing. Everything that is frozen on an invoice
is in its draft, so issuing adds only a number and a date.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from django.conf import settings

from billing.adjusting import adjustment_line, changed_line_ids, compute_adjustments, place_adjustments
from billing.discounting import held_coupons
from billing.drafts import DraftDiscount, DraftLine, DrawnUp, DuePeriod, InvoiceDraft
from billing.errors import NoSubscription, RatingFailed
from billing.lines import MeasureKey, PlanRate, draft_lines, read_plan_rate
from billing.models import Invoice, InvoiceKind, InvoiceStatus, Plan, Rate, Subscription
from billing.rating import TermsError
from billing.rating.errors import RatingError
from billing.rating.money import currency_digits
from billing.spending import Owed, planned_credits
from billing.subscribing import anchor_of, whole_period
from billing.taxing import tax_lines, tax_table
from customers.models import Customer
from metering.aggregation import Span
from metering.measuring import Measure, measure
from metering.models import Meter
from metering.periods import Period, clip, local_day, periods_between


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
    rates = _rates(due)
    measures = _measures(due, rates, watermark)
    adjustments = place_adjustments(
        compute_adjustments(changed_lines, watermark=watermark, without_drafts=replaced), due
    )
    drawn = DrawnUp()
    rated: dict[int, list[DraftLine]] = {}
    for slot, each in enumerate(due):
        try:
            lines = _period_lines(each, rates[slot], slot, measures)
        except (RatingError, TermsError) as problem:
            message = f"{each.subscription.customer.name}, {each.subscription.plan}: {problem}"
            drawn.failures.append((each, RatingFailed(message)))
            continue
        for adjustment in adjustments.get(slot, []):
            if adjustment.difference:
                lines.append(adjustment_line(adjustment, n=len(lines) + 1))
        if each.kind != InvoiceKind.ADJUSTMENT or lines:
            rated[slot] = lines
    discounted = _discounted(due, rated, replaced)
    table = tax_table()
    for slot, (lines, discounts) in sorted(discounted.items()):
        each = due[slot]
        customer, currency = each.subscription.customer, each.subscription.plan.currency
        taxed = tax_lines(lines, customer, table, period=each.period, digits=currency_digits(currency))
        subtotal = sum((line.amount for line in lines), Decimal(0))
        discount = sum((one.amount for one in discounts), Decimal(0))
        drawn.drafts.append(
            InvoiceDraft(
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
                issuer=dict(settings.ISSUER),
                recipient=recipient_of(customer),
                watermark=watermark or 0,
                examined=tuple(adjustment.line.pk for adjustment in adjustments.get(slot, [])),
                drawn_up_at=now,
            )
        )
    return drawn


def preview_invoice(
    subscription: Subscription, *, period: Period | None = None, now: datetime
) -> InvoiceDraft:
    """Compute the invoice of a period, the running one when none is named, from everything committed. Writes nothing.

    Raises NoSubscription when the subscription covers no day of it and RatingFailed when usage cannot be priced.
    """
    whole = period or whole_period(subscription, local_day(now, subscription.timezone))
    covered = clip(whole, start_on=subscription.start_on, end_on=subscription.end_on)
    if covered is None:
        raise NoSubscription(
            f"{subscription} does not cover {whole.start_on} to {whole.end_on}.",
            fields={"period": "Choose a period the subscription covers."},
        )
    stored = Invoice.objects.filter(
        subscription=subscription, period_start=covered.start_on, status=InvoiceStatus.DRAFT
    )
    drawn = draw_up(
        [DuePeriod(subscription, covered)],
        now=now,
        watermark=None,
        changed_lines=changed_line_ids([subscription.customer_id]),
        replaced=list(stored.values_list("id", flat=True)),
    )
    if drawn.failures:
        raise drawn.failures[0][1]
    return with_credits(drawn.drafts, now=now)[0]


def with_credits(drafts: Sequence[InvoiceDraft], *, now: datetime) -> list[InvoiceDraft]:
    """Add the credits that each draft would use if it were the one issued now. Writes nothing."""
    owed = [Owed(draft.due.subscription.customer_id, draft.currency, draft.total) for draft in drafts]
    return [
        replace(draft, credits_applied=planned.applied, credits=planned.credits)
        for draft, planned in zip(drafts, planned_credits(owed, now=now), strict=True)
    ]


def periods_ending_in(subscription: Subscription, *, first: date, last: date) -> list[DuePeriod]:
    """Give the covered periods of a subscription whose last day lies in the local days `[first, last)`."""
    start = max(subscription.start_on, _earliest_start(subscription, first))
    spans = periods_between(
        start,
        last,
        anchor=anchor_of(subscription),
        interval=subscription.plan.invoice_interval,
        zone=subscription.timezone,
    )
    due = []
    for whole in spans:
        covered = clip(whole, start_on=subscription.start_on, end_on=subscription.end_on)
        if covered is not None and first < covered.end_on <= last:
            due.append(DuePeriod(subscription, covered))
    return due


def _earliest_start(subscription: Subscription, day: date) -> date:
    return whole_period(subscription, max(day, subscription.start_on)).start_on


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
    """Give the rates of each subscription, those of a plan read once; the error in place of unreadable ones."""
    plans = {each.subscription.plan_id: each.subscription.plan for each in due}
    rows: dict[int, list[Rate]] = {plan: [] for plan in plans}
    for row in Rate.objects.filter(plan__in=plans).select_related("meter"):
        rows[row.plan_id].append(row)
    by_plan = {pk: _read(rows[pk], plan, {}) for pk, plan in plans.items()}
    return [
        _read(rows[each.plan_id], each.plan, each.overrides) if each.overrides else by_plan[each.plan_id]
        for each in (period.subscription for period in due)
    ]


def _read(
    rows: Iterable[Rate], plan: Plan, overrides: Mapping[str, Mapping[str, object]]
) -> list[PlanRate] | TermsError:
    try:
        return [read_plan_rate(row, plan=plan, override=overrides.get(str(row.pk))) for row in rows]
    except TermsError as unreadable:
        return unreadable


def _period_lines(
    due: DuePeriod,
    rates: list[PlanRate] | TermsError,
    slot: int,
    measures: Mapping[MeasureKey, Mapping[int, Measure]],
) -> list[DraftLine]:
    if isinstance(rates, TermsError):
        raise rates
    return [] if due.kind == InvoiceKind.ADJUSTMENT else draft_lines(due, rates, slot, measures)


def _measures(
    due: Sequence[DuePeriod], rates: Sequence[list[PlanRate] | TermsError], watermark: int | None
) -> dict[MeasureKey, dict[int, Measure]]:
    """Measure what some plan needs, each meter and grouping for all its customers in one query."""
    spans: dict[MeasureKey, list[Span]] = {}
    meters: dict[MeasureKey, Meter | None] = {}
    for slot, (each, known) in enumerate(zip(due, rates, strict=True)):
        if isinstance(known, TermsError) or each.kind == InvoiceKind.ADJUSTMENT:
            continue
        keys = {rate.key: rate.row.meter for rate in known if rate.key is not None}
        meters |= keys
        period = each.period
        span = Span(slot, each.subscription.customer_id, period.start, period.end, zone=period.zone)
        for key in keys:
            spans.setdefault(key, []).append(span)
    measures = {}
    for key, meter in meters.items():
        assert meter is not None  # held by rate_meter_exactly_on_usage
        measures[key] = measure(meter, spans[key], group_by=key[1], with_values=key[2], as_of=watermark)
    return measures


def recipient_of(customer: Customer) -> dict[str, str]:
    """Give who is billed, as frozen on an invoice."""
    return {
        "code": customer.code,
        "name": customer.name,
        "email": customer.email,
        "address": customer.address,
        "country": customer.country,
        "tax_id": customer.tax_id,
        "locale": customer.locale,
    }
