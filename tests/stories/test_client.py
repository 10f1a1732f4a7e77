"""The client of docs/client.py and the server it talks to are killed again and again: nothing is lost or doubled."""

from __future__ import annotations

import ast
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.config.test_embedded import Client as Database
from tests.config.test_embedded import wait_until_stopped
from tests.stories.http import Client
from tests.stories.processes import ROOT
from tests.stories.test_killed_ingestion import Installation, set_up

SEED = 20261126
ROUNDS = 4
INTEGRATION = """
import itertools, sys
sys.path.insert(0, "docs")
from client import Client

url, key, outbox, run, first, last = sys.argv[1:]
client = Client(url, key, outbox=outbox, batch=7)
for n in itertools.count():
    client.send_waiting()
    order = int(first) + n
    if order > int(last):
        break
    for each in range(5):
        key = client.add(meter="minutes", customer="acme", value="1", occurred_at="2026-10-03T10:00:00Z")
        print("added", key, flush=True)
    body = {"customer": "acme", "kind": "prepaid", "name": f"Order {order}", "amount": "1.00"}
    client.write("POST", "credit-grants/", body, name=f"order-{order}")
    print("granted", order, flush=True)
"""


class Integration:
    """A process that adds events and grants credits for orders, one after the other, until it is killed."""

    def __init__(self, url: str, key: str, outbox: Path) -> None:
        self.arguments = [url, key, str(outbox)]
        self.added: set[str] = set()
        self.order = 0  # the last one that is known to be granted
        self.kills = 0

    def run(self, *, lines: int | None = None, last: int = 10**9) -> Iterator[int]:
        """Run until so many lines were said, then kill it; without a number, until it has done the last order."""
        process = subprocess.Popen(
            [sys.executable, "-c", INTEGRATION, *self.arguments, "x", str(self.order + 1), str(last)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for said, line in enumerate(process.stdout, start=1):
            what, value = line.split()
            if what == "added":
                self.added.add(value)
            else:
                self.order = int(value)
            yield said
            if said == lines:
                process.send_signal(signal.SIGKILL)
                self.kills += 1
                lines = None  # what it said before it died is read to the end
        process.wait()


@dataclass(slots=True)
class Installed:
    """An installation that was empty, its database from the side, and a client with a key for everything."""

    folder: Path
    installation: Installation
    database: Database
    api: Client


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    # Not below pytest's folder, which another run of root closes for the account that runs PostgreSQL.
    with tempfile.TemporaryDirectory(prefix="reckoner-client-") as made:
        installation = Installation(Path(made) / "data")
        database = Database(installation.data_dir, env=installation.environment)
        try:
            yield Installed(Path(made), installation, database, set_up(installation))
        finally:
            if installation.web is not None and installation.web.poll() is None:
                installation.kill_web()
            database.kill()
            wait_until_stopped(installation.data_dir)


EVENT = b'{"key": "lie", "meter": "minutes", "customer": "acme", "occurred_at": "2026-10-03T10:00:00Z", "value": "1"}'
SIZE = str(len(EVENT)).encode()


@pytest.mark.parametrize(
    ("headers", "body", "statuses"),
    [
        ([b"Content-Length: 9999"], EVENT, {b"400"}),  # says more than comes
        ([b"Content-Length: 20"], EVENT, {b"400"}),  # says less: half an event, and the rest is no request
        ([b"Content-Length: -1"], EVENT, {b"400"}),
        ([b"Content-Length: 1e3"], EVENT, {b"400"}),
        ([b"Content-Length: " + SIZE, b"Content-Length: 20"], EVENT, {b"400"}),
        ([b"Content-Length: 99999999999"], EVENT, {b"400", b"413"}),
        ([b"Transfer-Encoding: chunked"], b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT), {b"400"}),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 20"], EVENT, {b"400"}),
        ([], EVENT, {b"400"}),  # no length at all is no body
        ([b"Content-Length: " + SIZE, b"Content-Type : text/csv"], EVENT, {b"400"}),
    ],
)
def test_a_body_of_another_length_than_it_says_is_no_failure_and_stores_nothing(
    installed: Installed, headers: list[bytes], body: bytes, statuses: set[bytes]
) -> None:
    with socket.create_connection(("127.0.0.1", installed.installation.port), timeout=30) as connection:
        head = [
            b"POST /api/v1/events/ HTTP/1.1",
            b"Host: 127.0.0.1",
            b"Connection: close",
            b"Authorization: Bearer " + installed.api.key.encode(),
            b"Content-Type: application/json",
            *headers,
        ]
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer[9:12] in statuses, answer[:300]
    assert installed.database.sql("SELECT count(*) FROM metering_event") == "[(0,)]"


def test_what_was_added_is_stored_once_and_each_order_granted_once_whatever_is_killed(
    installed: Installed,
) -> None:
    installation, database, api = installed.installation, installed.database, installed.api
    outbox = installed.folder / "outbox.sqlite3"
    chance = random.Random(SEED)
    blows = [installation.kill_web, installation.kill_workers, installation.kill_postgres]
    integration = Integration(api.base_url, api.key, outbox)
    for number in range(ROUNDS):
        struck = chance.randrange(1, 12)
        for said in integration.run(lines=struck + chance.randrange(1, 12)):
            if said == struck:
                threading.Event().wait(chance.random() / 50)  # the moment: not just after an answer
                blow = blows[number % len(blows)]
                blow()
                if blow == installation.kill_web:
                    installation.start_web()
    for _ in integration.run(last=integration.order + 2):
        pass  # now undisturbed: what waits is sent
    assert integration.kills == ROUNDS

    rows = database.sql("SELECT count(*), count(DISTINCT key), string_agg(key, ' ') FROM metering_event")
    [(count, distinct, keys)] = ast.literal_eval(rows)
    assert count == distinct
    # Killed between keeping an event and saying so, it was added all the same.
    assert integration.added <= set(keys.split())
    assert count <= len(integration.added) + ROUNDS
    with sqlite3.connect(outbox) as kept:
        assert kept.execute("SELECT count(*) FROM waiting").fetchone() == (0,)
        assert kept.execute("SELECT count(*) FROM refused").fetchone() == (0,)
    granted = database.sql("SELECT count(*), count(DISTINCT name), sum(amount)::int FROM billing_creditgrant")
    assert granted == f"[({integration.order}, {integration.order}, {integration.order})]"
