"""The staff pages of billing: pricing, customers and their plans, invoices, closing a month, the dashboard."""

from billing.admin import close_reviews, closes, customers, invoices, outcomes, plans, reconciliation

__all__ = ["close_reviews", "closes", "customers", "invoices", "outcomes", "plans", "reconciliation"]
