"""The cost of a month of activity over 50 workloads and 3 dimensions, against the bare SQL of the same groups."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from django.db import connection, transaction

from billing.cost_rates import Validity, add_cost_rate
from billing.costing import costs
from billing.models import CostRate
from customers.models import Customer
from metering.models import Event, Meter, Workload, WorkloadName
from tests.benchmarks import databases
from tests.benchmarks.dataset import END, EVENTS, START
from tests.benchmarks.report import milliseconds, ratio, seconds, write_section

COMMAND = "make bench ARGS=tests/benchmarks/test_costing_speed.py"
WORKLOADS = 50
PART = 1_000_000
MODELS, KINDS, REGIONS = ("a", "b", "c", "d"), ("input", "output"), ("eu", "us", "asia", "africa", "oceania")
MAKE = """
INSERT INTO metering_event (id, source, key, batch_id, meter_id, customer_id, workload_id, value, occurred_at,
                            received_at, dimensions)
SELECT (lpad(to_hex(n), 12, '0') || '70008' || lpad('', 15, '0'))::uuid, 'bench', n::text, md5('costs')::uuid,
       %(meter)s, %(customer)s + n %% 100, %(workload)s + (n * 7) %% 50, n %% 1000, %(start)s + %(step)s * n, %(end)s,
       jsonb_build_object('model', (%(models)s::text[])[1 + n %% 4], 'type', (%(kinds)s::text[])[1 + n / 3 %% 2],
                          'region', (%(regions)s::text[])[1 + n / 11 %% 5])
FROM generate_series(%(first)s, %(last)s) n
"""
BARE = """
SELECT workload_id, dimensions ->> 'model', dimensions ->> 'type', dimensions ->> 'region', sum(value), count(*)
FROM metering_event WHERE occurred_at >= %s AND occurred_at < %s GROUP BY 1, 2, 3, 4
"""
PRICES = {
    (model, kind): Decimal(n + 1) for n, (model, kind) in enumerate((m, k) for m in MODELS for k in KINDS)
}


def make_month() -> None:
    """Make the events unless they are there already."""
    if Event.objects.exists():
        assert connection.cursor().execute("SELECT count(*) FROM metering_event").fetchone()[0] == EVENTS
        return
    meter = Meter.objects.create(
        code="llm_tokens", label="Tokens", type="sum", dimensions=["model", "type", "region"]
    )
    customers = Customer.objects.bulk_create(Customer(code=f"c{n}", name=f"C{n}") for n in range(100))
    workloads = Workload.objects.bulk_create(Workload(code=f"w{n}", name=f"W{n}") for n in range(WORKLOADS))
    names = WorkloadName.objects.bulk_create(
        WorkloadName(name=each.code, workload=each, first_seen_at=START) for each in workloads
    )
    rows = [
        {"match": {"model": model, "type": kind}, "unit_amount": str(price)}
        for (model, kind), price in PRICES.items()
    ]
    terms = {"meter": "llm_tokens", "model": "per_unit", "per": "1000000", "dimensions": ["model", "type"]}
    add_cost_rate(terms | {"rows": rows, "unmatched": "listed"}, Validity())
    for first in range(0, EVENTS, PART):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(MAKE, {
                "meter": meter.pk, "customer": customers[0].pk, "workload": names[0].pk, "start": START, "end": END,
                "step": (END - START) / EVENTS, "models": list(MODELS), "kinds": list(KINDS),
                "regions": list(REGIONS), "first": first, "last": min(first + PART, EVENTS) - 1,
            })  # fmt: skip
        print(f"  {first + PART:,}", flush=True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def bare() -> dict[tuple[int, str, str, str], Decimal]:
    with connection.cursor() as cursor:
        cursor.execute(BARE, [START, END])
        return {row[:4]: row[4] for row in cursor.fetchall()}


def test_a_month_of_activity_over_fifty_workloads_and_three_dimensions(database: None) -> None:
    with databases.connected_to("bench_costs"):
        make_month()
        assert CostRate.objects.count() == 1
        found = costs(START, END, group_by=["workload", "region"])
        expected = Fraction(0)
        for (_, model, kind, _), quantity in bare().items():
            expected += Fraction(quantity) * Fraction(PRICES[model, kind]) / 10**6
        assert (found.total, found.unknown) == (expected, [])
        floor = seconds(bare, times=5)
        ours = seconds(lambda: costs(START, END, group_by=["workload", "region"]), times=5)
        by_customer = seconds(lambda: costs(START, END, group_by=["customer"]), times=3)
        day = seconds(lambda: costs(START, START + timedelta(days=1), group_by=["workload"]), times=3)
        write_section(
            "Costs",
            command=COMMAND,
            columns=["what", "median", "ratio"],
            rows=[
                [
                    f"bare grouped SQL: {EVENTS:,} events by workload and 3 dimensions",
                    milliseconds(floor),
                    "1",
                ],
                [
                    "`costs()` by workload and region, priced by model and type",
                    milliseconds(ours),
                    ratio(ours, floor),
                ],
                [
                    "`costs()` by customer, priced by model and type",
                    milliseconds(by_customer),
                    ratio(by_customer, floor),
                ],
                ["`costs()` by workload, one day", milliseconds(day), ""],
            ],
            notes=[f"{WORKLOADS} workloads, 100 customers, {len(found.groups)} groups from 2,000 cells."],
        )
