"""The steps of setting up, from the first meter to the first invoice, as the first page shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.urls import reverse

from billing.admin.seller import unnamed_seller
from billing.models import Plan, PlanStatus, Subscription
from billing.months import Month
from customers.models import ApiKey, Customer
from metering.admin.example_events import curl_line
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
    other_url: str = ""
    other_button: str = ""


def set_up_steps(request: HttpRequest, *, now: datetime) -> list[Step]:
    """Give the steps to the first invoice, each done when the database says so."""
    meter = Meter.objects.exclude(status=MeterStatus.DRAFT).first()
    plan = Plan.objects.order_by("-status").first()
    subscription = Subscription.objects.select_related("customer").order_by("pk").first()
    customer = subscription.customer if subscription else Customer.objects.first()
    priced = subscription and Meter.objects.filter(rates__plan=subscription.plan_id).order_by("rates").first()
    has_key = ApiKey.objects.filter(revoked=False).exists()
    may = request.user.has_perm
    key_or_meter = "admin:customers_apikey_add" if not has_key else "admin:metering_event_changelist"
    steps = [
        Step(
            "Create a meter",
            "What is counted, for example “Tickets Resolved”. A playbook makes meter and plan in one step.",
            meter is not None,
            reverse("admin:metering_meter_add"),
            "Create a meter",
            may("metering.add_meter"),
            other_url=reverse("admin:billing_plan_playbooks"),
            other_button="Start from a playbook",
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
            curl=_first_event(subscription, priced or meter, now=now),
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


def _first_event(subscription: Subscription | None, meter: Meter | None, *, now: datetime) -> str:
    """Give a command that sends an event of what the customer pays for, in last month where its plan covers that.

    So what the list leads to, closing last month, has something to invoice.
    """
    if subscription is None or meter is None:
        return ""
    customer = subscription.customer
    zone = ZoneInfo(subscription.timezone)
    this_month = Month.of(now.astimezone(zone).date())
    at = now
    if subscription.start_on < this_month.first:
        day = max(subscription.start_on, this_month.previous.first)
        at = datetime.combine(day, time(12), zone).astimezone(UTC)
    return curl_line(meter, customer_code=customer.code, now=now, at=at)


def _with_first_marked(steps: Iterable[Step]) -> Iterable[Step]:
    marked = False
    for step in steps:
        if step.done or marked:
            yield step
        else:
            marked = True
            yield replace(step, now=True)
