"""What a customer's page shows above the details: plans, timeline, coming invoices, usage of this month, invoices."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q

from billing.admin.forecast import forecast_words
from billing.admin.subscription_pages import coming_or_problem, state_of
from billing.admin.timeline import coming_invoices, timeline
from billing.agreements import Agreement, agreements_of
from billing.consolidating import is_billed_to_parent
from billing.errors import BillingError
from billing.forecasting import forecasts
from billing.formatting import money, month, quantity_of
from billing.formatting import period as days_words
from billing.lifecycle import state_of as invoice_state
from billing.models import Invoice, Rate, RateKind, Subscription
from billing.overriding import override_differences
from billing.previewing import preview_invoice
from customers.models import BillTo, Customer
from customers.staff_pages import bar_chart
from metering.measuring import measure_series
from metering.models import Meter
from metering.periods import Interval, local_day, month_period

LATEST_INVOICES = 12
METERS_SHOWN = 6
COMING_SHOWN = 4
CHILDREN_SHOWN = 50


def overview(customer: Customer, *, now: datetime) -> dict[str, Any]:
    """Give subscriptions with what each would bill so far, this month's usage by meter, the latest invoices."""
    subscriptions = list(
        Subscription.objects.filter(customer=customer)
        .select_related("plan", "customer")
        .order_by("-start_on")
    )
    shown = [each for each in subscriptions if each.end_on != each.start_on]
    agreements = agreements_of(subscriptions)
    coming, problem = coming_or_problem(customer, now=now)
    own_parts = Q(part_of__customer=customer)  # the whole is in the list
    invoices = Invoice.objects.filter(~own_parts | Q(part_of=None), customer=customer).order_by(
        "-period_start", "-pk"
    )
    return {
        "customer": customer,
        "subscriptions": [_subscription(each, agreements[each.pk], now=now) for each in shown],
        "timeline": timeline(subscriptions, now=now),
        "coming": coming_invoices(coming)[:COMING_SHOWN],
        "coming_problem": problem,
        "usage": _usage(customer, subscriptions, now=now),
        "forecasts": _forecasts(customer, shown, now=now),
        "month": month(local_day(now, customer.timezone)),
        "invoices": [
            {
                "invoice": invoice,
                "days": days_words(invoice.period_start, invoice.period_end),
                "state": invoice_state(invoice, now=now),
                "total": money(invoice.total, invoice.currency),
            }
            for invoice in invoices[:LATEST_INVOICES]
        ],
        "invoice_count": invoices.count(),
        "parent": customer.parent,
        "paid_for": is_billed_to_parent(customer),
        "children": list(customer.children.order_by("name", "pk")[:CHILDREN_SHOWN]),
        "pays_for_children": customer.children.filter(bill_to=BillTo.PARENT).exists(),
        "children_count": customer.children.count(),
    }


def _forecasts(
    customer: Customer, subscriptions: list[Subscription], *, now: datetime
) -> list[dict[str, Any]]:
    """Say in words what running periods may still come to, for the outcome meters that plans of today price."""
    today = local_day(now, customer.timezone)
    plans = [
        each.plan_id
        for each in subscriptions
        if each.start_on <= today and (each.end_on is None or today < each.end_on)
    ]
    billed = Rate.objects.filter(plan__in=plans, kind=RateKind.USAGE).values("meter")
    meters = list(Meter.objects.filter(pk__in=billed).order_by("label"))
    return [
        forecast_words(each)
        | {"amounts": [tuple(money(value, each.currency) for value in each.amounts)] if each.amounts else []}
        for each in forecasts(customer, meters, now=now)
    ]


def _subscription(subscription: Subscription, agreement: Agreement, *, now: datetime) -> dict[str, Any]:
    state = state_of(subscription, agreement, now=now)
    today = max(local_day(now, subscription.timezone), subscription.start_on)
    so_far, problem = "", ""
    if state in ("running", "paused", "in trial"):
        try:
            draft = preview_invoice(subscription, now=now)
            so_far = money(draft.total, draft.currency)
        except BillingError as refused:
            problem = refused.message
    own = override_differences(subscription) if subscription.overrides else []
    return {
        "row": subscription,
        "state": state,
        "seats": agreement.seats_on(today),
        "so_far": so_far,
        "problem": problem,
        "own": own,
    }


def _usage(customer: Customer, subscriptions: list[Subscription], *, now: datetime) -> list[dict[str, Any]]:
    """Measure this calendar month, in the customer's zone, for the meters its plans bill."""
    plans = {subscription.plan_id for subscription in subscriptions}
    billed = Rate.objects.filter(plan__in=plans, kind=RateKind.USAGE).values("meter")
    today = local_day(now, customer.timezone)
    running = month_period(today.year, today.month, customer.timezone)
    charts = []
    for meter in Meter.objects.filter(pk__in=billed).order_by("label")[:METERS_SHOWN]:
        series = measure_series(
            meter,
            start=running.start,
            end=now,
            interval=Interval.DAY,
            zone=customer.timezone,
            customer_id=customer.pk,
        )[0]
        points = ((f"{local_day(p.start, customer.timezone).day}", p.value) for p in series.points)
        charts.append(
            {
                "meter": meter,
                "total": quantity_of(series.total, meter.unit),
                "chart": bar_chart(points, label=meter.label, ticks=12),
            }
        )
    return charts
