"""The one writer of docs/benchmarks.md: each benchmark replaces its own section and leaves the others alone.

    write_section("Daily series", command="make bench", columns=["what", "median"], rows=[["raw", "12 ms"]])

Figures of different machines cannot be compared; ratios of one run can. So each section says where and how it ran.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from django.db import connection

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`; every section says when, where and by which command it was measured. Seconds depend on the
machine, so look at the ratios: both sides of a ratio come from the same run. Client, application and PostgreSQL share
the machine, with fsync on. Nothing here is asserted in the tests.
"""
SECTION = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)


def write_section(
    title: str,
    *,
    command: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str] = (),
) -> None:
    """Write one section, in place of the one with the same title; print it too. Sections stand in order of title."""
    table = [_row(columns), _row(["---"] * len(columns)), *(_row(row) for row in rows)]
    where = f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}. Command: `{command}`."
    body = "\n".join([where, "", *table, *([""] if notes else []), *(f"- {note}" for note in notes)])
    sections = _sections() | {title: body}
    text = HEAD + "".join(f"\n## {name}\n\n{sections[name]}\n" for name in sorted(sections))
    PAGE.write_text(text, encoding="utf-8")
    print(f"\n## {title}\n\n{body}\n")


def seconds(work: Any, *, times: int = 5, warm: bool = True) -> float:
    """Give the median of several runs, after one that is not counted."""
    if warm:
        work()
    taken = []
    for _ in range(times):
        started = perf_counter()
        work()
        taken.append(perf_counter() - started)
    return median(taken)


def milliseconds(taken: float) -> str:
    return f"{taken * 1000:,.1f} ms" if taken < 1 else f"{taken:,.2f} s"


def ratio(one: float, other: float) -> str:
    return f"{one / other:.2f} x"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _sections() -> dict[str, str]:
    if not PAGE.exists():
        return {}
    text = PAGE.read_text(encoding="utf-8")
    found = list(SECTION.finditer(text))
    ends = [each.start() for each in found[1:]] + [len(text)]
    return {each["title"]: text[each.end() : end].strip("\n") for each, end in zip(found, ends, strict=True)}


def _machine() -> str:
    """Name processor, memory and versions, from the machine itself."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        server = cursor.fetchone()[0].split()[0]
    return (
        f"{os.cpu_count()} cores ({model[1].strip() if model else platform.machine()}), {memory:.0f} GiB, "
        f"PostgreSQL {server}, Python {platform.python_version()}"
    )
