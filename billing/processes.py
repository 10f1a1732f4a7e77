"""Sharing work between processes of their own, each with its own connection to the same database.

A new process reads this module before Django is set up in it, so nothing here imports a model until it is called.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from importlib import import_module
from threading import Thread
from typing import Any

import django
from django.db import connection, connections

NAMES = ("NAME", "USER", "PASSWORD", "HOST", "PORT")


def map_in_processes(
    function: Callable[[Any], Any], items: Iterator[Any], *, processes: int
) -> Iterator[Any]:
    """Give the results of a function of a module in the order of the items; few items are on their way at once."""
    settings = {name: connection.settings_dict[name] for name in NAMES}
    with ProcessPoolExecutor(
        max_workers=processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(settings,),
    ) as pool:
        waiting: list[Future[Any]] = []
        for item in items:
            waiting.append(pool.submit(_call, function.__module__, function.__name__, item))
            if len(waiting) >= 2 * processes:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _start(settings: dict[str, Any]) -> None:
    """Set up a process of its own, on the same database as the one that started it, and ending with that one."""
    Thread(target=_end_with_parent, daemon=True).start()
    django.setup()
    connections.databases["default"].update(settings)


def _end_with_parent() -> None:
    """End at once when the process that started this one is gone: nobody would ever give it work again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def default_processes() -> int:
    """Give one process for each processor this one may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _call(module: str, name: str, item: Any) -> Any:
    return getattr(import_module(module), name)(item)
