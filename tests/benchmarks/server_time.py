"""Where the processor time of PostgreSQL goes while something runs on this process's connection. Linux only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from billing import storing


@contextmanager
def server_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """Give seconds by what they were spent on, filled as statements run; `all` holds the whole at the end."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = Path(f"/proc/{cursor.fetchone()[0]}/schedstat")
    parts: dict[str, float] = {}

    def now() -> float:
        return int(backend.read_text().split()[0]) / 1e9

    def timed(what: str, run: Callable[..., Any], *arguments: Any) -> Any:
        before = now()
        try:
            return run(*arguments)
        finally:
            parts[what] = parts.get(what, 0) + now() - before

    def watch(execute: Any, sql: str, *arguments: Any) -> Any:
        what = "measuring" if "metering_event e " in sql else "other statements"
        return timed(what, execute, sql, *arguments)

    copy_rows, commit = storing.copy_rows, DatabaseWrapper._commit
    with monkeypatch.context() as patched, connection.execute_wrapper(watch):
        patched.setattr(
            storing,
            "copy_rows",
            lambda model, *rest: timed(f"COPY of {model._meta.verbose_name_plural}", copy_rows, model, *rest),
        )
        patched.setattr(DatabaseWrapper, "_commit", lambda wrapper: timed("commit", commit, wrapper))
        before = now()
        yield parts
        parts["all"] = now() - before
