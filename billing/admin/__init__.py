"""The staff pages of billing: pricing, customers and their plans, invoices, closing a month, the dashboard."""

from billing.admin import closes, customers, invoices, plans, reconciliation

__all__ = ["closes", "customers", "invoices", "plans", "reconciliation"]
