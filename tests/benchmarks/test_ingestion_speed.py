"""Events over HTTP into the real server, against COPY and against what teams build for themselves.

Senders, web server and PostgreSQL share the machine; fsync is on and keys are random. Every way takes its turn in
every round, so what disturbs the machine disturbs all of them. Asserted is only that everything acknowledged is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import pytest
from django.db import connection, transaction

from customers.keys import create_api_key
from customers.models import ApiKey
from metering.models import Meter
from tests.benchmarks import databases
from tests.benchmarks.databases import ROOT, connected_to, dataset
from tests.benchmarks.dataset import CUSTOMERS, MONTH, SMALL, SMALL_ORDERED, WIDE, Dataset
from tests.benchmarks.report import write_section
from tests.benchmarks.serving import Sent, environment, send, serving

COMMAND = "make bench ARGS=tests/benchmarks/test_ingestion_speed.py"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SCALE = float(os.environ.get("BENCH_SCALE", "1"))
SENDERS = 2
COPY_TABLE = """
CREATE TABLE bench_copy (LIKE metering_event INCLUDING ALL);
ALTER TABLE bench_copy SET (autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_vacuum_insert_threshold = 100000);
INSERT INTO bench_copy SELECT * FROM metering_event
"""


@contextmanager
def scratch(template: Dataset) -> Iterator[str]:
    """A copy of a small month, gone afterwards."""
    with dataset(template):
        pass
    name = f"bench_scratch_{template.name}"
    with connected_to("bench_base"):
        databases.drop(name)
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE bench_{template.name}")
    try:
        with connected_to(name, migrate=False):
            yield name
    finally:
        with connected_to("bench_base"):
            databases.drop(name)


def new_key() -> str:
    ApiKey.objects.filter(name="Benchmark").delete()
    return create_api_key("Benchmark", scopes=["ingest"])[1]


def jobs(
    port: int, key: str, *, events: int, batch: int, connections: int, **more: Any
) -> list[dict[str, Any]]:
    """Share events out to the senders."""
    each = max(batch, int(events * SCALE) // SENDERS // batch * batch)
    job = {
        "way": "http",
        "port": port,
        "key": key,
        "events": each,
        "batch": batch,
        "connections": connections // SENDERS,
        "customers": CUSTOMERS,
        "ordered": False,
        "expected": f'"accepted":{batch},',
    }
    return [job | more] * SENDERS


def copy_jobs(events: int) -> list[dict[str, Any]]:
    info = connection.settings_dict
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(id) FROM customers_customer")
        first_customer = cursor.fetchone()[0]
    job = {
        "way": "copy",
        "dsn": f"host={info['HOST']} port={info['PORT']} user={info['USER']} dbname={info['NAME']}",
        "events": int(events * SCALE) // SENDERS,
        "customers": CUSTOMERS,
        "ordered": False,
        "meter_id": Meter.objects.get(code="llm_tokens").pk,
        "first_customer": first_customer,
    }
    return [job] * SENDERS


def stored(table: str = "metering_event") -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


def in_turns(ways: dict[str, Callable[[], Sent]]) -> dict[str, list[Sent]]:
    """Let each way have its turn in every round, after one that is not counted."""
    found: dict[str, list[Sent]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, work in ways.items():
            sent = work()
            print(f"  {turn}  {name:24s} {sent.rate:10,.0f} a second", flush=True)
            if turn:
                found[name].append(sent)
    return found


def rate(sent: list[Sent]) -> float:
    return median(each.rate for each in sent)


def ratio_by_round(some: list[Sent], others: list[Sent]) -> str:
    """Give the median of the ratios of rounds: both had the same neighbours."""
    return f"{median(one.rate / other.rate for one, other in zip(some, others, strict=True)):.2f} x"


def test_batches_and_single_events(database: None) -> None:
    with ExitStack() as stack:
        in_house = stack.enter_context(in_house_server())
        name = stack.enter_context(scratch(SMALL))
        with connection.cursor() as cursor:
            cursor.execute(COPY_TABLE)
        key, before, copied = new_key(), stored(), stored("bench_copy")
        port = stack.enter_context(serving(name))
        ways: dict[str, Callable[[], Sent]] = {
            "copy": lambda: send(copy_jobs(100_000)),
            "thousands": lambda: send(jobs(port, key, events=100_000, batch=1000, connections=4)),
            "hundreds": lambda: send(jobs(port, key, events=50_000, batch=100, connections=16)),
            "single": lambda: send(jobs(port, key, events=3_000, batch=1, connections=16)),
            "in house": lambda: send(
                jobs(in_house, "", events=1_500, batch=1, connections=16, expected="HTTP/1.1 201")
            ),
        }
        all_sent: dict[str, int] = dict.fromkeys(ways, 0)

        def counted(name: str, work: Callable[[], Sent]) -> Callable[[], Sent]:
            def run() -> Sent:
                sent = work()
                all_sent[name] += sent.events
                return sent

            return run

        found = in_turns({name: counted(name, work) for name, work in ways.items()})
        acknowledged = all_sent["thousands"] + all_sent["hundreds"] + all_sent["single"]
        assert stored() == before + acknowledged
        assert stored("bench_copy") == copied + all_sent["copy"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(stored) FROM metering_eventbatch")
            assert cursor.fetchone()[0] == stored()
    singles, plain = found["single"], found["in house"]
    write_section(
        "Ingestion",
        command=COMMAND,
        columns=["what", "events a second (median)", "against", "ratio (median of rounds)"],
        rows=[
            ["COPY by two connections into the same indexed table", f"{rate(found['copy']):,.0f}", "", "1"],
            *(
                [
                    f"HTTP, batches of {size}, {connections} connections",
                    f"{rate(found[way]):,.0f}",
                    "COPY",
                    ratio_by_round(found[way], found["copy"]),
                ]
                for way, size, connections in (("thousands", "1,000", 4), ("hundreds", "100", 16))
            ),
            ["HTTP, single events, a plain ModelViewSet, 16 clients", f"{rate(plain):,.0f}", "", "1"],
            [
                "HTTP, single events, 16 clients",
                f"{rate(singles):,.0f}",
                "ModelViewSet",
                ratio_by_round(singles, plain),
            ],
        ],
        notes=[
            f"{ROUNDS} rounds of all ways in turn, after one that is not counted, on 100,000 stored events. Random "
            "keys (UUID version 4); every event carries a value and a dimension.",
            "The senders make all bodies before the clock starts, keep their connections open and read the answers: "
            "they cost next to nothing. Small batches come on more connections, as their senders would send them.",
            "COPY is one transaction for each of its connections, without HTTP, checks, results or a ledger.",
            "The ModelViewSet (`tests/benchmarks/in_house`) is a plain Django project on the same gunicorn, with "
            "connections that stay open: unique key, meter and customer by code, no sign-in. Reckoner checks a key.",
            "Answers to single events: "
            + "; ".join(
                f"{name} p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms ({p99 / p50:.1f} x)"
                for name, p50, p99 in (
                    (label, percentile(sent, 50), percentile(sent, 99))
                    for label, sent in (("Reckoner", singles), ("ModelViewSet", plain))
                )
            )
            + ".",
        ],
    )


def percentile(sent: list[Sent], percent: float) -> float:
    together = Sent(latencies=[one for each in sent for one in each.latencies])
    return together.percentile(percent)


@contextmanager
def in_house_server() -> Iterator[int]:
    with connected_to("bench_base"):
        databases.drop("bench_in_house")
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE bench_in_house")
        module = "tests.benchmarks.in_house.settings"
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--run-syncdb", "-v0"],
            cwd=ROOT,
            env=environment("bench_in_house") | {"DJANGO_SETTINGS_MODULE": module, "PYTHONPATH": str(ROOT)},
            check=True,
        )
        with connected_to("bench_in_house", migrate=False), connection.cursor() as cursor:
            cursor.execute("INSERT INTO in_house_meter (code) VALUES ('llm_tokens')")
            cursor.execute(
                "INSERT INTO in_house_customer (code) SELECT 'customer-' || n FROM generate_series(1, %s) n",
                [CUSTOMERS],
            )
            cursor.execute(
                "INSERT INTO in_house_usageevent (key, meter_id, customer_id, value, occurred_at, received_at,"
                " dimensions) SELECT gen_random_uuid()::text, 1, n %% %s + 1, 1, now(), now(), '{}'"
                " FROM generate_series(1, %s) n",
                [CUSTOMERS, SMALL.events],
            )
        with serving(
            "bench_in_house", application="tests.benchmarks.in_house.wsgi", settings_module=module
        ) as port:
            yield port
        databases.drop("bench_in_house")


@pytest.mark.parametrize(
    ("few", "many", "keys"),
    [
        pytest.param(SMALL, WIDE, "random", id="random"),
        pytest.param(SMALL_ORDERED, MONTH, "time-ordered", id="ordered"),
    ],
)
def test_many_stored_events(database: None, few: Dataset, many: Dataset, keys: str) -> None:
    with ExitStack() as stack:
        small = stack.enter_context(scratch(few))
        places = {"few": (small, CUSTOMERS), "many": (f"bench_{many.name}", many.customers)}
        ways: dict[str, Callable[[], Sent]] = {}
        before = {}
        for place, (name, customers) in places.items():
            stack.enter_context(dataset(many) if place == "many" else connected_to(name, migrate=False))
            if place == "many":
                remove_live_events()  # of a run that failed
            before[place] = stored()
            port, key = stack.enter_context(serving(name)), new_key()
            ways[place] = sender_of(port, key, customers, ordered=few.ordered)
        found = in_turns(ways)
        after = stored()
        sent = remove_live_events()
        assert after == before["many"] + sent
        assert sent == sum(each.events for each in found["many"]) * (ROUNDS + 1) // ROUNDS
    write_section(
        f"Ingestion into many events, {keys} keys",
        command=COMMAND,
        columns=["stored before", "events a second (median)", "ratio (median of rounds)"],
        rows=[
            [f"{few.events:,}", f"{rate(found['few']):,.0f}", "1"],
            [
                f"{many.events:,}",
                f"{rate(found['many']):,.0f}",
                ratio_by_round(found["many"], found["few"]),
            ],
        ],
        notes=["HTTP, batches of 1,000, 4 connections."],
    )


def sender_of(port: int, key: str, customers: int, *, ordered: bool) -> Callable[[], Sent]:
    return lambda: send(
        jobs(port, key, events=100_000, batch=1000, connections=4, customers=customers, ordered=ordered)
    )


def remove_live_events() -> int:
    """Leave the month as it was: batches can only be deleted with their triggers off. Give how many events went."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL reckoner.prune = 'on'")
        cursor.execute("DELETE FROM metering_event WHERE source = 'api' AND received_at > '2026-11-15'")
        deleted = cursor.rowcount
        cursor.execute("ALTER TABLE metering_eventbatch DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM metering_eventbatch WHERE source = 'api'")
        cursor.execute("ALTER TABLE metering_eventbatch ENABLE TRIGGER USER")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM metering_event, metering_eventbatch")
    return deleted
