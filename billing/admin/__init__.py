"""The staff pages of billing: pricing, customers and their plans, invoices, closing a month, the dashboard."""

from billing.admin import (
    checks,
    close_reviews,
    closes,
    customers,
    invoices,
    limits,
    outcomes,
    plans,
    reconciliation,
)

__all__ = [
    "checks",
    "close_reviews",
    "closes",
    "customers",
    "invoices",
    "limits",
    "outcomes",
    "plans",
    "reconciliation",
]
