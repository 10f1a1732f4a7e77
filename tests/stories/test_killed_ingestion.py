"""PostgreSQL and the web server killed again and again under load: what was acknowledged is there, once."""

from __future__ import annotations

import http.client
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.config.test_embedded import Client as Database
from tests.config.test_embedded import keeper_of, server_pid, wait_until_stopped
from tests.stories.http import Client
from tests.stories.processes import ROOT
from tests.stories.test_demo import free_port

SEED = 20261003
SENDERS = 4
ROUNDS = 6
BATCH = 40
NOT_OURS = ("ALLOWED_HOSTS", "DATABASE_POOL", "DATABASE_URL", "DJANGO_SETTINGS_MODULE", "SECRET_KEY")


class Installation:
    """A web server on an embedded PostgreSQL of its own, as a shell would start it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        self.environment = kept | {"DATA_DIR": str(data_dir), "PORT": str(self.port), "WEB_THREADS": "4"}
        self.web: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start_web(self) -> None:
        self.web = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi"],
            cwd=ROOT,
            env=self.environment,
            start_new_session=True,  # what it says is shown when the test fails
        )

    def kill_web(self) -> None:
        assert self.web is not None
        os.killpg(self.web.pid, signal.SIGKILL)
        self.web.wait()

    def kill_workers(self) -> None:
        assert self.web is not None
        kill(psutil.Process(self.web.pid).children())

    def kill_postgres(self) -> None:
        server = psutil.Process(server_pid(self.data_dir))
        kill([server, *server.children(recursive=True)])

    def kill_postgres_and_keeper(self) -> None:
        keeper = keeper_of(self.data_dir)
        kill([keeper, *keeper.children(recursive=True)])


def kill(processes: list[psutil.Process]) -> None:
    for each in processes:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue


class Progress:
    """What was acknowledged so far, and a way to wait for more of it."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, Decimal] = {}
        self.retries = 0
        self.problems: list[str] = []
        self.finished = False
        self._changed = threading.Condition()

    def add(self, events: list[dict[str, Any]], *, retries: int) -> None:
        with self._changed:
            self.acknowledged |= {each["key"]: Decimal(each["value"]) for each in events}
            self.retries += retries
            self._changed.notify_all()

    def fail(self, problem: str) -> None:
        with self._changed:
            self.problems.append(problem)
            self._changed.notify_all()

    def wait_for(self, more: int) -> None:
        with self._changed:
            wanted = len(self.acknowledged) + more
            came = self._changed.wait_for(
                lambda: self.problems or len(self.acknowledged) >= wanted, timeout=60
            )
            assert came, f"nothing was acknowledged any more after {len(self.acknowledged)} events"
        assert not self.problems


def send_until_acknowledged(client: Client, events: list[dict[str, Any]]) -> tuple[int, Any]:
    """Send the same events with the same keys until they are answered; give the retries and the answer."""
    pause = threading.Event()
    retries = 0
    while True:
        try:
            answer = client.post("events/", events)
        except (OSError, http.client.HTTPException):
            answer = None
        if answer is not None and answer.status < 500:
            assert answer.status == 200, answer.content
            return retries, answer.json
        retries += 1
        pause.wait(0.05)  # as a client that is kind to a server in trouble


def keep_sending(client: Client, number: int, progress: Progress) -> None:
    """Send batch after batch; each also repeats a key of the neighbour, which both send with the same content."""
    chance = random.Random(SEED + number)
    place = 0
    while not progress.finished:
        events = [
            {
                "key": f"sender-{number}-{place + n}" if n else f"shared-{place}",
                "meter": "minutes",
                "customer": "acme",
                "occurred_at": "2026-10-03T10:00:00Z",
                "value": f"{chance.randrange(1, 1000)}.25" if n else "7",
            }
            for n in range(BATCH)
        ]
        place += BATCH
        try:
            retries, answer = send_until_acknowledged(client, events)
            taken = answer["accepted"] + answer["duplicates"]
            assert taken == BATCH, answer
        except Exception as problem:
            progress.fail(repr(problem))
            return
        progress.add(events, retries=retries)


@contextmanager
def senders(client: Client, progress: Progress) -> Iterator[None]:
    threads = [
        threading.Thread(target=keep_sending, args=(client, number, progress), daemon=True)
        for number in range(SENDERS)
    ]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        progress.finished = True
        for each in threads:
            each.join(timeout=60)
    assert not any(each.is_alive() for each in threads)


def set_up(installation: Installation) -> Client:
    installation.command("migrate", "--verbosity", "0")
    scopes = ("--scope", "ingest", "--scope", "read", "--scope", "manage")
    key = installation.command("create_api_key", "--name", "story", *scopes)
    installation.start_web()
    client = Client(f"http://127.0.0.1:{installation.port}", key)
    send_until_acknowledged(client, [])
    assert client.post("meters/", {"label": "Minutes", "code": "minutes", "type": "sum"}).status == 201
    assert client.post("customers/", {"code": "acme", "name": "Acme"}).status == 201
    return client


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's folder, which another run of root closes for the account that runs PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="reckoner-killed-") as made:
        yield Path(made)


def test_every_acknowledged_key_is_stored_once_whatever_is_killed(folder: Path) -> None:
    installation = Installation(folder / "data")
    database = Database(installation.data_dir, env=installation.environment)
    chance = random.Random(SEED)
    progress = Progress()
    try:
        client = set_up(installation)
        with senders(client, progress):
            blows = [
                installation.kill_postgres,
                installation.kill_workers,
                installation.kill_web,
                installation.kill_postgres_and_keeper,
            ]
            for number in range(ROUNDS):
                progress.wait_for(chance.randrange(1, 6) * BATCH)
                threading.Event().wait(chance.random() / 20)  # the moment: not just after an answer
                for blow in dict.fromkeys((blows[number % len(blows)], chance.choice(blows))):
                    blow()
                    if blow == installation.kill_web:
                        installation.start_web()
            progress.wait_for(SENDERS * BATCH)
        assert not progress.problems
        assert progress.retries > 0

        stored = database.sql(
            "SELECT count(*), count(DISTINCT (source, key)), trim_scale(sum(value))::text FROM metering_event"
        )
        count, total = len(progress.acknowledged), sum(progress.acknowledged.values())
        assert stored == f"[({count}, {count}, '{total.normalize():f}')]"
        usage = client.get("usage/?meter=minutes&customer=acme&from=2026-10-01&to=2026-11-01").json
        assert Decimal(usage["groups"][0]["total"]) == total
        assert (
            database.sql(
                "SELECT count(*) FROM metering_eventbatch b WHERE stored <> "
                "(SELECT count(*) FROM metering_event e WHERE e.batch_id = b.id)"
            )
            == "[(0,)]"
        )
        assert database.sql("SELECT sum(stored) FROM metering_eventbatch") == f"[({count},)]"
    finally:
        progress.finished = True
        if installation.web is not None and installation.web.poll() is None:
            installation.kill_web()
        database.kill()
        wait_until_stopped(installation.data_dir)
