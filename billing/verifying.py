"""Computing an issued invoice again, from raw events and frozen terms, by a second and plain way of counting.

Usage lines and adjustments are counted event by event (metering.recounting) and priced in fractions
(billing.rerating): neither shares arithmetic with what made the invoice. Included spend, plan minimum and service fee
are worked out from the lines before them (billing.plan_rerating), and taxes from the lines by the percentages that the
invoice froze. Other lines (fees, one-time charges) are checked against their printed working; what coupons took off
enters as printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Any

from django.db.models import Max

from billing.models import AdjustmentWaiver, Invoice, InvoiceLine, InvoiceStatus, LineKind
from billing.parts import lines_of
from billing.plan_rerating import PLAN_KINDS, check_plan_lines, plan_line_amount, plan_total, rounded
from billing.rerating import Used, amount_of
from metering.meter_types import MeterType
from metering.models import EventArchive, Meter
from metering.periods import Period
from metering.recounting import recount
from metering.tallies import Count


@dataclass(frozen=True, slots=True)
class Difference:
    """What an invoice says and what it comes to now."""

    invoice: str
    line: int | None
    what: str
    printed: Fraction
    computed: Fraction

    def __str__(self) -> str:
        where = f"{self.invoice}, line {self.line}" if self.line else self.invoice
        return (
            f"{where}: {self.what} is {_text(self.printed)} on the invoice and {_text(self.computed)} "
            "computed again"
        )


@dataclass(slots=True)
class Verdict:
    """What verifying one invoice gave. `archived` is how many lines cannot be computed: their events are archived."""

    differences: list[Difference] = field(default_factory=list)
    archived: int = 0


@dataclass(frozen=True, slots=True)
class Computed:
    """What a usage line's events come to: its quantity, and its amount rounded once."""

    quantity: Fraction
    amount: Fraction


def archived_before() -> datetime | None:
    """Give the instant before which events were archived and are no longer here."""
    before: datetime | None = EventArchive.objects.aggregate(before=Max("before"))["before"]
    return before


def verify_invoice(invoice: Invoice, *, archived: datetime | None = None) -> Verdict:
    """Compute an issued invoice again. Its lines should be loaded with meters and the lines they adjust.

    Lines whose period begins before `archived` are not computed.
    """
    verdict = Verdict()
    number = str(invoice.number)
    lines = lines_of(invoice)
    for line in lines:
        if line.invoice_id != invoice.pk:
            continue  # its part is verified by itself
        if line.kind in (LineKind.USAGE, LineKind.ADJUSTMENT):
            measured = line if line.adjusts is None else line.adjusts
            if archived is not None and _period(measured).start < archived and not _carries(measured):
                verdict.archived += 1
                continue
        verdict.differences += [
            Difference(number, line.n, what, Fraction(printed), Fraction(computed))
            for what, printed, computed in _check_line(invoice, line, lines)
            if printed != computed
        ]
    verdict.differences += [
        Difference(number, None, what, printed, computed)
        for what, printed, computed in chain(check_plan_lines(invoice, lines), _check_sums(invoice, lines))
        if printed != computed
    ]
    return verdict


Check = tuple[str, Decimal | Fraction, Decimal | Fraction]


def _check_line(invoice: Invoice, line: InvoiceLine, lines: list[InvoiceLine]) -> Iterator[Check]:
    match line.kind:
        case LineKind.USAGE:
            computed = _compute(line, as_of=invoice.watermark)
            yield "the quantity", line.quantity, computed.quantity
            yield "the amount", line.amount, computed.amount
        case LineKind.ADJUSTMENT:
            yield from _check_adjustment(invoice, line)
        case kind if kind in PLAN_KINDS and invoice.plan_terms is not None:
            yield "the amount", line.amount, plan_line_amount(invoice, line, lines)
        case _ if line.working:
            steps = sum((Fraction(step["amount"]) for step in line.working), Fraction(0))
            yield "the amount", line.amount, rounded(steps, invoice.currency)


def _check_adjustment(invoice: Invoice, line: InvoiceLine) -> Iterator[Check]:
    """An adjustment is what its line comes to now, less what was settled of it before.

    Whether an invoice was void already when this one was drawn up is not written on it: where one is void by now, what
    was settled before is taken as printed.
    """
    adjusted = line.adjusts
    assert adjusted is not None  # held by invoiceline_adjustment_names_line
    *steps, last = line.working
    now = sum((Fraction(step["amount"]) for step in steps), Fraction(0))
    before = -Fraction(last["amount"])
    yield "the amount", line.amount, now - before
    if line.adjusts_plan:
        yield from _check_plan_adjustment(invoice, line, adjusted, now, before)
        return
    counted, settled_quantity = Fraction(steps[0]["quantity"]), Fraction(last["quantity"])
    yield "the quantity", line.quantity, counted - settled_quantity
    is_void = adjusted.invoice.status == InvoiceStatus.VOID
    if is_void and not now and not counted:
        return  # a void invoice's adjustments are taken back
    computed = _compute(adjusted, as_of=invoice.watermark)
    yield "the quantity measured now", counted, computed.quantity
    yield "the amount measured now", now, computed.amount - _discount(adjusted, computed.amount)
    earlier = InvoiceLine.objects.filter(
        adjusts=adjusted, adjustment_n__lt=line.adjustment_n, adjusts_plan=False
    )
    if is_void or earlier.filter(invoice__status=InvoiceStatus.VOID).exists():
        return
    waived = AdjustmentWaiver.objects.filter(
        line=adjusted, adjustment_n__lt=line.adjustment_n, adjusts_plan=False
    )
    settled = [
        (adjusted.quantity, adjusted.amount - adjusted.discount),
        *earlier.values_list("quantity", "amount"),
        *waived.values_list("quantity", "amount"),
    ]
    yield "the quantity settled before", settled_quantity, sum((Fraction(q) for q, _ in settled), Fraction(0))
    yield "the amount settled before", before, sum((Fraction(a) for _, a in settled), Fraction(0))


def _check_plan_adjustment(
    invoice: Invoice, line: InvoiceLine, adjusted: InvoiceLine, now: Fraction, before: Fraction
) -> Iterator[Check]:
    """Apply the terms of the plan to all usage of the adjusted invoice, as it was at the adjusting one's position."""
    original = adjusted.invoice
    is_void = original.status == InvoiceStatus.VOID
    if is_void and not now:
        return
    lines = list(original.lines.select_related("meter", "invoice"))
    usage = sum(
        (_compute(each, as_of=invoice.watermark).amount for each in lines if each.kind == LineKind.USAGE),
        Fraction(0),
    )
    yield "the amount of the plan terms now", now, plan_total(original, lines, usage)
    earlier = InvoiceLine.objects.filter(
        adjusts__invoice=original, adjusts_plan=True, invoice__watermark__lt=invoice.watermark
    )
    if is_void or earlier.filter(invoice__status=InvoiceStatus.VOID).exists():
        return
    waived = AdjustmentWaiver.objects.filter(
        line__invoice=original, adjusts_plan=True, position__lt=invoice.watermark
    )
    settled = [
        *(each.amount - each.discount for each in lines if each.kind in PLAN_KINDS),
        *earlier.values_list("amount", flat=True),
        *waived.values_list("amount", flat=True),
    ]
    yield "the plan terms settled before", before, sum((Fraction(a) for a in settled), Fraction(0))


def _discount(line: InvoiceLine, amount: Fraction) -> Fraction:
    if not line.discount:
        return Fraction(0)
    return rounded(Fraction(line.discount) * amount / Fraction(line.amount), line.invoice.currency)


def _check_sums(invoice: Invoice, lines: list[InvoiceLine]) -> Iterator[tuple[str, Fraction, Fraction]]:
    """Add up the printed lines, and tax them once by each percentage that the invoice froze."""
    yield (
        "the subtotal",
        Fraction(invoice.subtotal),
        sum((Fraction(line.amount) for line in lines), Fraction(0)),
    )
    yield (
        "the discount",
        Fraction(invoice.discount),
        sum((Fraction(line.discount) for line in lines), Fraction(0)),
    )
    added = contained = Fraction(0)
    for tax in invoice.taxes:
        taxed = sum(
            (Fraction(line.amount) - Fraction(line.discount) for line in lines if tax["n"] in line.taxed_by),
            Fraction(0),
        )
        share = Fraction(tax["percent"]) / 100
        if tax["inclusive"]:
            base = rounded(taxed / (1 + share), invoice.currency)
            amount = taxed - base
            contained += amount
        else:
            base, amount = taxed, rounded(taxed * share, invoice.currency)
            added += amount
        yield f"the base of tax {tax['n']}", Fraction(tax["base"]), base
        yield f"the amount of tax {tax['n']}", Fraction(tax["amount"]), amount
    yield "the tax", Fraction(invoice.tax), added
    yield "the tax contained", Fraction(invoice.tax_included), contained
    total = Fraction(invoice.subtotal) - Fraction(invoice.discount) + Fraction(invoice.tax)
    yield "the total", Fraction(invoice.total), total


def _compute(line: InvoiceLine, *, as_of: int) -> Computed:
    """Count and price a usage line by its frozen terms, from the events as they were at a position."""
    terms: dict[str, Any] = line.terms
    names = [str(name) for name in terms.get("dimensions") or []] if terms.get("rows") else []
    meter = line.meter
    assert meter is not None  # held by rate_meter_exactly_on_usage
    period = _period(line)
    counted = recount(
        meter,
        customer_id=line.invoice.customer_id,
        start=period.start,
        end=period.end,
        zone=period.zone,
        as_of=as_of,
        group_by=names,
        with_values=_needs_values(terms),
    )
    parts = [_used(count, dict(zip(names, group, strict=True))) for group, count in counted.groups.items()]
    amount = amount_of(terms, _used(counted, {}), parts)
    return Computed(counted.quantity, rounded(amount, line.invoice.currency))


def _used(count: Count, match: dict[str, str]) -> Used:
    return Used(count.quantity, count.values, count.windows, match)


def _needs_values(terms: dict[str, Any]) -> bool:
    return str(terms["model"]) == "percentage"


def _period(line: InvoiceLine) -> Period:
    return Period(line.period_start, line.period_end, line.invoice.zone)


def _carries(line: InvoiceLine) -> bool:
    """Tell whether the events of a line are never archived, because a level carries over."""
    meter: Meter | None = line.meter
    return False if meter is None else meter.type == MeterType.WEIGHTED_SUM.value


def _text(number: Fraction) -> str:
    """Write an exact number in digits; one that does not end with 24 decimals."""
    digits = 24
    units = int(abs(number) * 10**digits + Fraction(1, 2))
    text = f"{units // 10**digits}.{units % 10**digits:0{digits}d}".rstrip("0").rstrip(".")
    return f"-{text}" if number < 0 and units else text
