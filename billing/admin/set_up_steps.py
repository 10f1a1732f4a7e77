"""The steps of setting up, from the first meter to the first invoice, as the first page shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest
from django.urls import reverse

from billing.admin.seller import unnamed_seller
from billing.models import Plan, PlanStatus, Subscription
from customers.models import ApiKey, Customer
from metering.admin.meters import curl_line
from metering.models import EventBatch, Meter, MeterStatus


@dataclass(frozen=True, slots=True)
class Step:
    """One step of setting up. `now` marks the first that is not done."""

    title: str
    text: str
    done: bool
    url: str
    button: str
    may: bool
    now: bool = False
    curl: str = ""


def set_up_steps(request: HttpRequest, *, now: datetime) -> list[Step]:
    """Give the steps to the first invoice, each done when the database says so."""
    meter = Meter.objects.exclude(status=MeterStatus.DRAFT).first()
    plan = Plan.objects.order_by("-status").first()
    customer = Customer.objects.filter(subscriptions__isnull=False).first() or Customer.objects.first()
    has_key = ApiKey.objects.filter(revoked=False).exists()
    may = request.user.has_perm
    key_or_meter = "admin:customers_apikey_add" if not has_key else "admin:metering_event_changelist"
    steps = [
        Step(
            "Create a meter",
            "What is counted, for example “Tickets Resolved”.",
            meter is not None,
            reverse("admin:metering_meter_add"),
            "Create a meter",
            may("metering.add_meter"),
        ),
        Step(
            "Write a plan and activate it",
            "What it costs, for example $2.00 for each ticket resolved.",
            Plan.objects.exclude(status=PlanStatus.DRAFT).exists(),
            reverse("admin:billing_plan_change", args=[plan.pk])
            if plan
            else reverse("admin:billing_plan_add"),
            "Open the draft" if plan else "Create a plan",
            may("billing.add_plan"),
        ),
        Step(
            "Create a customer and assign the plan",
            "Who is billed, and from which day on.",
            Subscription.objects.exists(),
            reverse("admin:customers_customer_assign", args=[customer.pk])
            if customer
            else reverse("admin:customers_customer_add"),
            f"Assign the plan to {customer.name}" if customer else "Create a customer",
            may("customers.add_customer"),
        ),
        Step(
            "Send the first event",
            "Your systems send one event for each thing that happened, with an API key.",
            EventBatch.objects.filter(accepted__gt=0).exists(),
            reverse(key_or_meter),
            "Look at the events" if has_key else "Make an API key",
            may("customers.add_apikey") or has_key,
            curl=curl_line(
                meter.code if meter else "tickets_resolved",
                customer_code=customer.code if customer else "acme",
                now=now,
            ),
        ),
        Step(
            "Say who bills",
            "Your name, address and bank details, as every invoice prints them. An issued invoice keeps what it says.",
            not unnamed_seller(),
            reverse("admin:billing_seller_details"),
            "Say who bills",
            may("billing.view_seller") and may("billing.change_seller"),
        ),
        Step(
            "Close the month",
            "When the month is over, one page makes the invoices of all customers.",
            False,
            reverse("admin:billing_invoice_close"),
            "Close a month",
            may("billing.close_month"),
        ),
    ]
    return list(_with_first_marked(steps))


def _with_first_marked(steps: Iterable[Step]) -> Iterable[Step]:
    marked = False
    for step in steps:
        if step.done or marked:
            yield step
        else:
            marked = True
            yield Step(
                step.title, step.text, step.done, step.url, step.button, step.may, now=True, curl=step.curl
            )
