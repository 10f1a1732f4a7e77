"""Sharing work between processes: a claim is held by one at a time, and ends with its connection.

Claims save work that would be done twice. Nothing depends on them for its truth: constraints hold that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def claim(name: str, *, wait: bool) -> Iterator[bool]:
    """Claim a piece of work by its name; give False at once when somebody has it, unless told to wait for it."""
    take = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {take}(hashtextextended(%s, 0))", [name])
        row = cursor.fetchone()
    claimed = wait or bool(row and row[0])
    try:
        yield claimed
    finally:
        if claimed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])
