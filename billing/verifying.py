"""Computing issued invoices again, from raw events and frozen terms, as of their watermark.

Events of count and sum meters are added up one by one here, not by the statement that measured them; other meters are
measured again. A difference names the invoice and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from billing.lines import rate_measure, read_frozen
from billing.models import Invoice, InvoiceLine, InvoiceStatus, LineKind
from billing.rating import round_amount
from billing.rating.exact import exactly
from billing.rating.money import currency_digits
from billing.rating.taxes import tax_inside, tax_on
from metering.aggregation import Span, events_behind
from metering.measuring import measure
from metering.models import Meter, MeterType
from metering.periods import Period


@dataclass(frozen=True, slots=True)
class Difference:
    """What an invoice says and what it comes to now."""

    invoice: str
    line: int | None
    what: str
    printed: Decimal
    computed: Decimal

    def __str__(self) -> str:
        where = f"{self.invoice}, line {self.line}" if self.line else self.invoice
        return f"{where}: {self.what} is {self.printed:f} on the invoice and {self.computed:f} computed again"


def verify_invoice(invoice: Invoice) -> Iterator[Difference]:
    """Give every difference of one issued invoice; its lines must be loaded with their meters."""
    number = str(invoice.number)
    subtotal = Decimal(0)
    for line in invoice.lines.all():
        subtotal += line.amount
        if line.kind == LineKind.USAGE:
            yield from _verify_line(invoice, line)
    if subtotal != invoice.subtotal:
        yield Difference(number, None, "the subtotal", invoice.subtotal, subtotal)
    discount = sum((line.discount for line in invoice.lines.all()), Decimal(0))
    if discount != invoice.discount:
        yield Difference(number, None, "the discount", invoice.discount, discount)
    yield from _verify_taxes(invoice)
    total = invoice.subtotal - invoice.discount + invoice.tax
    if total != invoice.total:
        yield Difference(number, None, "the total", invoice.total, total)


def invoices_to_verify(*, month_prefix: str | None, customer_codes: Iterable[str]) -> Iterator[Invoice]:
    """Give the issued invoices, of a month such as 2026-10 and of some customers where they are named."""
    rows = Invoice.objects.exclude(status__in=(InvoiceStatus.DRAFT, InvoiceStatus.VOID)).order_by("id")
    if month_prefix:
        year, month = month_prefix.split("-")
        rows = rows.filter(period_start__year=int(year), period_start__month=int(month))
    codes = list(customer_codes)
    if codes:
        rows = rows.filter(customer__code__in=codes)
    return rows.prefetch_related("lines__meter").iterator(chunk_size=500)


def _verify_taxes(invoice: Invoice) -> Iterator[Difference]:
    """Tax the lines again, by the percentages the invoice froze."""
    number, digits = str(invoice.number), currency_digits(invoice.currency)
    for tax in invoice.taxes:
        lines = [line for line in invoice.lines.all() if tax["n"] in line.taxed_by]
        taxed = (tax_inside if tax["inclusive"] else tax_on)(
            sum((line.amount - line.discount for line in lines), Decimal(0)),
            Decimal(tax["percent"]),
            digits=digits,
        )
        for what, printed, computed in (
            ("base", tax["base"], taxed.net),
            ("amount", tax["amount"], taxed.tax),
        ):
            if Decimal(printed) != computed:
                yield Difference(number, None, f"the {what} of tax {tax['n']}", Decimal(printed), computed)


def _verify_line(invoice: Invoice, line: InvoiceLine) -> Iterator[Difference]:
    assert line.meter is not None  # held by rate_meter_exactly_on_usage
    terms, key = read_frozen(line.meter.pk, line.terms)
    digits = currency_digits(invoice.currency)
    period = Period(line.period_start, line.period_end, invoice.zone)
    span = Span(0, invoice.customer_id, period.start, period.end, period.zone)
    measured = measure(line.meter, [span], group_by=key[1], with_values=key[2], as_of=invoice.watermark)[0]
    quantity = _counted_one_by_one(invoice, line.meter, period)
    if quantity is not None and quantity != line.quantity:
        yield Difference(str(invoice.number), line.n, "the quantity", line.quantity, quantity)
    elif measured.quantity != line.quantity:
        yield Difference(str(invoice.number), line.n, "the quantity", line.quantity, measured.quantity)
    amount = round_amount(rate_measure(terms, measured).amount, digits)
    if amount != line.amount:
        yield Difference(str(invoice.number), line.n, "the amount", line.amount, amount)


@exactly
def _counted_one_by_one(invoice: Invoice, meter: Meter, period: Period) -> Decimal | None:
    """Add up the events of a plain count or sum meter; None for a meter that does more than add."""
    converts = meter.filters or meter.factor != 1 or meter.rounding_function
    if meter.type not in (MeterType.COUNT, MeterType.SUM) or converts:
        return None
    events = events_behind(
        meter_id=meter.pk,
        customer_id=invoice.customer_id,
        start=period.start,
        end=period.end,
        as_of=invoice.watermark,
    )
    total = Decimal(0)
    for value in events.values_list("value", flat=True).iterator(chunk_size=5_000):
        if value is not None:
            total += value
        elif meter.type == MeterType.COUNT:
            total += 1
    return total
