"""A million outcomes with windows, reversals and confirmations, against the plain count of the same rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

from django.db import connection, transaction

from customers.models import Customer
from metering.aggregation import Span
from metering.measuring import measure
from metering.models import Event, Meter
from tests.benchmarks import databases
from tests.benchmarks.report import milliseconds, ratio, seconds, write_section

COMMAND = "make bench ARGS=tests/benchmarks/test_outcomes_speed.py"
OUTCOMES, CUSTOMERS = 1_000_000, 1_000
START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
METERS = {
    "window": {"verification_hours": Decimal(72)},
    "period": {"verification_hours": Decimal(72), "once_per_subject": "period"},
    "ever": {"verification_hours": Decimal(72), "once_per_subject": "ever"},
}
# Of a hundred outcomes: 95 tickets, five of them resolved twice; four reopened within the window by subject and one by
# key, five confirmed by subject. Customers take turns, as events arrive.
MAKE = """
INSERT INTO metering_event (id, source, key, batch_id, meter_id, customer_id, occurred_at, received_at, subject,
                            signal, target_id)
SELECT (lpad(to_hex(n), 12, '0') || '70008' || lpad(to_hex(kind), 15, '0'))::uuid, 'bench', n || '-' || kind,
       md5('outcomes')::uuid, %(meter)s, %(customer)s + n %% %(customers)s,
       %(start)s + %(step)s * n + CASE kind WHEN 0 THEN interval '0' ELSE interval '5 hours' END, %(end)s,
       CASE WHEN kind = 2 THEN NULL ELSE 'ticket-' || subject END,
       CASE kind WHEN 0 THEN NULL WHEN 3 THEN 'confirms' ELSE 'reverses' END,
       CASE WHEN kind = 2 THEN (lpad(to_hex(n), 12, '0') || '70008' || lpad('', 15, '0'))::uuid END
FROM (
    SELECT n, nth, CASE WHEN nth >= 95 THEN n - 5 * %(customers)s ELSE n END AS subject
    FROM (SELECT n, n / %(customers)s %% 100 AS nth FROM generate_series(0, %(outcomes)s - 1) n) numbers
) outcome, LATERAL (
    SELECT 0 AS kind
    UNION ALL SELECT 1 WHERE nth BETWEEN 10 AND 13
    UNION ALL SELECT 2 WHERE nth = 20
    UNION ALL SELECT 3 WHERE nth BETWEEN 30 AND 34
) made
"""
PLAIN = """
SELECT customer_id, count(*) FROM metering_event
WHERE meter_id = %s AND customer_id = ANY(%s) AND occurred_at >= %s AND occurred_at < %s AND voided_batch_id IS NULL
GROUP BY 1
"""


def make_outcomes() -> None:
    """Make the events of each meter unless they are there already."""
    if Event.objects.exists():
        return
    customers = Customer.objects.bulk_create(Customer(code=f"c{n}", name=f"C{n}") for n in range(CUSTOMERS))
    with transaction.atomic(), connection.cursor() as cursor:
        meter = Meter.objects.create(code="outcomes", label="Outcomes", type="count", **METERS["window"])
        cursor.execute(
            MAKE,
            {
                "meter": meter.pk, "customer": customers[0].pk, "customers": CUSTOMERS, "outcomes": OUTCOMES,
                "start": START, "end": END, "step": (END - START - timedelta(hours=80)) / OUTCOMES,
            },
        )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def test_a_million_outcomes(database: None) -> None:
    with databases.connected_to("bench_outcomes"):
        make_outcomes()
        meter = Meter.objects.get()
        ids = list(Customer.objects.order_by("id").values_list("id", flat=True))
        spans = [Span(pk, pk, START, END, zone="UTC") for pk in ids]

        def plain() -> None:
            with connection.cursor() as cursor:
                cursor.execute(PLAIN, [meter.pk, ids, START, END])
                cursor.fetchall()

        floor = seconds(plain, times=3)
        rows = [[f"plain count of {Event.objects.count():,} rows by customer", milliseconds(floor), "1"]]
        counted = {}
        for name, fields in METERS.items():
            for field, value in {"once_per_subject": "never", **fields}.items():
                setattr(meter, field, value)  # in memory: the same events, counted in another way
            taken = seconds(partial(measure, meter, spans), times=3)
            counted[name] = measure(meter, spans)
            rows.append(
                [
                    f"`measure()`, 72 hours, once per subject: {meter.once_per_subject}",
                    milliseconds(taken),
                    ratio(taken, floor),
                ]
            )
        totals = {name: sum(each.quantity for each in found.values()) for name, found in counted.items()}
        # 4 + 1 of a hundred are reversed; of subjects resolved twice five more repeat.
        assert totals["window"] == OUTCOMES * 95 // 100
        assert totals["period"] == totals["ever"] == OUTCOMES * 90 // 100
        write_section("Outcomes", command=COMMAND, columns=["what", "median", "ratio"], rows=rows)
