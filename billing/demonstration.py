"""Demonstration data: a platform that sells resolved support tickets, three closed months and the running one.

Everything is made through the product's own functions; events go in through the HTTP interface, as an integration
sends them. Figures are chosen so that a reader can check them: last month Acme resolved 120 tickets at $2.00.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.conf import settings

from billing.budget_terms import BudgetTerms
from billing.budgeting import check_budgets, save_budget
from billing.closing import close_period
from billing.collecting import record_payment
from billing.cost_rates import Validity, add_cost_rate, free_of_cost
from billing.demonstrated import (
    CALLS,
    INDEX,
    RESOLVED,
    STORIES,
    TOKENS,
    WINDOW,
    Event,
    events_of,
    reopened_later,
)
from billing.models import (
    Budget,
    BudgetMeasure,
    CostRate,
    Invoice,
    InvoiceStatus,
    LimitKind,
    LimitSetter,
    Plan,
    PlanStatus,
    Seller,
)
from billing.months import Month
from billing.parties import issuer_now
from billing.pricing import activate_plan, create_plan
from billing.restricting import set_limit
from billing.subscribing import subscribe
from customers.models import Customer
from metering.meter_types import OncePerSubject
from metering.models import Meter, MeterType, Workload, WorkloadName
from metering.periods import Anchor, Interval

SELLER = {
    "name": "Brightdesk AI",
    "address": "77 Lantern Lane, Boston, MA 02110, United States",
    "email": "billing@brightdesk.example",
    "payment": "Bank transfer to Brightdesk AI\nHarbor Bank, routing 000 000 000, account 0000 4711",
}
PLAN = "support_outcome"
CHUNK = 1_000
# Longer than the last invoice is old, so that it is still to pay and none before it is.
PAYMENT_DAYS = 29


def closed_months(now: datetime, count: int) -> list[Month]:
    """Give the last `count` calendar months that are over everywhere on Earth, oldest first."""
    today = (now - timedelta(days=1)).date()
    anchor = Anchor(today.year, today.month, 1)
    starts = [anchor.boundary(Interval.MONTH, -back) for back in range(count, 0, -1)]
    return [Month(start.year, start.month) for start in starts]


def make_catalog(*, now: datetime) -> Plan:
    """Create seller, meters, workloads and the plan of the story; what is there already stays as it is."""
    if issuer_now()["name"] == settings.ISSUER_UNNAMED:
        Seller.objects.update_or_create(defaults=SELLER)
    existing = Plan.objects.filter(code=PLAN, status=PlanStatus.ACTIVE).first()
    if existing is not None:
        return existing
    _make_meter(
        RESOLVED, label="Tickets Resolved", unit="ticket", type=MeterType.COUNT, dimensions=["channel", "kind"],
        description="A support ticket the assistant resolved without a person. Send one event for each. "
        "It counts when it was not reopened within 24 hours; a ticket counts once.",
        once_per_subject=OncePerSubject.EVER, verification_hours=Decimal(WINDOW.total_seconds()) / 3600,
    )  # fmt: skip
    _make_meter(
        CALLS, label="API Calls", unit="call", type=MeterType.COUNT,
        description="Calls behind the tickets. Not priced: they show what a resolution costs.",
    )  # fmt: skip
    _make_meter(
        TOKENS, label="LLM Tokens", unit="token", type=MeterType.SUM, dimensions=["model", "type"],
        description="Tokens read and written. Not priced: they show what a resolution costs.",
    )  # fmt: skip
    bot = None
    names = (
        ("support_bot", "Support chatbot"),
        ("retrieval", "Knowledge retrieval"),
        (INDEX, "Acme's search index"),
    )
    for code, name in names:
        workload, _ = Workload.objects.get_or_create(
            code=code,
            defaults={"name": name, "parent": bot, "owner": "Assistant team", "tags": ["production"]},
        )
        bot = bot or workload
        WorkloadName.objects.update_or_create(
            name=code, defaults={"workload": workload, "first_seen_at": now}
        )
    _make_costs(since=closed_months(now, 3)[0].first)
    plan = create_plan(
        code=PLAN,
        name="Support Outcome Plan",
        currency="USD",
        billing_period="monthly",
        description="Customers pay for results: $2.00 for each ticket resolved.",
        rates=[{"kind": "usage", "meter": RESOLVED, "model": "per_unit", "unit_amount": "2.00"}],
    )
    return activate_plan(plan, now=now)


def set_limits() -> None:
    """Let Acme be told before its month grows dearer than agreed, and stop Initech at what it ordered."""
    meter = Meter.objects.get(code=RESOLVED)
    for code, amount, quantity, kind in (
        ("acme", Decimal("150.00"), None, LimitKind.SOFT),
        ("initech", None, Decimal(10), LimitKind.HARD),
    ):
        customer = Customer.objects.get(code=code)
        set_limit(customer, meter, set_by=LimitSetter.STAFF, quantity=quantity, amount=amount, kind=kind)


def _make_costs(*, since: date) -> None:
    """What the work behind the tickets costs, by the prices of a provider and the rent of an index."""
    if CostRate.objects.exists():
        return
    provider = Validity(label="Provider prices 2026")
    rows = [
        {"match": {"type": "input"}, "unit_amount": "0.50"},
        {"match": {"type": "output"}, "unit_amount": "2.50"},
    ]
    tokens: dict[str, object] = {"meter": TOKENS, "model": "per_unit", "per": "1000000"}
    add_cost_rate(tokens | {"dimensions": ["type"], "rows": rows, "unmatched": "listed"}, provider)
    add_cost_rate({"meter": CALLS, "model": "per_unit", "unit_amount": "0.002"}, provider)
    fixed = {"kind": "fixed", "workload": INDEX, "amount": "30.00"}
    add_cost_rate(fixed, Validity(label="Search index, reserved", effective_from=since))
    free_of_cost(Meter.objects.get(code=RESOLVED), currency="USD")


def _make_meter(code: str, **fields: object) -> None:
    Meter.objects.get_or_create(code=code, defaults=fields)


def make_customers(plan: Plan, *, start_on: date) -> list[Customer]:
    """Create the customers and assign the plan."""
    customers = []
    for story in STORIES:
        customer, created = Customer.objects.get_or_create(
            code=story.code,
            defaults={
                "name": story.name,
                "email": story.email,
                "timezone": story.timezone,
                "address": story.address,
                "payment_days": PAYMENT_DAYS,
            },
        )
        if created or not customer.subscriptions.exists():
            subscribe(customer, plan=plan, start_on=start_on)
        customers.append(customer)
    return customers


def send_story(base_url: str, key: str, *, months: Sequence[Month], now: datetime) -> int:
    """Send every customer's events to the event API; give how many were accepted. Raises when one was not."""
    return sum(send(base_url, key, list(events_of(story, months=months, now=now))) for story in STORIES)


def send(base_url: str, key: str, events: Sequence[Event]) -> int:
    """Send events to the event API; give how many were accepted. Raises when one was not."""
    accepted = 0
    for start in range(0, len(events), CHUNK):
        request = urllib.request.Request(  # noqa: S310 - our own server on this machine
            f"{base_url}/api/v1/events/",
            data=json.dumps(events[start : start + CHUNK]).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            answer = json.load(response)
        if answer["rejected"] or answer["unmatched"] or answer["conflicts"]:
            raise RuntimeError(f"The demonstration events were not all accepted: {answer['results'][:3]}")
        accepted += answer["accepted"]
    return accepted


def make_budgets(*, now: datetime) -> None:
    """Watch the cost of the chatbot with all that is part of it, and the margin of the largest customer."""
    if Budget.objects.exists():
        return
    bot, acme = Workload.objects.get(code="support_bot"), Customer.objects.get(code="acme")
    cost = BudgetTerms(
        "Support chatbot",
        BudgetMeasure.COST,
        "USD",
        workload=bot,
        amount=Decimal(60),
        thresholds=(50, 80, 100),
    )
    margin = BudgetTerms(
        f"{acme.name}: margin", BudgetMeasure.MARGIN, "USD", customer=acme, least_percent=Decimal(70)
    )
    for terms in (cost, margin):
        save_budget(terms, by="demonstration", now=now)
    check_budgets(now=now)


def close_months(months: Sequence[Month], *, now: datetime) -> list[str]:
    """Issue the invoices of the closed months, each some days after its end; give a line for each."""
    lines = []
    for month in months:
        report = close_period(month, now=min(now, _issued_at(month)), grace_days=0)
        lines.append(f"{month.name}: {report.issued} invoices, {report.totals.get('USD', 0)} USD")
    return lines


def _issued_at(month: Month) -> datetime:
    after = Anchor(month.year, month.month, 1).boundary(Interval.MONTH, 1)
    return datetime(after.year, after.month, 3, 6, tzinfo=UTC)


def pay_invoices(*, now: datetime) -> int:
    """Pay what was issued a month ago and before, but not by Initech, who is late; give how many were paid."""
    paid = 0
    rows = Invoice.objects.filter(status=InvoiceStatus.ISSUED, due_on__lt=now.date())
    for invoice in rows.exclude(customer__code="initech").order_by("sequence"):
        assert invoice.due_on is not None  # it is compared above
        record_payment(
            invoice,
            amount=invoice.amount_due,
            received_on=invoice.due_on - timedelta(days=3),
            reference=f"Transfer {invoice.number}",
            by="demonstration",
            now=now,
        )
        paid += 1
    return paid


def send_reopened(base_url: str, key: str, *, months: Sequence[Month], now: datetime) -> int:
    """Reopen tickets of months that are invoiced, which the running month takes off again."""
    return send(base_url, key, reopened_later(months=months, now=now))
