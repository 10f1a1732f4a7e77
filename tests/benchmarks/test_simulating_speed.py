"""What a thousand customers would have paid for a year at other prices, beside what they were invoiced."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.db import connection

from billing.closing import close_period
from billing.models import Invoice, Plan
from billing.months import Month
from billing.pricing import activate_plan, create_plan
from billing.simulating import simulate
from metering.models import Meter
from metering.periods import month_period
from tests.benchmarks.databases import connected_to
from tests.benchmarks.dataset import make_customers
from tests.benchmarks.report import milliseconds, seconds, write_section
from tests.benchmarks.test_closing_speed import RATES, SUBSCRIBE

COMMAND = "make bench ARGS=tests/benchmarks/test_simulating_speed.py"
CUSTOMERS = 1_000
EVENTS = 100
NOW = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
MONTHS = [(2025, 11), (2025, 12), *((2026, month) for month in range(1, 11))]
MAKE_EVENTS = """
INSERT INTO metering_event (id, source, key, batch_id, meter_id, customer_id, value, occurred_at, received_at)
SELECT gen_random_uuid(), 'bench', %(batch)s::text || n, %(batch)s, (%(meters)s::bigint[])[n %% 3 + 1], customer.id,
       n %% 7 + 1, %(start)s + n * interval '6 hours', %(end)s
FROM customers_customer customer, generate_series(1, %(each)s) n
"""
MAKE_BATCH = """
INSERT INTO metering_eventbatch (id, kind, source, received_at, stored, accepted, first_occurred_at, last_occurred_at,
                                 position, duplicates, conflicts, unmatched, rejected)
VALUES (%(batch)s, 'received', 'bench', %(end)s, %(all)s, %(all)s, %(start)s, %(end)s, %(position)s, 0, 0, 0, 0)
"""


def test_a_year_of_a_thousand_customers_at_other_prices(database: None) -> None:
    with connected_to("bench_year"):
        _make_year()
        dearer = Plan.objects.get(code="dearer")
        first, last = date(2025, 11, 1), date(2026, 11, 1)
        result = simulate(dearer, first=first, last=last, now=NOW, instead_of=["bench"])
        invoices = Invoice.objects.count()
        assert invoices == CUSTOMERS * len(MONTHS)
        assert len(result.customers) == CUSTOMERS
        assert result.whole.then == sum(Invoice.objects.values_list("total", flat=True), Decimal(0))
        same = simulate(Plan.objects.get(code="bench"), first=first, last=last, now=NOW)
        assert same.whole.now == same.whole.then  # at their own prices nothing changes
        taken = seconds(
            lambda: simulate(dearer, first=first, last=last, now=NOW, instead_of=["bench"]),
            times=3,
            warm=False,
        )
    write_section(
        "What if",
        command=COMMAND,
        columns=["what", "median"],
        rows=[
            [
                f"{CUSTOMERS:,} customers, 12 months: {invoices:,} invoices at other prices",
                milliseconds(taken),
            ]
        ],
        notes=[
            f"{EVENTS * CUSTOMERS * len(MONTHS):,} events, three usage rates, each month up to the events its invoice "
            f"counted: {invoices / taken:,.0f} invoices a second. At the prices of the invoices themselves it gives "
            "their totals to the cent."
        ],
    )


def _make_year() -> None:
    if Plan.objects.exists():
        return
    make_customers(CUSTOMERS)
    meters = [
        Meter.objects.create(code=code, label=code, type=type_).pk
        for code, type_ in (("tickets_resolved", "count"), ("api_calls", "count"), ("llm_tokens", "sum"))
    ]
    rates: list[dict[str, Any]] = [{**RATES[0], "unit_amount": "2.50"}, RATES[1], RATES[2]]
    terms = {"name": "Benchmark", "currency": "USD", "billing_period": "monthly"}
    plan = activate_plan(create_plan(code="bench", rates=RATES, **terms), now=NOW)
    activate_plan(create_plan(code="dearer", rates=rates, **terms), now=NOW)
    start_on = date(2025, 11, 1)
    with connection.cursor() as cursor:
        cursor.execute(SUBSCRIBE, [plan.pk, start_on, start_on, plan.pk])
        cursor.execute("INSERT INTO metering_eventledger VALUES (true, 0)")
    for position, (year, month) in enumerate(MONTHS, start=1):
        period = month_period(year, month, "UTC")
        shape = {
            "batch": uuid4(),
            "meters": meters,
            "start": period.start,
            "end": period.end,
            "each": EVENTS,
            "all": EVENTS * CUSTOMERS,
            "position": position,
        }
        with connection.cursor() as cursor:
            cursor.execute(MAKE_EVENTS, shape)
            cursor.execute(MAKE_BATCH, shape)
            cursor.execute("UPDATE metering_eventledger SET last_position = %s", [position])
            cursor.execute("ANALYZE")
        close_period(Month(year, month), now=NOW, grace_days=0)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
