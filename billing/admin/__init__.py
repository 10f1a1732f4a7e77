"""The staff pages of billing: pricing, customers and their plans, invoices, closing a month, the dashboard."""

from billing.admin import customers, invoices, plans, reconciliation

__all__ = ["customers", "invoices", "plans", "reconciliation"]
