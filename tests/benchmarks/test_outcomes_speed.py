"""Meters of a million outcomes with windows, reversals and confirmations, against the plain count of the same rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from time import perf_counter
from unittest import mock

from django.db import connection, transaction

from customers.models import Customer
from metering.folding import fold_usage
from metering.ledger import place_batches
from metering.measuring import measure
from metering.models import Event, EventBatch, Meter, Rollup
from metering.settling_ahead import settle_outcomes
from metering.spans import Span
from tests.benchmarks import databases
from tests.benchmarks.report import milliseconds, ratio, seconds, write_section

COMMAND = "make bench ARGS=tests/benchmarks/test_outcomes_speed.py"
OUTCOMES, CUSTOMERS = 1_000_000, 1_000
START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
# What counts of a hundred: 4 + 1 are reversed; of subjects resolved twice five more repeat.
METERS = {"never": 95, "period": 90, "ever": 90}
SINCE = 10  # batches of each meter that nobody has settled ahead yet
# Of a hundred outcomes: 95 tickets, five of them resolved twice; four reopened within the window by subject and one by
# key, five confirmed by subject. Customers take turns, as events arrive.
MAKE = """
INSERT INTO metering_event (id, source, key, batch_id, meter_id, customer_id, occurred_at, received_at, subject,
                            dimensions, signal, target_id)
SELECT (lpad(to_hex(n), 12, '0') || '7' || lpad(to_hex(%(meter)s), 3, '0') || '8' || lpad(to_hex(kind), 15, '0'))::uuid,
       'bench', %(meter)s || '-' || n || '-' || kind, md5(%(meter)s || '-' || n / 1000)::uuid, %(meter)s,
       %(customer)s + n %% %(customers)s,
       %(start)s + %(step)s * n + CASE kind WHEN 0 THEN interval '0' ELSE interval '5 hours' END,
       %(end)s + n / 1000 * interval '1 second',
       CASE WHEN kind = 2 THEN NULL ELSE 'ticket-' || subject END,
       CASE WHEN kind = 0 THEN jsonb_build_object('kind', CASE n %% 7 WHEN 0 THEN 'hard' ELSE 'easy' END) END,
       CASE kind WHEN 0 THEN NULL WHEN 3 THEN 'confirms' ELSE 'reverses' END,
       CASE WHEN kind = 2 THEN
           (lpad(to_hex(n), 12, '0') || '7' || lpad(to_hex(%(meter)s), 3, '0') || '8' || lpad('', 15, '0'))::uuid END
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
BATCHES = """
INSERT INTO metering_eventbatch (id, kind, source, received_at, stored, accepted, duplicates, conflicts, unmatched,
                                 rejected, first_occurred_at, last_occurred_at, has_signals)
SELECT batch_id, 'received', 'bench', max(received_at), count(*), count(*), 0, 0, 0, 0, min(occurred_at),
       max(occurred_at), bool_or(signal IS NOT NULL)
FROM metering_event GROUP BY 1
"""
PLAIN = """
SELECT customer_id, count(*) FROM metering_event
WHERE meter_id = %s AND customer_id = ANY(%s) AND occurred_at >= %s AND occurred_at < %s AND voided_batch_id IS NULL
GROUP BY 1
"""


def make_outcomes() -> None:
    """Make the events of each meter, and settle all but the last ones ahead, unless that was done already."""
    if Event.objects.exists():
        return
    customers = Customer.objects.bulk_create(Customer(code=f"c{n}", name=f"C{n}") for n in range(CUSTOMERS))
    with transaction.atomic(), connection.cursor() as cursor:
        for once in METERS:
            meter = Meter.objects.create(
                code=once, label=once, type="count", dimensions=["kind"],
                once_per_subject=once, verification_hours=Decimal(72),
            )  # fmt: skip
            cursor.execute(
                MAKE,
                {
                    "meter": meter.pk, "customer": customers[0].pk, "customers": CUSTOMERS, "outcomes": OUTCOMES,
                    "start": START, "end": END, "step": (END - START - timedelta(hours=80)) / OUTCOMES,
                },
            )  # fmt: skip
        cursor.execute(BATCHES)
    place_batches()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def settle(batches: int | None) -> float:
    """Settle ahead; give the seconds."""
    started = perf_counter()
    settle_outcomes(at_most=batches)
    taken = perf_counter() - started
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) metering_settledoutcome")
    return taken


def from_events(meter: Meter, spans: list[Span]) -> None:
    with mock.patch(
        "metering.aggregation.notes_are_quicker", side_effect=lambda asked, as_of: [False] * len(asked)
    ):
        measure(meter, spans)


def test_a_million_outcomes(database: None) -> None:
    with databases.connected_to("bench_settled"):
        make_outcomes()
        fold_usage()
        resettle_position(0)
        batches = EventBatch.objects.count()
        settling = settle(batches - SINCE * len(METERS))
        ids = list(Customer.objects.order_by("id").values_list("id", flat=True))
        spans = [Span(pk, pk, START, END, zone="UTC") for pk in ids]
        meters = {meter.code: meter for meter in Meter.objects.all()}
        taken: dict[str, dict[str, float]] = {once: {} for once in METERS}

        def take(name: str, work: Callable[[Meter, list[Span]], object]) -> None:
            for once, meter in meters.items():
                taken[once][name] = seconds(partial(work, meter, spans), times=5)

        def plain(meter: Meter, spans: list[Span]) -> None:
            with connection.cursor() as cursor:
                cursor.execute(PLAIN, [meter.pk, ids, START, END])
                cursor.fetchall()

        take("plain count in SQL, from the index alone", plain)
        take(f"`measure()`, {SINCE},000 events not settled ahead yet", measure)
        settle(None)
        take("`measure()`, all settled ahead", measure)
        take("the same by a dimension", partial(measure, group_by=["kind"]))
        take("`measure()` from the events", from_events)
        for once, meter in meters.items():
            assert (
                sum(each.quantity for each in measure(meter, spans).values())
                == OUTCOMES * METERS[once] // 100
            )
        rows = []
        for once, figures in taken.items():
            floor = next(iter(figures.values()))
            rows += [[once, name, milliseconds(each), ratio(each, floor)] for name, each in figures.items()]
        events = Event.objects.count()
        write_section(
            "Outcomes",
            command=COMMAND,
            columns=["once per subject", "what", "median", "ratio"],
            rows=rows,
            notes=[
                f"Each meter has {events // len(METERS):,} events of {CUSTOMERS:,} customers: a million outcomes held"
                " for 72 hours, 50,000 of them reversed, 50,000 confirmed, 50,000 resolved once more.",
                f"All {events:,} were settled ahead at {events / settling:,.0f} events a second.",
            ],
        )


def resettle_position(position: int) -> None:
    """Forget what was settled ahead after a position."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE metering_settledoutcome")
        Rollup.objects.update(settled_position=position)
