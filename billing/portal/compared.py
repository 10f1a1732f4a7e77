"""Why an invoice is more or less than the one before it, line by line, so that the rows add up to the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Q, QuerySet

from billing.findings import DAYS
from billing.formatting import money, quantity_of
from billing.models import Invoice, InvoiceKind, InvoiceLine, InvoiceStatus, LineKind, Subscription

ZERO = Decimal(0)
ADJUSTMENTS = "Adjustments of earlier periods"


@dataclass(slots=True)
class ComparedRow:
    """What one line, or one customer of a consolidated invoice, came to on both. `used` are quantities in words."""

    name: str
    before: Decimal = ZERO
    now: Decimal = ZERO
    used_before: str = ""
    used_now: str = ""

    @property
    def difference(self) -> Decimal:
        return self.now - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """An invoice beside the one before it. The rows, with discounts and tax, add up to both totals."""

    earlier: Invoice
    currency: str
    rows: Sequence[ComparedRow]
    whole: ComparedRow

    @property
    def sentence(self) -> str:
        off = self.whole.difference
        if not off:
            return "It is as much as the invoice before it."
        return f"It is {money(abs(off), self.currency)} {'more' if off > 0 else 'less'} than the invoice before it."


def compared_with_before(invoice: Invoice, visible: QuerySet[Invoice]) -> Comparison | None:
    """Compare an invoice with the last one before it of the same plan, or of the plan it was changed from.

    Of a consolidated invoice, with the consolidated one before it, by customer. None where there is none, and for
    void and one-off invoices. Two queries.
    """
    if (
        invoice.kind not in (InvoiceKind.PERIODIC, InvoiceKind.CONSOLIDATED)
        or invoice.status == InvoiceStatus.VOID
    ):
        return None
    same = visible.filter(kind=invoice.kind, currency=invoice.currency, period_start__lt=invoice.period_start)
    if invoice.kind == InvoiceKind.PERIODIC:
        assert invoice.subscription_id is not None  # held by invoice_subscription_unless_one_off
        moved_from = Subscription.objects.filter(pk=invoice.subscription_id).values("moved_from")
        same = same.filter(Q(subscription=invoice.subscription_id) | Q(subscription__in=moved_from))
    earlier = same.exclude(status=InvoiceStatus.VOID).order_by("-period_start", "-pk").first()
    if earlier is None:
        return None
    rows = _rows(earlier, invoice)
    for name, before, now in (
        ("Discounts", -earlier.discount, -invoice.discount),
        ("Tax", earlier.tax, invoice.tax),
    ):
        if before or now:
            rows.append(ComparedRow(name, before, now))
    whole = ComparedRow("Total", earlier.total, invoice.total)
    return Comparison(earlier, invoice.currency, rows, whole)


def _rows(earlier: Invoice, invoice: Invoice) -> list[ComparedRow]:
    """Give the rows in the order of the invoice, then those that only the earlier one has."""
    both = (invoice.pk, earlier.pk)
    lines = InvoiceLine.objects.filter(Q(invoice__in=both) | Q(invoice__part_of__in=both)).select_related(
        "invoice"
    )
    by_customer = invoice.kind == InvoiceKind.CONSOLIDATED
    rows: dict[str, ComparedRow] = {}
    quantities: dict[tuple[str, bool], tuple[Decimal, str]] = {}
    ordered = sorted(
        lines, key=lambda line: (invoice.pk not in (line.invoice_id, line.invoice.part_of_id), line.n)
    )
    for line in ordered:
        is_now = invoice.pk in (line.invoice_id, line.invoice.part_of_id)
        name = str(line.invoice.recipient["name"]) if by_customer else _name(line)
        row = rows.setdefault(name, ComparedRow(name))
        if is_now:
            row.now += line.amount
        else:
            row.before += line.amount
        if line.kind == LineKind.USAGE and not by_customer:
            quantities[name, is_now] = (
                quantities.get((name, is_now), (ZERO, ""))[0] + line.quantity,
                line.unit,
            )
    for (name, is_now), (quantity, unit) in quantities.items():
        words = quantity_of(quantity, unit)
        if is_now:
            rows[name].used_now = words
        else:
            rows[name].used_before = words
    return list(rows.values())


def _name(line: InvoiceLine) -> str:
    return ADJUSTMENTS if line.kind == LineKind.ADJUSTMENT else DAYS.sub("", line.description)
