"""The one mechanism for everything late: what changed in closed periods becomes a line on the next invoice.

A scan finds issued usage lines whose events changed after the invoice's watermark (billing.scanning). When the
customer's next invoice is drawn up, each such line is measured and rated again with its frozen terms; what was not
settled yet is the adjustment. The terms of the plan as a whole are applied again too (billing.plan_adjusting).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from billing.drafts import DraftLine
from billing.lines import rate_measure, read_frozen
from billing.models import AdjustmentWaiver, InvoiceLine, InvoiceStatus, LineKind
from billing.plan_adjusting import (
    PlanDifference,
    discount_share,
    first_of_each,
    plan_differences,
    usage_beside,
)
from billing.plan_rates import MeasureKey
from billing.rating import Step, UsageRate, round_amount
from billing.rating.exact import ZERO, exactly
from billing.rating.money import currency_digits
from metering.measuring import NOTHING, Measure, measure_all
from metering.models import Meter
from metering.periods import Period
from metering.spans import Asked, Span


@dataclass(frozen=True, slots=True)
class Settled:
    """What was billed, adjusted or waived for one line so far, and the number of the next adjustment."""

    quantity: Decimal
    amount: Decimal
    next_n: int


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What one changed line comes to now. `difference` is in major units, rounded as its line was.

    `amount` is after `discount`: what coupons took off the line goes with it, in proportion. `terms` is what the terms
    of the plan as a whole come to; one changed line of an invoice carries it.
    """

    line: InvoiceLine
    settled: Settled
    quantity: Decimal
    amount: Decimal
    discount: Decimal = ZERO
    terms: PlanDifference | None = None

    @property
    def plan(self) -> PlanDifference | None:
        """What the terms of the plan come to otherwise; None where they come to what was billed."""
        return self.terms if self.terms is not None and self.terms.difference else None

    @property
    def usage_difference(self) -> Decimal:
        return self.amount - self.settled.amount

    @property
    def difference(self) -> Decimal:
        return self.usage_difference + (ZERO if self.plan is None else self.plan.difference)


def compute_adjustments(
    line_ids: Collection[int],
    *,
    watermark: int | None,
    without_drafts: Collection[int] = (),
    wait_for_drafts: bool = False,
) -> list[Adjustment]:
    """Measure and rate changed lines again, with their frozen terms; also those that come to no difference.

    `without_drafts` are stored drafts about to be replaced: what they carry is not settled. `wait_for_drafts` leaves
    out what other drafts carry: those may still drop it, so nobody else may take it as settled.
    """
    lines = list(
        InvoiceLine.objects.filter(id__in=line_ids)
        .select_related("invoice__subscription", "meter", "rate")
        .order_by("invoice__ends_at", "invoice_id", "n")
    )
    on_drafts = _invoices_on_drafts(lines, without_drafts=without_drafts) if wait_for_drafts else set()
    lines = [line for line in lines if line.invoice_id not in on_drafts]
    if not lines:
        return []
    settled = _settled(lines, without_drafts=without_drafts)
    beside = usage_beside(lines)
    rates = {line.pk: read_frozen(_meter_of(line).pk, line.terms) for line in [*lines, *beside]}
    measures = _measures([*lines, *beside], rates, watermark)
    found = [_adjustment(line, settled[line.pk], rates[line.pk][0], measures[line.pk]) for line in lines]
    usage: dict[int, Decimal] = {}
    for each in found:
        usage[each.line.invoice_id] = usage.get(each.line.invoice_id, ZERO) + each.amount + each.discount
    for line in beside:
        usage[line.invoice_id] += _rated(line, rates[line.pk][0], measures[line.pk])
    plans = plan_differences(
        {line.invoice_id: line.invoice for line in lines}.values(), usage, without_drafts=without_drafts
    )
    carriers = {pk: plans[invoice] for invoice, pk in first_of_each(lines).items() if invoice in plans}
    return [replace(each, terms=carriers.get(each.line.pk)) for each in found]


def _invoices_on_drafts(lines: Sequence[InvoiceLine], *, without_drafts: Collection[int]) -> set[int]:
    """Give the invoices of changed lines that a stored draft adjusts."""
    carried = InvoiceLine.objects.filter(
        adjusts__invoice__in={line.invoice_id for line in lines}, invoice__status=InvoiceStatus.DRAFT
    ).exclude(invoice__in=without_drafts)
    return set(carried.values_list("adjusts__invoice_id", flat=True)) if lines else set()


def adjustment_lines(adjustment: Adjustment, *, n: int) -> list[DraftLine]:
    """Give the invoice lines of a difference, with the original invoice and period named; none where none is due."""
    lines = []
    if adjustment.usage_difference:
        lines.append(_usage_line(adjustment, n=n))
    if adjustment.plan is not None:
        lines.append(_plan_line(adjustment, adjustment.plan, n=n + len(lines)))
    return lines


def _usage_line(adjustment: Adjustment, *, n: int) -> DraftLine:
    line, settled = adjustment.line, adjustment.settled
    measured = Step("Measured now", "now", adjustment.quantity, None, adjustment.amount + adjustment.discount)
    discounted = Step("Discount of the line", "discount", None, None, -adjustment.discount)
    before = Step("Billed before", "before", settled.quantity, None, -settled.amount)
    return DraftLine(
        n=n,
        kind=LineKind.ADJUSTMENT,
        description=f"Adjustment of {line.description}, invoice {line.invoice.number}",
        rate_id=line.rate_id,
        meter=line.meter,
        unit=line.unit,
        quantity=adjustment.quantity - settled.quantity,
        events=0,
        unit_amount=None,
        amount=adjustment.usage_difference,
        terms=line.terms,
        working=(measured, discounted, before) if adjustment.discount else (measured, before),
        period=Period(line.period_start, line.period_end, line.invoice.zone),
        adjusts_id=line.pk,
        adjustment_n=settled.next_n,
        tax_category=line.tax_category,
    )


def _plan_line(adjustment: Adjustment, plan: PlanDifference, *, n: int) -> DraftLine:
    line = adjustment.line
    invoice = line.invoice
    assert invoice.plan_terms is not None  # a plan without such terms has no difference of them
    return DraftLine(
        n=n,
        kind=LineKind.ADJUSTMENT,
        description=f"Adjustment of {plan.label}, invoice {invoice.number}",
        rate_id=None,
        meter=None,
        unit="",
        quantity=Decimal(1),
        events=0,
        unit_amount=None,
        amount=plan.difference,
        terms=invoice.plan_terms,
        working=plan.working,
        period=Period(invoice.period_start, invoice.period_end, invoice.zone),
        adjusts_id=line.pk,
        adjustment_n=adjustment.settled.next_n + 1,
        adjusts_plan=True,
        tax_category=plan.tax_category,
    )


def _settled(lines: Sequence[InvoiceLine], *, without_drafts: Collection[int]) -> dict[int, Settled]:
    """Give what stands of each line so far; of a line whose invoice is void, what adjusted it is all that does."""
    void = {line.pk for line in lines if line.invoice.status == InvoiceStatus.VOID}
    sums = {
        line.pk: Settled(ZERO, ZERO, 1)
        if line.pk in void
        else Settled(line.quantity, line.amount - line.discount, 1)
        for line in lines
    }
    earlier = InvoiceLine.objects.filter(adjusts__in=lines).exclude(invoice__in=without_drafts)
    for of, n, quantity, amount, status, of_plan in earlier.values_list(
        "adjusts_id", "adjustment_n", "quantity", "amount", "invoice__status", "adjusts_plan"
    ):
        assert n is not None  # held by invoiceline_adjustment_names_line
        taken_back = of_plan or status == InvoiceStatus.VOID
        sums[of] = _added(sums[of], n, ZERO if taken_back else quantity, ZERO if taken_back else amount)
    for of, n, quantity, amount, of_plan in AdjustmentWaiver.objects.filter(line__in=lines).values_list(
        "line_id", "adjustment_n", "quantity", "amount", "adjusts_plan"
    ):
        waived_nothing = of_plan or of in void
        sums[of] = _added(
            sums[of], n, ZERO if waived_nothing else quantity, ZERO if waived_nothing else amount
        )
    return sums


@exactly
def _added(sums: Settled, n: int, quantity: Decimal, amount: Decimal) -> Settled:
    return Settled(sums.quantity + quantity, sums.amount + amount, max(sums.next_n, n + 1))


def _measures(
    lines: Sequence[InvoiceLine], rates: Mapping[int, tuple[UsageRate, MeasureKey]], watermark: int | None
) -> dict[int, Measure]:
    """Measure every line again: a few in one query, of many all lines of a meter and grouping in one."""
    spans: dict[MeasureKey, list[Span]] = {}
    meters: dict[MeasureKey, Meter] = {}
    for line in lines:
        key = rates[line.pk][1]
        meters[key] = _meter_of(line)
        period = Period(line.period_start, line.period_end, line.invoice.zone)
        spans.setdefault(key, []).append(
            Span(line.pk, line.invoice.customer_id, period.start, period.end, period.zone)
        )
    found: dict[int, Measure] = {line.pk: NOTHING for line in lines}
    asked = [Asked(meter, spans[key], group_by=key[1], with_values=key[2]) for key, meter in meters.items()]
    for measured in measure_all(asked, as_of=watermark):
        found |= measured
    return found


def _adjustment(line: InvoiceLine, settled: Settled, terms: UsageRate, measured: Measure) -> Adjustment:
    if line.invoice.status == InvoiceStatus.VOID:
        return Adjustment(line, settled, ZERO, ZERO)
    amount = _rated(line, terms, measured)
    discount = discount_share(line, amount, digits=currency_digits(line.invoice.currency))
    return Adjustment(line, settled, measured.quantity, amount - discount, discount)


def _rated(line: InvoiceLine, terms: UsageRate, measured: Measure) -> Decimal:
    return round_amount(rate_measure(terms, measured).amount, currency_digits(line.invoice.currency))


def _meter_of(line: InvoiceLine) -> Meter:
    assert line.meter is not None  # only usage lines are flagged
    return line.meter
