"""The first page: usage so far, the running amount, the latest invoices."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase

from billing.portal.access import for_customer, page
from customers.models import Customer


@for_customer
def home(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    return page(request, "portal/home.html")
