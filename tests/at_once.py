"""Running functions at the same time, each in a thread with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.db import connection, connections

from billing.errors import BillingError
from metering.errors import MeteringError

T = TypeVar("T")
SECONDS = 120  # more than any of it takes: who is not done by then hangs


class Running(threading.Thread):
    """A function at work in a thread. `result()` waits for it and gives what it returned, or raises what it raised."""

    def __init__(self, work: Callable[..., Any], *arguments: Any) -> None:
        super().__init__()
        self.work = partial(work, *arguments)
        self.returned: Any = None
        self.raised: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.returned = self.work()
        except BaseException as problem:
            self.raised = problem
        finally:
            connections.close_all()

    def result(self) -> Any:
        self.join(timeout=SECONDS)
        if self.is_alive():
            raise TimeoutError(f"{self.work} is not done after {SECONDS} seconds.")
        if self.raised is not None:
            raise self.raised
        return self.returned


def at_once(*tasks: Callable[[], T]) -> list[T]:
    """Run functions in threads that begin together; give what each returned, in order. Raise the first error of any."""
    together = threading.Barrier(len(tasks))

    def one(task: Callable[[], T]) -> T:
        together.wait(timeout=SECONDS)
        return task()

    running = [Running(one, task) for task in tasks]
    for each in running:
        each.join(timeout=SECONDS)
    return [each.result() for each in running]


def wait_until_it_waits(thread: threading.Thread) -> None:
    """Wait until a thread is over or waits for a lock of ours."""
    waiting = 0
    while thread.is_alive() and not waiting:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            waiting = cursor.fetchone()[0]


def told_at_once(*tasks: Callable[[], object]) -> list[str]:
    """Run functions as `at_once` does; give what became of each, sorted: "done", or the code of its refusal."""

    def one(task: Callable[[], object]) -> str:
        try:
            task()
        except (BillingError, MeteringError) as refused:
            return refused.code
        return "done"

    return sorted(at_once(*(partial(one, task) for task in tasks)))
