"""What was earned: lines of issued invoices, and of those that would be drawn up now for what is not invoiced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction

from django.db.models import Q

from billing.drafts import DuePeriod, InvoiceDraft
from billing.errors import RatingFailed
from billing.invoicing import draw_up
from billing.models import BILLED, Invoice, InvoiceKind, InvoiceLine, LineKind, Subscription
from billing.subscription_periods import anchor_of
from metering.periods import Period, clip, local_day, periods_between

CHUNK = 2_000
# Charged for time rather than for use: what lies outside of the time asked for is not earned in it.
BY_TIME = (LineKind.SUBSCRIPTION, LineKind.ONE_TIME)


@dataclass(frozen=True, slots=True)
class RevenueLine:
    """One line as revenue: net of discounts, tax and credit notes. `amount` is exact and of the whole line.

    `invoice_id` and `number` are None where the invoice is only previewed. `period` is the line's own, cut at the
    end of today where it still runs, except for what is charged by time; `span` is its invoice's.
    """

    customer_id: int
    plan: str
    invoice_id: int | None
    number: str | None
    subscription_id: int | None
    n: int
    description: str
    kind: str
    meter_id: int | None
    amount: Fraction
    period: Period
    span: Period

    def earned(self, first: date, last: date) -> Fraction:
        """Give the part of the amount that belongs to the days `[first, last)`, by days of its period."""
        part = clip(self.period, start_on=first, end_on=last)
        return self.amount * part.days / self.period.days if part is not None else Fraction(0)


@dataclass(slots=True)
class Revenue:
    """The lines, and the customers whose usage could not be priced, so that their revenue is not among them."""

    lines: list[RevenueLine] = field(default_factory=list)
    failures: list[tuple[DuePeriod, RatingFailed]] = field(default_factory=list)


def revenue_lines(
    first: date, last: date, *, now: datetime, currency: str, customer_ids: Sequence[int] | None = None
) -> Revenue:
    """Give every line with a day in `[first, last)`, in one currency. Writes nothing.

    A period that is not invoiced is previewed from everything committed, with one measure query per meter for all.
    """
    found = Revenue()
    billed = InvoiceLine.objects.filter(
        invoice__status__in=BILLED, invoice__currency=currency, period_start__lt=last, period_end__gt=first
    ).select_related("invoice__part_of")
    if customer_ids is not None:
        billed = billed.filter(invoice__customer__in=customer_ids)
    found.lines += map(issued_line, billed.order_by("invoice_id", "n"))
    due = list(_not_invoiced(first, last, now=now, currency=currency, customer_ids=customer_ids))
    for start in range(0, len(due), CHUNK):
        drawn = draw_up(due[start : start + CHUNK], now=now, watermark=None)
        found.failures += drawn.failures
        for draft in drawn.drafts:
            subscription = draft.due.subscription
            today = local_day(now, subscription.timezone) + timedelta(days=1)
            net = _net(draft)
            for line in draft.lines:
                period = line.period
                if line.kind not in BY_TIME:
                    period = clip(period, start_on=period.start_on, end_on=today) or period
                found.lines.append(
                    RevenueLine(
                        subscription.customer_id,
                        subscription.plan.code,
                        None,
                        None,
                        subscription.pk,
                        line.n,
                        line.description,
                        line.kind,
                        line.meter.pk if line.meter else None,
                        Fraction(line.amount) * net,
                        period,
                        draft.due.period,
                    )
                )
    return found


def _net(invoice: Invoice | InvoiceDraft) -> Fraction:
    """Give the part of an invoice's lines that is left after coupons and the tax they contain."""
    if not invoice.subtotal:
        return Fraction(1)
    return Fraction(invoice.subtotal - invoice.discount - invoice.tax_included) / Fraction(invoice.subtotal)


def issued_line(line: InvoiceLine) -> RevenueLine:
    """Give a line of an issued invoice as revenue. Its invoice is loaded on it."""
    invoice = line.invoice
    amount = Fraction(line.amount) * _net(invoice)
    whole = invoice.part_of
    if whole is not None:  # the tax that prices include, and credit notes, are on the whole
        invoiced = whole.subtotal - whole.discount
        amount *= Fraction(invoiced - whole.tax_included) / Fraction(invoiced) if invoiced else 1
    paid = whole or invoice
    if paid.total:
        amount *= Fraction(paid.total - paid.amount_credited) / Fraction(paid.total)
    return RevenueLine(
        invoice.customer_id,
        invoice.plan_code,
        invoice.pk,
        invoice.number,
        invoice.subscription_id,
        line.n,
        line.description,
        line.kind,
        line.meter_id,
        amount,
        Period(line.period_start, line.period_end, invoice.zone),
        Period(invoice.period_start, invoice.period_end, invoice.zone),
    )


def _not_invoiced(
    first: date, last: date, *, now: datetime, currency: str, customer_ids: Sequence[int] | None
) -> Iterable[DuePeriod]:
    """Give the periods that began and have a day in `[first, last)`, and no issued invoice."""
    subscriptions = Subscription.objects.filter(
        Q(end_on=None) | Q(end_on__gt=first), start_on__lt=last, plan__currency=currency
    ).select_related("customer", "plan")
    if customer_ids is not None:
        subscriptions = subscriptions.filter(customer__in=customer_ids)
    rows = list(subscriptions.order_by("customer_id", "id"))
    invoiced = set(
        InvoiceLine.objects.filter(
            invoice__status__in=BILLED, invoice__kind=InvoiceKind.PERIODIC, invoice__subscription__in=rows
        )
        .values_list("invoice__subscription_id", "invoice__period_start")
        .distinct()
    )
    for each in rows:
        for whole in periods_between(
            max(first, each.start_on),
            last,
            anchor=anchor_of(each),
            interval=each.plan.invoice_interval,
            zone=each.timezone,
        ):
            covered = clip(whole, start_on=each.start_on, end_on=each.end_on)
            if covered is None or covered.start > now or (each.pk, covered.start_on) in invoiced:
                continue
            yield DuePeriod(each, covered)
