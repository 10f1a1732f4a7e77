"""Work shared between processes: each item once, by forked ones and by ones that start anew."""

from __future__ import annotations

import inspect
import math
import os
import threading
from collections.abc import Iterator

import pytest
from django.db import connection

from billing.close_reports import CloseTerms
from billing.processes import share_with_processes

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["forked", "started anew"])
def others(request: pytest.FixtureRequest) -> Iterator[str]:
    """A process with a second thread is not forked."""
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    if request.param == "started anew":
        other.start()
    yield request.param
    ended.set()
    if other.ident is not None:
        other.join()


def test_each_item_is_worked_on_once_whoever_takes_it(others: str) -> None:
    items = [n * n for n in range(50)]
    found = sorted(share_with_processes(math.isqrt, items, processes=3))
    assert found == [(n, n) for n in range(50)]


def test_items_of_modules_that_need_models_reach_a_process_that_starts_anew(others: str) -> None:
    found = sorted(share_with_processes(inspect.isclass, [CloseTerms] * 20, processes=2))
    assert found == [(n, True) for n in range(20)]


def test_an_error_of_one_item_stops_all_and_is_raised(others: str) -> None:
    with pytest.raises(ValueError, match="nonnegative"):
        list(share_with_processes(math.isqrt, [4, -4, 9], processes=2))


def process_and_session(_: int) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), pg_sleep(0.05)")
        return os.getpid(), cursor.fetchone()[0]


def test_a_forked_process_has_a_session_of_its_own_and_leaves_that_of_the_first_alone() -> None:
    mine = process_and_session(0)
    shared = {found for _, found in share_with_processes(process_and_session, range(20), processes=2)}
    assert mine in shared
    processes, sessions = zip(*shared, strict=True)
    assert len(set(processes)) == len(set(sessions)) == len(shared)
    assert process_and_session(0) == mine
