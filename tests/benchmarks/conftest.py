"""The months of events, made once and kept. What a benchmark commits stays there, so it cleans up after itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.benchmarks import databases
from tests.benchmarks.dataset import MONTH, WIDE


@pytest.fixture(scope="session")
def database(django_db_blocker: Any) -> Iterator[None]:
    """The real connection, which every benchmark shares."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def month(database: None) -> Iterator[None]:
    """Ten million events of a thousand customers, with keys in the order of time."""
    with databases.dataset(MONTH):
        yield


@pytest.fixture
def wide(database: None) -> Iterator[None]:
    """Ten million events of ten thousand customers, with random keys."""
    with databases.dataset(WIDE):
        yield
