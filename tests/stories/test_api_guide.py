"""Every example of docs/api.md, pasted into a shell in its order against an empty installation, works."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine

from billing.closing import close_period
from billing.months import Month
from customers.keys import create_api_key
from metering.models import Workload
from tests.factories import NOW, make_customer, make_meter
from tests.stories.processes import ROOT

pytestmark = pytest.mark.django_db(transaction=True, reset_sequences=True)

CLOSE = "manage.py close_invoices --month 2026-10"
END = "-- the end of an example --"


@pytest.fixture
def shell(live_server: Any, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Where the examples run: an environment with an address and a key, and a folder of their own."""
    _, key = create_api_key("integration", scopes=["ingest", "manage"])
    known = {
        "KEY": key,
        "API": f"{live_server.url}/api/v1",
        "PATH": os.environ["PATH"],
        "BASE": live_server.url,
    }
    with time_machine.travel(NOW, tick=True):
        yield {"env": known, "cwd": tmp_path}


def parts_of(page: str, *, until: str | None = None) -> list[list[str]]:
    """The commands of a page, those before the words `until` and those after; a line that goes on is one with it."""
    text = (ROOT / page).read_text()
    return [commands(part) for part in (text.split(until) if until else [text])]


def commands(text: str) -> list[str]:
    found: list[str] = []
    for line in text.splitlines():
        told = line.strip()
        if line.startswith("    ") and re.match(r"(post|curl) ", told):
            found.append(told)
        elif found and line.startswith("     ") and is_open(found[-1]):
            found[-1] += f"\n{told}"
    return found


def is_open(command: str) -> bool:
    return command.endswith("\\") or command.count("'") % 2 == 1


def paste(shell: dict[str, Any], examples: list[str]) -> list[Any]:
    """Run examples in one shell; give what each answered."""
    post = next(
        line.strip() for line in (ROOT / "docs/api.md").read_text().splitlines() if "post() {" in line
    )
    script = [post, *(f"{each}\necho; echo '{END}'" for each in examples)]
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(script)], capture_output=True, text=True, timeout=120, **shell
    )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.split(END)[:-1]
    assert len(answers) == len(examples)
    found = []
    for example, answer in zip(examples, answers, strict=True):
        body = json.loads(answer) if answer.strip() else None
        assert body is None or "error" not in body, f"{example}\n{answer}"
        found.append(body)
    return found


def test_the_examples_of_the_guide_work_as_they_are_pasted(shell: dict[str, Any]) -> None:
    before, after = parts_of("docs/api.md", until=CLOSE)
    *_, usage, preview = paste(shell, before)
    assert usage["groups"][0]["total"] == "1"
    assert preview["total"] == "2.00"

    close_period(Month(2026, 10), now=NOW, grace_days=0)
    listed, _, events, *rest = paste(shell, after)
    assert [each["total"] for each in listed["results"]] == ["2.00"]
    assert (Path(shell["cwd"]) / "invoice.pdf").read_bytes().startswith(b"%PDF")
    assert [each["key"] for each in events["results"]] == ["evt-1"]
    assert len(rest) >= 9


def test_the_examples_of_cost_and_budgets_work_too(shell: dict[str, Any]) -> None:
    make_meter("llm_tokens", dimensions=["type"], type="sum")
    make_meter()
    make_customer()
    for code in ("support_bot", "index"):
        Workload.objects.create(code=code, name=code)
    [examples] = parts_of("docs/workloads.md")
    assert len(paste(shell, examples)) >= 6


def test_the_event_of_the_readme_is_accepted_and_the_second_time_a_duplicate(shell: dict[str, Any]) -> None:
    make_customer()
    make_meter()
    [examples] = parts_of("README.md")
    [event] = [each.replace("http://127.0.0.1:8000", "$BASE") for each in examples if "/events/" in each]
    event = event.replace('"$BASE', '"$BASE').replace(
        "curl $BASE/api/v1/events/", 'curl -sS "$BASE/api/v1/events/"'
    )
    first, again = paste(shell, [event, event])
    assert (first["accepted"], again["duplicates"]) == (1, 1)
