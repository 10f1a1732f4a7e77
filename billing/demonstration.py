"""Demonstration data: a platform that sells resolved support tickets, three closed months and the running one.

Everything is made through the product's own functions; events go in through the HTTP interface, as an integration
sends them. Figures are chosen so that a reader can check them: last month Acme resolved 120 tickets at $2.00.
"""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from billing.closing import Month, close_period
from billing.cost_rates import Validity, add_cost_rate, free_of_cost
from billing.models import CostRate, Plan, PlanStatus
from billing.pricing import activate_plan, create_plan
from billing.subscribing import subscribe
from customers.models import Customer
from metering.models import Meter, MeterType, Workload, WorkloadName
from metering.periods import Anchor, Interval, Period

ISSUER = {
    "name": "Brightdesk AI",
    "address": "77 Lantern Lane, Boston, MA 02110, United States",
    "email": "billing@brightdesk.example",
}
PLAN = "support_outcome"
RESOLVED, CALLS, TOKENS = "tickets_resolved", "api_calls", "llm_tokens"
CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Story:
    """One customer and the tickets resolved for it in each closed month, oldest first, and so far in this one."""

    code: str
    name: str
    email: str
    timezone: str
    closed: tuple[int, int, int]
    running: int
    address: str = ""


STORIES = (
    Story("acme", "Acme Outdoor Gear", "billing@acme.example", "America/New_York", (74, 95, 120), 63,
          "214 Harbor Street\nPortland, ME 04101\nUnited States"),
    Story("globex", "Globex Travel", "accounts@globex.example", "Europe/Berlin", (32, 41, 50), 22,
          "Lindenallee 8\n10115 Berlin\nGermany"),
    Story("initech", "Initech Software", "finance@initech.example", "UTC", (0, 3, 1), 4),
    Story("umbrella", "Umbrella Bikes", "office@umbrella.example", "Pacific/Auckland", (12, 0, 0), 0,
          "5 Queen Street\nAuckland 1010\nNew Zealand"),
)  # fmt: skip


def closed_months(now: datetime, count: int) -> list[Month]:
    """Give the last `count` calendar months that are over everywhere on Earth, oldest first."""
    today = (now - timedelta(days=1)).date()
    anchor = Anchor(today.year, today.month, 1)
    starts = [anchor.boundary(Interval.MONTH, -back) for back in range(count, 0, -1)]
    return [Month(start.year, start.month) for start in starts]


def make_catalog(*, now: datetime) -> Plan:
    """Create meters, workloads and the plan of the story; what is there already stays as it is."""
    existing = Plan.objects.filter(code=PLAN, status=PlanStatus.ACTIVE).first()
    if existing is not None:
        return existing
    _make_meter(
        RESOLVED, label="Tickets Resolved", unit="ticket", type=MeterType.COUNT, dimensions=["channel"],
        description="A support ticket the assistant resolved without a person. Send one event for each.",
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
    for code, name in (("support_bot", "Support chatbot"), ("retrieval", "Knowledge retrieval")):
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
    fixed = {"kind": "fixed", "workload": "retrieval", "amount": "30.00"}
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
            },
        )
        if created or not customer.subscriptions.exists():
            subscribe(customer, plan=plan, start_on=start_on)
        customers.append(customer)
    return customers


def events_of(story: Story, *, months: list[Month], now: datetime) -> Iterator[dict[str, object]]:
    """Give the events of one customer: each resolved ticket with the calls and tokens that led to it."""
    chance = random.Random(story.code)  # noqa: S311 - the same demonstration every time, nothing secret
    counts = [*story.closed, story.running]
    spans = [Period(month.first, month.following, story.timezone) for month in months]
    instants = [*((span.start, span.end) for span in spans), (spans[-1].end, now)]
    for count, (start, end) in zip(counts, instants, strict=True):
        seconds = (end - start).total_seconds()
        for n in range(count):
            at = start + timedelta(seconds=(n + chance.random()) * seconds / count)
            yield from _ticket(story, f"{start:%Y%m}-{n + 1}", at, chance)


def _ticket(story: Story, number: str, at: datetime, chance: random.Random) -> Iterator[dict[str, object]]:
    subject = f"ticket-{number}"
    common: dict[str, object] = {"customer": story.code, "occurred_at": at.isoformat(), "subject": subject}
    key = f"demo-{story.code}-{number}"
    # One of Acme's conversations went in circles, and all of Initech's do: they cost more than they earn.
    times = 30 if story.code == "initech" or (story.code == "acme" and number.endswith("-7")) else 1
    yield common | {
        "key": f"{key}-resolved", "meter": RESOLVED, "value": "1", "workload": "support_bot",
        "dimensions": {"channel": chance.choice(["email", "chat", "chat", "phone"])},
    }  # fmt: skip
    yield common | {
        "key": f"{key}-calls", "meter": CALLS, "value": str(times * chance.randint(20, 60)), "workload": "retrieval",
    }  # fmt: skip
    for kind, low, high in (("input", 40_000, 120_000), ("output", 5_000, 15_000)):
        yield common | {
            "key": f"{key}-{kind}", "meter": TOKENS, "value": str(times * chance.randint(low, high)),
            "workload": "support_bot", "dimensions": {"model": "model-a", "type": kind},
        }  # fmt: skip


def send_events(base_url: str, key: str, *, months: list[Month], now: datetime) -> int:
    """Send every customer's events to the event API; give how many were accepted. Raises when one was not."""
    accepted = 0
    for story in STORIES:
        events = list(events_of(story, months=months, now=now))
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


def close_months(months: list[Month], *, now: datetime) -> list[str]:
    """Issue the invoices of the closed months; give a line for each."""
    lines = []
    for month in months:
        report = close_period(month, now=now, grace_days=0)
        lines.append(f"{month.name}: {report.issued} invoices, {report.totals.get('USD', 0)} USD")
    return lines
