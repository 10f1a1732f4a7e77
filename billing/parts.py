"""What an invoice prints: its own lines and coupons, or those of its parts where it is consolidated."""

from __future__ import annotations

from billing.models import Invoice, InvoiceDiscount, InvoiceKind, InvoiceLine


def lines_of(invoice: Invoice) -> list[InvoiceLine]:
    """Give the lines that an invoice prints, those of its parts where it is consolidated; loaded ones cost nothing."""
    if invoice.kind != InvoiceKind.CONSOLIDATED:
        return list(invoice.lines.all())
    return sorted((line for part in parts_of(invoice) for line in part.lines.all()), key=lambda line: line.n)


def parts_of(invoice: Invoice) -> list[Invoice]:
    """Give the parts of a consolidated invoice in their order, with their lines and customers; none of any other."""
    if invoice.kind != InvoiceKind.CONSOLIDATED:
        return []
    if "parts" in getattr(invoice, "_prefetched_objects_cache", {}):
        rows = list(invoice.parts.all())
    else:
        rows = list(invoice.parts.select_related("customer").prefetch_related("lines", "discounts"))
        for row in rows:
            row.part_of = invoice
    return sorted(rows, key=lambda part: part.part_n or 0)


def discounts_of(invoice: Invoice) -> list[InvoiceDiscount]:
    """Give the coupons used on an invoice or on its parts."""
    if invoice.kind != InvoiceKind.CONSOLIDATED:
        return list(invoice.discounts.all())
    return [discount for part in parts_of(invoice) for discount in part.discounts.all()]
