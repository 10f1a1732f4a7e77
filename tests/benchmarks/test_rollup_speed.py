"""All customers by day from the rollup; what folding costs, and what it costs ingestion."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from time import perf_counter
from uuid import uuid4

from django.db import connection, transaction

from metering.aggregation import total_windows
from metering.folding import fold_usage, rebuild_usage
from metering.incoming import IncomingEvent, TimeBounds
from metering.ingesting import record_events
from metering.models import Meter
from metering.periods import Interval, windows
from metering.rollup import daily_usage
from tests.benchmarks.dataset import BATCH, END, EVENTS, START
from tests.benchmarks.report import milliseconds, ratio, seconds, write_section

COMMAND = "make bench ARGS=tests/benchmarks/test_rollup_speed.py"
DAYS = {"start_on": date(2026, 10, 1), "end_on": date(2026, 11, 1)}
ROUNDS = 7
ROUND_BATCHES = 60
BOUNDS = TimeBounds(max_age=timedelta(days=400), max_ahead=timedelta(hours=1))


def test_all_customers_by_day(month: None) -> None:
    started = perf_counter()
    rebuild_usage()
    rebuilt = perf_counter() - started
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE metering_usagebyday")
        cursor.execute(
            "SELECT count(*), pg_total_relation_size('metering_usagebyday') FROM metering_usagebyday"
        )
        rows, size = cursor.fetchone()
    meters = list(Meter.objects.order_by("id"))
    meter = meters[0]
    cuts = windows(START, END, interval=Interval.DAY, zone="UTC")
    raw = seconds(lambda: total_windows(cuts, meter=meter, zone="UTC", group_by=("customer",)), times=3)
    each = seconds(lambda: daily_usage(meter, zone="UTC", by_customer=True, **DAYS))
    together = seconds(lambda: [daily_usage(one, zone="UTC", **DAYS) for one in meters])
    months = seconds(
        lambda: [
            daily_usage(one, zone="UTC", by_customer=True, interval=Interval.MONTH, **DAYS) for one in meters
        ]
    )
    found = daily_usage(meter, zone="UTC", by_customer=True, **DAYS)
    events = {
        (total.group, total.slot): total.amount
        for total in total_windows(cuts, meter=meter, zone="UTC", group_by=("customer",))
    }
    for series in found.series:
        for slot, point in enumerate(series.points):
            assert events.get(((series.group["customer"],), slot), 0) == point.value
    write_section(
        "Usage by day",
        command=COMMAND,
        columns=["what", "median", "against the events"],
        rows=[
            ["one meter, every customer, every day, from the events", milliseconds(raw), "1"],
            [
                "the same from usage by day: 1,000 customers, each with its own 31 points",
                milliseconds(each),
                ratio(each, raw),
            ],
            ["5 meters, all customers together, every day", milliseconds(together), ""],
            ["5 meters, every customer, one month", milliseconds(months), ""],
            [
                f"made again from {EVENTS:,} events ({EVENTS / rebuilt:,.0f} a second)",
                milliseconds(rebuilt),
                "",
            ],
        ],
        notes=[f"{rows:,} rows, {size / 2**20:,.0f} MiB with the index."],
    )


def _batch(number: int) -> list[IncomingEvent]:
    """A thousand events of the last hours: time runs on from batch to batch, keys are drawn at random."""
    at = END + timedelta(seconds=number)
    return [
        IncomingEvent(
            meter="tickets_resolved",
            customer=f"customer-{(n * 7 + number) % 1000 + 1}",
            occurred_at=at.isoformat(),
            key=str(uuid4()),
        )
        for n in range(BATCH)
    ]


def test_ingestion_with_and_without_folding(month: None) -> None:
    """Rounds with and without a folder at work in turn, on two connections."""
    fold_usage()
    rates: dict[bool, list[float]] = {False: [], True: []}
    number = 0
    for turn in range(ROUNDS * 2):
        folding = bool(turn % 2)
        batches = [_batch(number + n) for n in range(ROUND_BATCHES)]
        number += ROUND_BATCHES
        stop = threading.Event()

        folder = threading.Thread(target=_fold_until, args=(stop,))
        if folding:
            folder.start()
        started = perf_counter()
        writers = [threading.Thread(target=_write, args=(batches[half::2],)) for half in (0, 1)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        rates[folding].append(ROUND_BATCHES * BATCH / (perf_counter() - started))
        stop.set()
        if folding:
            folder.join()
        fold_usage()
    without, with_ = sorted(rates[False])[ROUNDS // 2], sorted(rates[True])[ROUNDS // 2]
    _remove_live_events()
    write_section(
        "Ingestion while usage by day is folded",
        command=COMMAND,
        columns=["what", "events a second (median)", "ratio"],
        rows=[
            ["two writers of batches of 1,000", f"{without:,.0f}", "1"],
            ["the same while a folder folds every second", f"{with_:,.0f}", ratio(with_, without)],
        ],
        notes=[
            "`record_events` itself, in threads of one process beside PostgreSQL; the worker folds once a minute."
        ],
    )


def _fold_until(stop: threading.Event) -> None:
    try:
        while not stop.wait(1.0):  # a minute in production; more often costs more
            fold_usage()
    finally:
        connection.close()


def _write(batches: list[list[IncomingEvent]]) -> None:
    try:
        for each in batches:
            record_events(each, source="bench-live", now=END + timedelta(days=1), bounds=BOUNDS)
    finally:
        connection.close()


def _remove_live_events() -> None:
    """Leave the month as it was: batches can only be deleted with their triggers off."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL reckoner.prune = 'on'")
        cursor.execute("DELETE FROM metering_event WHERE source = 'bench-live'")
        cursor.execute("ALTER TABLE metering_eventbatch DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM metering_eventbatch WHERE source = 'bench-live'")
        cursor.execute("ALTER TABLE metering_eventbatch ENABLE TRIGGER USER")
        cursor.execute("DELETE FROM metering_usagebyday WHERE starts_at >= %s", [END])
        cursor.execute(
            "UPDATE metering_eventledger SET last_position = (SELECT max(position) FROM metering_eventbatch)"
        )
        cursor.execute(
            "UPDATE metering_rollup SET folded_position = (SELECT last_position FROM metering_eventledger)"
        )
