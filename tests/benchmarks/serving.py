"""The web server as `make demo` starts it, on a database of the benchmarks, and processes that write to it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection

from tests.benchmarks.databases import ROOT
from tests.stories.test_demo import free_port

START_SECONDS = 60
NOT_OURS = ("ALLOWED_HOSTS", "DATABASE_POOL", "DATABASE_KEEP_SECONDS", "DATABASE_URL", "SECRET_KEY")


@dataclass(slots=True)
class Sent:
    """What several senders did together: requests and events acknowledged, seconds, and seconds of each request."""

    events: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    def percentile(self, percent: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@contextmanager
def serving(
    database: str,
    *,
    application: str = "config.wsgi",
    settings_module: str = "tests.benchmarks.server_settings",
) -> Iterator[int]:
    """Start gunicorn with the configuration of the product; give its port."""
    port = free_port()
    web = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", application, "--log-level", "warning"],
        cwd=ROOT,
        env=environment(database)
        | {"PORT": str(port), "DJANGO_SETTINGS_MODULE": settings_module, "LOG_LEVEL": "WARNING"},
        start_new_session=True,
    )
    try:
        _wait_until_up(port, web)
        yield port
    finally:
        web.terminate()
        web.wait(timeout=60)


def environment(database: str) -> dict[str, str]:
    """Give the environment of a process on a database; what the caller's shell says of servers is left out."""
    connection.ensure_connection()
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    return kept | {
        "DATA_DIR": str(settings.DATA_DIR),
        "BENCH_DATABASE": database,
        "BENCH_DATABASE_HOST": str(connection.settings_dict["HOST"]),
        "BENCH_DATABASE_PORT": str(connection.settings_dict["PORT"]),
    }


def send(jobs: Sequence[dict[str, Any]]) -> Sent:
    """Let one process work on each job, all beginning together when everything to be sent is ready."""
    senders = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "tests/benchmarks/sender.py")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in jobs
    ]
    for sender, job in zip(senders, jobs, strict=True):
        _say(sender, json.dumps(job))
    for sender in senders:
        _hear(sender)
    for sender in senders:
        _say(sender, "go")
    found = [json.loads(_hear(sender)) for sender in senders]
    for sender in senders:
        sender.wait()
    sent = Sent(
        sum(each["events"] for each in found),
        max(each["ended"] for each in found) - min(each["began"] for each in found),
    )
    for each in found:
        sent.latencies += each["latencies"]
    return sent


def _say(sender: subprocess.Popen[str], text: str) -> None:
    assert sender.stdin is not None
    sender.stdin.write(text + "\n")
    sender.stdin.flush()


def _hear(sender: subprocess.Popen[str]) -> str:
    assert sender.stdout is not None
    line = sender.stdout.readline()
    assert line, "A sender ended with an error; it stands above."
    return line


def _wait_until_up(port: int, web: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert web.poll() is None, "The server did not start; its last lines above say why."
        try:
            probe = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            probe.request("GET", "/health/")
            probe.getresponse().read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("The server did not answer.")
