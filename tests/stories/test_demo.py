"""`make demo` as a newcomer meets it: everything up, data there, logins printed, Ctrl-C stops all of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db.migrations.exceptions import InconsistentMigrationHistory

from billing.management.commands import demo as command
from tests.stories.processes import ROOT


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def start_demo(data_dir: Path, port: int) -> subprocess.Popen[str]:
    left_out = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "ALLOWED_HOSTS", "SECRET_KEY")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.Popen(
        [sys.executable, "manage.py", "demo"],
        cwd=ROOT,
        env=environment | {"DATA_DIR": str(data_dir), "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_ignore_interrupts,  # noqa: PLW1509  as a shell does for what it starts in the background
    )


def welcome(demo: subprocess.Popen[str]) -> str:
    """Read what the demonstration prints until it says how to stop it."""
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if "Ctrl-C stops" in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def get(url: str, key: str) -> Any:
    asked = urllib.request.Request(url, headers={"X-API-KEY": key})  # noqa: S310 - our own server
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def stop(demo: subprocess.Popen[str]) -> str:
    os.kill(demo.pid, signal.SIGINT)
    out, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0
    return out


@pytest.mark.skipif(bool(os.environ.get("DATABASE_URL")), reason="the demonstration brings its own database")
def test_the_demonstration_shows_120_tickets_for_240_dollars_and_what_they_cost_and_keeps_its_data(
    tmp_path: Path,
) -> None:
    port = free_port()
    demo = start_demo(tmp_path / "data", port)
    try:
        text = welcome(demo)
        key = re.search(r"Bearer (\S+)'", text)
        assert key is not None
        assert f"http://127.0.0.1:{port}/admin/" in text
        api = f"http://127.0.0.1:{port}/api/v1/"
        invoices = get(f"{api}invoices/?customer=acme", key[1])["results"]
        last = max(invoices, key=lambda row: row["period_start"])
        assert last["total"] == "240.00"
        earlier = [row for row in invoices if row != last]
        assert ([row["status"] for row in earlier], last["status"]) == (["paid", "paid"], "issued")
        late = get(f"{api}invoices/?customer=initech&status=issued", key[1])["results"]
        assert [row["period_start"] < last["period_start"] for row in late] == [False, True]
        # 4,800 calls 9.60, 9.6 and 1.2 million tokens 4.80 and 3.00, the index 30.00
        span = f"from={last['period_start']}&to={last['period_end']}"
        margins = get(f"{api}margins/?{span}&group_by=customer", key[1])["groups"]
        (acme,) = (row for row in margins if row["group"] == {"customer": "acme"})
        assert acme == {
            "group": {"customer": "acme"},
            "revenue": "240.00", "cost": "47.40", "margin": "192.60", "margin_percent": "80.25",
        }  # fmt: skip
        states = {
            row["state"] for row in get(f"{api}outcomes/?customer=acme&page_size=200", key[1])["results"]
        }
        assert {"settled", "reversed", "repeated"} <= states
        # The printed line works as it stands, pasted into a shell.
        curl = text[text.index("  curl") : text.index("Ctrl-C")]
        if shutil.which("curl"):
            sent = subprocess.run(shlex.split(curl.replace("\\\n", " ")), capture_output=True, text=True)
            assert json.loads(sent.stdout)["accepted"] == 1
        stop(demo)
        again = start_demo(tmp_path / "data", port)
        assert "Using the data that is there" in welcome(again)
        stop(again)
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)


def test_a_taken_port_is_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = start_demo(tmp_path / "data", port)
        out, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert f"Port {port} is taken" in out


def test_data_of_a_version_before_the_first_release_are_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def migrate(*arguments: object, **options: object) -> None:
        raise InconsistentMigrationHistory("Migration config.0001 is applied before its dependency.")

    monkeypatch.setattr(command, "call_command", migrate)
    with pytest.raises(CommandError, match="older version, before the first release"):
        command.Command()._make_tables()
