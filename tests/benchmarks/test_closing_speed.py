"""Closing a month of ten thousand customers over ten million events, against a loop over customers.

Also what a close needs of memory as customers become many, and how soon late events are found.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import median
from time import perf_counter, process_time
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from billing.closing import close_period
from billing.models import (
    ChangedLine,
    Invoice,
    InvoiceLine,
    InvoiceSeries,
    Plan,
    Subscription,
    WebhookDelivery,
    WebhookEndpoint,
)
from billing.months import Month
from billing.pricing import activate_plan, create_plan
from billing.rating import Usage, UsageRate, parse_rate, rate, round_amount
from billing.scanning import scan_changes
from customers.models import Customer
from metering.incoming import IncomingEvent, TimeBounds
from metering.ingesting import record_events
from metering.models import Event, Meter
from tests.benchmarks.databases import ROOT, connected_to
from tests.benchmarks.dataset import END, EVENTS, START, make_customers
from tests.benchmarks.report import ratio, write_section
from tests.benchmarks.server_time import server_time
from tests.benchmarks.serving import environment

COMMAND = "make bench ARGS=tests/benchmarks/test_closing_speed.py"
NOW = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
SAMPLE = int(os.environ.get("BENCH_SAMPLE", "200"))
PEOPLE = [int(each) for each in os.environ.get("BENCH_PEOPLE", "1000,10000,100000").split(",")]
LATE = 1_000
BOUNDS = TimeBounds(max_age=timedelta(days=400), max_ahead=timedelta(hours=1))
RATES: list[dict[str, Any]] = [
    {"kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "2.00"},
    {
        "kind": "usage",
        "meter": "api_calls",
        "model": "graduated",
        "tiers": [{"up_to": "20", "unit_amount": "0.10"}, {"up_to": None, "unit_amount": "0.05"}],
    },
    {
        "kind": "usage",
        "meter": "llm_tokens",
        "model": "package",
        "package_size": "1000",
        "package_amount": "3",
    },
]
# What `subscribe` writes for one customer, for all.
SUBSCRIBE = """
WITH made AS (
    INSERT INTO billing_subscription (customer_id, plan_id, start_on, anchor, timezone, quantity, overrides, created_at,
                                      revision, trial_usage_free)
    SELECT id, %s, %s, 'calendar', timezone, 1, '{}', now(), 0, false FROM customers_customer ORDER BY id
    RETURNING id, customer_id
)
INSERT INTO billing_metercoverage (subscription_id, customer_id, meter_id, during)
SELECT made.id, made.customer_id, rate.meter_id, daterange(%s, NULL)
FROM made, billing_rate rate WHERE rate.plan_id = %s
"""
MAKE_EVENTS = """
INSERT INTO metering_event (id, source, key, batch_id, meter_id, customer_id, value, occurred_at, received_at)
SELECT gen_random_uuid(), 'bench', n::text, %(batch)s, (%(meters)s::bigint[])[n %% 3 + 1], customer.id, n %% 7 + 1,
       %(start)s + (n %% 700) * interval '1 hour', %(end)s
FROM customers_customer customer, generate_series(1, %(each)s) n
"""
MAKE_BATCH = """
INSERT INTO metering_eventbatch (id, kind, source, received_at, stored, accepted, first_occurred_at, last_occurred_at,
                                 position, duplicates, conflicts, unmatched, rejected)
SELECT %(batch)s, 'received', 'bench', %(end)s, count(*), count(*), min(occurred_at), max(occurred_at), 1, 0, 0, 0, 0
FROM metering_event
"""


def subscribe_everybody() -> None:
    """Give every customer a plan of three usage rates, once."""
    if Subscription.objects.exists():
        return
    Meter.objects.filter(code="llm_tokens").update(unit="token")
    plan = create_plan(code="bench", name="Benchmark", currency="USD", billing_period="monthly", rates=RATES)
    plan = activate_plan(plan, now=NOW)
    with connection.cursor() as cursor:
        cursor.execute(SUBSCRIBE, [plan.pk, date(2026, 10, 1), date(2026, 10, 1), plan.pk])
        cursor.execute("ANALYZE")


def forget_invoices() -> None:
    """Leave the database without invoices, as before a close."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE billing_invoice, billing_invoiceseries, billing_changedline CASCADE")
        cursor.execute("TRUNCATE billing_webhookendpoint, billing_webhookmessage CASCADE")
        cursor.execute("DELETE FROM procrastinate_jobs")
        cursor.execute("UPDATE billing_adjustmentscan SET position = 0")


CLOSER = """
import json, resource, sys, time
from datetime import datetime
from pathlib import Path

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

def main():
    import django
    django.setup()
    from django.db import connection
    from billing.closing import Month, close_period
    connection.ensure_connection()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM counts from here
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    now = datetime.fromisoformat(sys.argv[1])
    report = close_period(Month(2026, 10), now=now, grace_days=0, closers=int(sys.argv[2]))
    ended = time.monotonic()
    after = memory("VmHWM")
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in used)
    print(json.dumps(
        {"began": began, "ended": ended, "issued": report.issued, "before": before, "after": after, "cpu": cpu}
    ))

if __name__ == "__main__":  # a process that it starts reads this again
    main()
"""


def close(database: str, *, commands: int = 1, closers: int = 1) -> dict[str, float]:
    """Close October by commands at once, each with some closers; give invoices, seconds, megabytes of one process."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLOSER, NOW.isoformat(), str(closers)],
            cwd=ROOT,
            env=environment(database) | {"DJANGO_SETTINGS_MODULE": "tests.benchmarks.server_settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(commands)
    ]
    for each in processes:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    found = []
    for each in processes:
        output, _ = each.communicate()
        assert each.returncode == 0
        found.append(json.loads(output))
    return {
        "invoices": sum(each["issued"] for each in found),
        "seconds": max(each["ended"] for each in found) - min(each["began"] for each in found),
        "before": max(each["before"] for each in found) / 1024,
        "after": max(each["after"] for each in found) / 1024,
        "cpu": sum(each["cpu"] for each in found),
    }


def loop_over_customers(subscriptions: Sequence[Subscription]) -> dict[int, Decimal]:
    """Invoice as a team would write it: for each customer and rate one aggregate, an object saved for each row."""
    totals = {}
    for subscription in subscriptions:
        with transaction.atomic():
            totals[subscription.customer_id] = _invoice_of(subscription)
    return totals


def _invoice_of(subscription: Subscription) -> Decimal:
    customer, plan = subscription.customer, subscription.plan
    period_start, period_end = date(2026, 10, 1), date(2026, 11, 1)
    zone = customer.timezone
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT %s::timestamp AT TIME ZONE %s, %s::timestamp AT TIME ZONE %s",
            [period_start, zone, period_end, zone],
        )
        starts_at, ends_at = cursor.fetchone()
    invoice = Invoice.objects.create(
        customer=customer,
        subscription=subscription,
        period_start=period_start,
        period_end=period_end,
        starts_at=starts_at,
        ends_at=ends_at,
        zone=zone,
        currency=plan.currency,
        subtotal=0,
        tax=0,
        total=0,
        issuer={},
        recipient={"name": customer.name},
        plan_name=plan.name,
        plan_code=plan.code,
        plan_version=plan.version,
        watermark=0,
        drawn_up_at=NOW,
        issue_after=NOW,
    )
    total = Decimal(0)
    for n, row in enumerate(plan.rates.select_related("meter").order_by("position"), start=1):
        meter = row.meter
        assert meter is not None
        quantity = Event.objects.filter(
            customer=customer,
            meter=meter,
            occurred_at__gte=starts_at,
            occurred_at__lt=ends_at,
            voided_batch_id=None,
        ).aggregate(quantity=Sum(Coalesce(F("value"), Decimal(1))))["quantity"] or Decimal(0)
        terms = parse_rate(row.terms)
        assert isinstance(terms, UsageRate)
        amount = round_amount(rate(terms, Usage(quantity)).amount, 2)
        InvoiceLine.objects.create(
            invoice=invoice,
            n=n,
            kind="usage",
            description=meter.label,
            rate=row,
            meter=meter,
            quantity=quantity,
            amount=amount,
            terms=row.terms,
            working=[],
            period_start=period_start,
            period_end=period_end,
        )
        total += amount
    series, _ = InvoiceSeries.objects.select_for_update().get_or_create(prefix="LOOP")
    series.last_number += 1
    series.save()
    invoice.subtotal = invoice.total = total
    invoice.series, invoice.sequence = series, series.last_number
    invoice.number = f"LOOP-{series.last_number:06d}"
    invoice.status, invoice.issued_at = "issued", NOW
    invoice.save()
    return total


def test_closing_ten_thousand_customers(wide: None) -> None:
    subscribe_everybody()
    name = str(connection.settings_dict["NAME"])
    customers = Customer.objects.count()
    alone, shared, together, heard = [], [], [], []
    for _ in range(3):
        forget_invoices()
        alone.append(close(name))
        forget_invoices()
        shared.append(close(name, closers=2))
        forget_invoices()
        together.append(close(name, commands=2))
        forget_invoices()
        WebhookEndpoint.objects.create(url="https://example.com/hooks", made_at=NOW)
        heard.append(close(name, closers=2))
        assert WebhookDelivery.objects.count() == customers
    assert all(each["invoices"] == customers for each in [*alone, *shared, *together, *heard])
    closed = dict(Invoice.objects.values_list("customer_id", "total"))
    lines = InvoiceLine.objects.count()
    assert lines == 3 * customers
    late, found = late_events(customers)
    forget_invoices()
    step = max(1, customers // SAMPLE)
    sample = list(Subscription.objects.select_related("customer", "plan").order_by("id")[::step])
    began = perf_counter()
    looped = loop_over_customers(sample)
    loop_rate = len(sample) / (perf_counter() - began)
    assert looped == {customer: closed[customer] for customer in looped}
    forget_invoices()
    rates = {
        name: median(each["invoices"] / each["seconds"] for each in runs)
        for name, runs in (("alone", alone), ("shared", shared), ("together", together), ("heard", heard))
    }
    write_section(
        "Closing",
        command=COMMAND,
        columns=["what", "invoices a second", "ratio"],
        rows=[
            [f"a loop over customers with the ORM, {len(sample):,} customers", f"{loop_rate:,.0f}", "1"],
            [
                f"`close_invoices --closers 1`, {customers:,} customers",
                f"{rates['alone']:,.0f}",
                ratio(rates["alone"], loop_rate),
            ],
            [
                "`close_invoices --closers 2`, with the start of the second process",
                f"{rates['shared']:,.0f}",
                ratio(rates["shared"], loop_rate),
            ],
            [
                "two commands at once, one closer each",
                f"{rates['together']:,.0f}",
                ratio(rates["together"], loop_rate),
            ],
            [
                "`close_invoices --closers 2`, a webhook endpoint is told of each invoice",
                f"{rates['heard']:,.0f}",
                ratio(rates["heard"], loop_rate),
            ],
        ],
        notes=[
            f"{customers:,} customers with 3 usage lines each (per unit, graduated, packages) over {EVENTS:,} events, "
            "issued with numbers, from the first query to the last commit; median of three.",
            "The loop runs over a sample and writes the same invoices and lines to the same tables, without frozen "
            "terms or working; its totals are the same to the cent.",
            f"{LATE:,} late events of {found:,} customers over {EVENTS:,} events: found and flagged in "
            f"{late * 1000:,.0f} ms.",
        ],
    )


def late_events(customers: int) -> tuple[float, int]:
    """Send events of the closed month; give the seconds until the scan has flagged what they change, and how many."""
    codes = list(Customer.objects.order_by("id").values_list("code", flat=True))
    chosen = [codes[n * len(codes) // LATE] for n in range(LATE)]
    events = [
        IncomingEvent(
            meter="tickets_resolved",
            customer=code,
            occurred_at=(START + timedelta(days=10)).isoformat(),
            key=str(uuid4()),
        )
        for code in chosen
    ]
    record_events(events, source="bench-late", now=END + timedelta(days=3), bounds=BOUNDS)
    began = perf_counter()
    scan_changes(now=NOW)
    taken = perf_counter() - began
    flagged = ChangedLine.objects.count()
    assert flagged == len(set(chosen))
    _remove_late_events()
    return taken, flagged


def _remove_late_events() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL reckoner.prune = 'on'")
        cursor.execute(
            "DELETE FROM metering_event WHERE source = 'bench-late' AND received_at > %s",
            [END + timedelta(days=1)],
        )
        cursor.execute("ALTER TABLE metering_eventbatch DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM metering_eventbatch WHERE source = 'bench-late'")
        cursor.execute("ALTER TABLE metering_eventbatch ENABLE TRIGGER USER")
        cursor.execute(
            "UPDATE metering_eventledger SET last_position = (SELECT max(position) FROM metering_eventbatch)"
        )


def test_where_the_time_of_a_close_goes(wide: None, monkeypatch: pytest.MonkeyPatch) -> None:
    subscribe_everybody()
    closed: list[tuple[float, dict[str, float]]] = []
    for _ in range(3):
        forget_invoices()
        with server_time(monkeypatch) as parts:
            began = process_time()
            report = close_period(Month(2026, 10), now=NOW, grace_days=0)
            python = process_time() - began
        closed.append((python, parts))
    python, parts = sorted(closed, key=lambda each: each[0] + each[1]["all"])[1]
    rows = {"Python": python, "PostgreSQL": parts.pop("all")}
    rows |= {f"of that: {what}": taken for what, taken in sorted(parts.items(), key=lambda each: -each[1])}
    write_section(
        "Closing, by what takes the time",
        command=COMMAND,
        columns=["what", "processor time of an invoice"],
        rows=[[what, f"{taken / report.issued * 1000:.3f} ms"] for what, taken in rows.items()],
        notes=[
            "One closer, the same 10,000 customers; the middle one of three. Commit: foreign keys are looked at, and "
            "the log is written. Measuring reads 600 events for an invoice from an index."
        ],
    )


def test_memory_stays_flat(database: None) -> None:
    rows = []
    for people in PEOPLE:
        name = f"bench_people_{people}"
        with connected_to(name):
            _make_people(people)
            forget_invoices()
            closed = close(name)
            assert closed["invoices"] == people
            forget_invoices()
        rows.append(
            [
                f"{people:,}",
                f"{closed['after']:,.0f} MiB",
                f"{closed['after'] - closed['before']:,.0f} MiB",
                f"{closed['seconds'] / people * 1000:,.2f} ms",
                f"{closed['cpu'] / people * 1000:,.2f} ms",
            ]
        )
    write_section(
        "Closing more customers",
        command=COMMAND,
        columns=[
            "customers",
            "memory at most",
            "of that for the close",
            "time of an invoice",
            "processor time of it",
        ],
        rows=rows,
        notes=[
            "Ten events for each customer; one closer, a process of its own. Memory is the most that was resident, "
            "with Python and Django; for the close: less what was resident before it began. Processor time is the "
            "closer's, without PostgreSQL and with its start. BENCH_PEOPLE=100000 measures one size alone."
        ],
    )


def _make_people(people: int) -> None:
    if Plan.objects.exists():
        return
    make_customers(people)
    with connection.cursor() as cursor:
        meters = [
            Meter.objects.create(code=code, label=code, type=type_).pk
            for code, type_ in (("tickets_resolved", "count"), ("api_calls", "count"), ("llm_tokens", "sum"))
        ]
        shape = {"batch": uuid4(), "meters": meters, "start": START, "end": END, "each": 10}
        cursor.execute(MAKE_EVENTS, shape)
        cursor.execute(MAKE_BATCH, shape)
        cursor.execute("INSERT INTO metering_eventledger VALUES (true, 1)")
    subscribe_everybody()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
