"""What we know of a customer, for reading."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from billing.portal.access import for_customer, page
from customers.models import Customer


@require_safe
@for_customer
def account(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    return page(
        request, "portal/account.html", section="account", session_hours=settings.PORTAL_SESSION_HOURS
    )
