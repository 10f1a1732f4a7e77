"""Months of events for the benchmarks, made by the database itself and kept between runs.

Each has 5 meters and BENCH_EVENTS events (10 million unless set) in October 2026, in batches of 1,000, in the order of
time as they would arrive. A fifth of the customers live in New York, the others in UTC. They lie in databases of their
own, so that each can be measured while the others stay as they are.

    DATA_DIR=.data-bench python -m tests.benchmarks    makes all of them beforehand
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connection, transaction

from customers.models import Customer
from metering.models import Meter

EVENTS = int(os.environ.get("BENCH_EVENTS", "10000000"))
CUSTOMERS = 1_000
BATCH = 1_000
FEW = min(EVENTS, 100_000)
START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One month. `ordered` keys are UUIDs in the order of time, others are random ones."""

    name: str
    events: int
    customers: int
    ordered: bool


MONTH = Dataset("month", EVENTS, CUSTOMERS, ordered=True)
# Ten thousand customers to close, and what ten million random keys mean for new ones.
WIDE = Dataset("wide", EVENTS, 10 * CUSTOMERS, ordered=False)
SMALL = Dataset("small", FEW, CUSTOMERS, ordered=False)
SMALL_ORDERED = Dataset("small_ordered", FEW, CUSTOMERS, ordered=True)
DATASETS = (MONTH, WIDE, SMALL, SMALL_ORDERED)

METERS = {
    "tickets_resolved": "count",
    "api_calls": "count",
    "logins": "count",
    "llm_tokens": "sum",
    "minutes": "sum",
}

MAKE_BATCHES = """
INSERT INTO metering_eventbatch (id, kind, source, received_at, stored, accepted, duplicates, conflicts, unmatched,
                                 rejected, first_occurred_at, last_occurred_at, position)
SELECT md5('batch-' || b)::uuid, 'received', 'bench', %(start)s + %(step)s * %(size)s * (b + 1), %(size)s, %(size)s,
       0, 0, 0, 0, %(start)s + %(step)s * %(size)s * b, %(start)s + %(step)s * (%(size)s * (b + 1) - 1), b + 1
FROM generate_series(0, %(batches)s - 1) b
"""
# Customer and meter are spread evenly and without a pattern.
MAKE_EVENTS = """
INSERT INTO metering_event (id, source, key, batch_id, meter_id, customer_id, value, occurred_at, received_at, subject,
                            dimensions)
SELECT id, 'bench', id::text, batch_id, meter_id, %(first_customer)s + customer, CASE WHEN nth > 2 THEN amount END,
       occurred_at, received_at, CASE WHEN nth = 0 THEN 'ticket-' || n END,
       CASE WHEN nth = 3 THEN jsonb_build_object('model', substr('abc', amount %% 3 + 1, 1)) END
FROM (
    SELECT n, CASE WHEN %(ordered)s
                     THEN lpad(to_hex(n), 12, '0') || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15)
                     ELSE substr(hash, 1, 12) || '4' || substr(hash, 13, 3) || '8' || substr(hash, 16, 15)
                END::uuid AS id,
           md5('batch-' || n / %(size)s)::uuid AS batch_id, ('x' || substr(hash, 20, 6))::bit(24)::int %% 5 AS nth,
           ('x' || substr(hash, 26, 6))::bit(24)::int %% %(customers)s AS customer,
           ('x' || substr(hash, 9, 4))::bit(16)::int %% 1000 AS amount, %(start)s + %(step)s * n AS occurred_at,
           %(start)s + %(step)s * %(size)s * (n / %(size)s + 1) AS received_at
    FROM (SELECT n, md5(n::text) AS hash FROM generate_series(%(first)s, %(last)s) n) numbers
) drawn, LATERAL (SELECT (%(meters)s::bigint[])[nth + 1] AS meter_id) meter
"""


def make_customers(count: int, *, far: str = "UTC") -> None:
    """Make customers with codes from customer-1, every fifth in the zone `far`, the others in UTC."""
    Customer.objects.bulk_create(
        [
            Customer(code=f"customer-{n}", name=f"Customer {n}", timezone="UTC" if n % 5 else far)
            for n in range(1, count + 1)
        ],
        batch_size=5_000,
    )


def make_dataset(dataset: Dataset) -> bool:
    """Make the month in the database connected to, unless it is there already; say whether it was made now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_position FROM metering_eventledger")
        found = cursor.fetchone()
        if found is not None:
            if found[0] * BATCH != dataset.events:
                raise RuntimeError(
                    f"The benchmark database “{dataset.name}” holds {found[0] * BATCH:,} events, not "
                    f"{dataset.events:,}. Delete its folder, or set BENCH_EVENTS to that number."
                )
            return False
    print(f"\nMaking {dataset.events:,} events of “{dataset.name}” once ...", flush=True)
    with transaction.atomic(), connection.cursor() as cursor:
        make_customers(dataset.customers, far="America/New_York")
        cursor.execute("SELECT min(id) FROM customers_customer")
        first_customer = cursor.fetchone()[0]
        meters = [
            Meter.objects.create(
                code=code, label=code, type=type_, dimensions=["model"] if code == "llm_tokens" else []
            ).pk
            for code, type_ in METERS.items()
        ]
        shape = {
            "start": START,
            "step": (END - START) / dataset.events,
            "size": BATCH,
            "batches": dataset.events // BATCH,
            "customers": dataset.customers,
            "first_customer": first_customer,
            "meters": meters,
            "ordered": dataset.ordered,
        }
        cursor.execute(MAKE_BATCHES, shape)
        part = 1_000_000
        for first in range(0, dataset.events, part):
            last = min(first + part, dataset.events) - 1
            cursor.execute(MAKE_EVENTS, shape | {"first": first, "last": last})
            print(f"  {last + 1:,}", flush=True)
        cursor.execute("INSERT INTO metering_eventledger VALUES (true, %s)", [dataset.events // BATCH])
    return True
