"""What we know of a customer, for reading."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.formatting import day
from billing.models import Subscription
from billing.overriding import agreed_prices
from billing.portal.access import for_customer, page
from customers.models import Customer
from metering.periods import local_day


@require_safe
@for_customer
def account(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    return page(
        request, "portal/account.html", section="account", session_hours=settings.PORTAL_SESSION_HOURS,
        prices=_prices(customer, now=timezone.now()),
    )  # fmt: skip


def _prices(customer: Customer, *, now: datetime) -> list[tuple[str, list[tuple[str, str]]]]:
    """Give the plans of today and later with what this customer pays, in the words of the plan editor."""
    today = local_day(now, customer.timezone)
    running = (
        Subscription.objects.filter(Q(end_on=None) | Q(end_on__gt=today), customer=customer)
        .select_related("plan")
        .prefetch_related("plan__rates__meter")
        .order_by("start_on")
    )
    return [
        (
            each.plan.name if each.start_on <= today else f"{each.plan.name}, from {day(each.start_on)}",
            agreed_prices(each),
        )
        for each in running
    ]
