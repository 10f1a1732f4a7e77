"""The first page: usage and amount so far, the plan in plain words, the latest invoices."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.accounts import balances
from billing.models import Invoice, InvoiceKind, InvoiceStatus
from billing.portal.access import for_customer, page
from billing.portal.chart import usage_chart
from billing.portal.invoices import mark_disputed, visible_invoices
from billing.portal.limits import reached_rows
from billing.portal.running import RunningBill, children_bills, customer_bills, family_sums
from billing.showing import remember_shown
from customers.models import Customer
from metering.models import Meter

LATEST = 4


@require_safe
@for_customer
def home(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    """Show the running period; `?meter=CODE` chooses the chart."""
    now = timezone.now()
    bills, in_preparation = customer_bills(customer, now=now)
    remember_shown([*(bill.draft for bill in bills if bill.draft), *in_preparation], now=now)
    charted = [(meter, bill) for bill in bills for meter in bill.meters]
    latest = mark_disputed(visible_invoices(customer)[:LATEST])
    children = children_bills(customer, now=now)
    chosen = _chosen(charted, request.GET.get("meter"))
    chart = (
        None
        if chosen is None
        else usage_chart(chosen[0], customer_id=customer.pk, during=chosen[1].period, now=now)
    )
    return page(
        request,
        "portal/home.html",
        section="home",
        now=now,
        bills=[(bill, _before(bill, latest)) for bill in bills],
        in_preparation=in_preparation,
        children=children,
        family_sums=family_sums(bills, children),
        chart=chart,
        charted=[meter for meter, _ in charted],
        chart_period=chosen[1].period if chosen else None,
        invoices=latest,
        reached=reached_rows(customer, now=now),
        balances=(held := balances(customer, now=now)),
        several=len(held) > 1,
    )


def _before(bill: RunningBill, latest: Sequence[Invoice]) -> Invoice | None:
    """Give the last invoice of the same plan, for comparing; None where it is not among the latest."""
    for each in latest:
        is_live = each.kind == InvoiceKind.PERIODIC and each.status != InvoiceStatus.VOID
        if is_live and each.subscription_id == bill.subscription.pk:
            return each
    return None


def _chosen(charted: list[tuple[Meter, RunningBill]], code: str | None) -> tuple[Meter, RunningBill] | None:
    if code is None:
        return charted[0] if charted else None
    for meter, bill in charted:
        if meter.code == code:
            return meter, bill
    raise Http404
