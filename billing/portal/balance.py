"""A customer's credits: what can be used, each credit, every movement."""

from __future__ import annotations

from django.core.paginator import InvalidPage, Paginator
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.balances import balance_words, coupon_rows, grant_rows, ledger_rows, recurring_rows
from billing.portal.access import for_customer, page
from customers.models import Customer

PER_PAGE = 50


@require_safe
@for_customer
def balance(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    """Show balance, credits that can be used, coupons, and the ledger by `page`."""
    now = timezone.now()
    try:
        ledger = Paginator(ledger_rows(customer), PER_PAGE).page(request.GET.get("page", 1))
    except InvalidPage as missing:
        raise Http404 from missing
    return page(
        request,
        "portal/credits.html",
        section="credits",
        balances=balance_words(customer, now=now),
        grants=[row for row in grant_rows(customer, now=now) if row.state in ("usable", "later")],
        coupons=coupon_rows(customer),
        recurring=[row for row in recurring_rows(customer) if row.runs],
        ledger=ledger,
    )
