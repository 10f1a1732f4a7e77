"""The staff pages of billing: pricing, customers and their plans, invoices, closing a month, the dashboard."""

from billing.admin import (
    checks,
    close_reviews,
    closes,
    cost_rates,
    coupons,
    customers,
    invoices,
    late_usage,
    limits,
    mails,
    outcomes,
    plans,
    reconciliation,
    settlements,
    taxes,
    workloads,
)

__all__ = [
    "checks",
    "close_reviews",
    "closes",
    "cost_rates",
    "coupons",
    "customers",
    "invoices",
    "late_usage",
    "limits",
    "mails",
    "outcomes",
    "plans",
    "reconciliation",
    "settlements",
    "taxes",
    "workloads",
]
