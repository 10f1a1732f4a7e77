"""The benchmarks' own database: it stays between runs while the migrations stay the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import setup_databases

from tests.benchmarks.dataset import make_dataset

ROOT = Path(__file__).parents[2]


def _migrations() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(ROOT.glob("*/migrations/0*.py"))
    }


def _was_made_by(record: Path) -> bool:
    """Say whether the database can stay: the migrations that made it are unchanged. New ones are applied to it."""
    if not record.exists():
        return False
    return json.loads(record.read_text()).items() <= _migrations().items()


@pytest.fixture(scope="session")
def database(django_db_blocker: Any) -> Iterator[None]:
    """A database of its own on the real connection, made again when a migration changed.

    What a benchmark commits stays there, so it cleans up after itself.
    """
    record = Path(settings.DATA_DIR) / "benchmark-migrations.json"
    with django_db_blocker.unblock():
        setup_databases(verbosity=0, interactive=False, keepdb=_was_made_by(record))
        record.write_text(json.dumps(_migrations()))
        yield
        connection.close()


@pytest.fixture(scope="session")
def month(database: None) -> None:
    """The month of events, as autovacuum leaves it."""
    make_dataset()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
