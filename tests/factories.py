"""What tests are made of. Names and figures follow the story: tickets resolved at $2.00."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from billing.models import Plan, Subscription
from billing.pricing import activate_plan, create_plan
from billing.subscribing import subscribe
from customers.models import Customer
from metering.event_results import BatchResult
from metering.incoming import TimeBounds, decode_event
from metering.ingesting import record_events
from metering.models import Meter

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BOUNDS = TimeBounds(max_age=timedelta(days=400), max_ahead=timedelta(hours=1))
TICKETS: dict[str, Any] = {
    "kind": "usage",
    "meter": "tickets_resolved",
    "model": "per_unit",
    "unit_amount": "2.00",
}


def make_meter(code: str = "tickets_resolved", **fields: Any) -> Meter:
    defaults = {"label": code.replace("_", " ").title(), "type": "count", "unit": "ticket"}
    return Meter.objects.create(code=code, **(defaults | fields))


def make_plan(*rates: dict[str, Any], code: str = "support", **fields: Any) -> Plan:
    """An active plan; $2.00 per ticket when no rates are given. Its meters must exist."""
    defaults = {"name": "Support Outcome Plan", "currency": "USD", "billing_period": "monthly"}
    plan = create_plan(code=code, rates=rates or (TICKETS,), **(defaults | fields))
    return activate_plan(plan, now=NOW)


def make_customer(code: str = "acme", **fields: Any) -> Customer:
    return Customer.objects.create(code=code, **({"name": code.title()} | fields))


def make_subscription(
    customer: Customer | None = None, plan: Plan | None = None, **fields: Any
) -> Subscription:
    """The story's customer, meter and plan from 1 October 2026, as far as they are not given."""
    if plan is None:
        if not Meter.objects.filter(code="tickets_resolved").exists():
            make_meter()
        plan = Plan.objects.filter(code="support", status="active").first() or make_plan()
    defaults = {"start_on": date(2026, 10, 1)}
    return subscribe(customer or make_customer(), plan=plan, **(defaults | fields))


def event(key: str, **fields: Any) -> dict[str, Any]:
    """One resolved ticket of Acme on 3 October 2026, as an integration sends it."""
    return {
        "key": key,
        "meter": "tickets_resolved",
        "customer": "acme",
        "occurred_at": "2026-10-03T10:00:00Z",
    } | fields


def send(*events: dict[str, Any], source: str = "api", now: datetime = NOW) -> BatchResult:
    """Record events as the event API does."""
    decoded = [decode_event(json.dumps(each).encode()) for each in events]
    return record_events(decoded, source=source, now=now, bounds=BOUNDS)


def send_tickets(count: int, *, first: int = 0, **fields: Any) -> BatchResult:
    return send(*(event(f"evt-{n}", **fields) for n in range(first, first + count)))
