"""The benchmarks' own databases on the embedded server: they stay between runs while the migrations stay the same.

DATA_DIR=.data-bench python -m tests.benchmarks    makes all of them beforehand
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import ProgrammingError, connection
from psycopg import sql

from customers.api.authentication import remembered_keys
from metering import catalog
from tests.benchmarks.dataset import Dataset, make_dataset

DROP_TRIES = 60
ROOT = Path(__file__).parents[2]
HOME = connection.settings_dict["NAME"]


@contextmanager
def connected_to(name: str, *, migrate: bool = True) -> Iterator[None]:
    """Let Django's connection be one to another database of the server, with `migrate` made where it is missing."""
    usual = connection.settings_dict["NAME"]
    if migrate:
        _ensure(name)
    _switch(name)
    try:
        if migrate:
            call_command("migrate", verbosity=0)
            _record(name)
        yield
    finally:
        _switch(usual)


@contextmanager
def dataset(wanted: Dataset) -> Iterator[None]:
    """Let the connection be one to a month of events, as autovacuum leaves it."""
    with connected_to(f"bench_{wanted.name}"):
        if make_dataset(wanted):
            with connection.cursor() as cursor:
                cursor.execute("VACUUM (ANALYZE)")
        yield


def drop(name: str) -> None:
    """Drop a database; a vacuum at work in it cannot be ended by its owner and is waited for."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    for _ in range(DROP_TRIES):
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        except ProgrammingError:
            time.sleep(1)
        else:
            return
    raise AssertionError(f"{name} could not be dropped.")


def _ensure(name: str) -> None:
    """Make the database unless it is there; make it again when a migration that made it has changed."""
    _switch(HOME)
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        exists = cursor.fetchone() is not None
    if exists and not _is_current(name):
        drop(name)
        exists = False
    if not exists:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _switch(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
    catalog.forget()
    remembered_keys.forget()


def _migrations() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(ROOT.glob("*/migrations/0*.py"))
    }


def _path(name: str) -> Path:
    return Path(settings.DATA_DIR) / f"{name}-migrations.json"


def _is_current(name: str) -> bool:
    """Say whether the migrations that made a database are unchanged. New ones are applied to it."""
    path = _path(name)
    return path.exists() and json.loads(path.read_text()).items() <= _migrations().items()


def _record(name: str) -> None:
    _path(name).write_text(json.dumps(_migrations()))
