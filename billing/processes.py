"""Sharing work between processes of their own, each with its own connection to the same database.

Where this process has no other thread, the others are forked from it and have nothing to load; else they are started
anew. Such a one reads this module before Django is set up in it, so nothing here imports a model until it is called.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cached_property
from importlib import import_module
from multiprocessing.context import BaseContext
from typing import Any

import django
from django.apps import apps
from django.db import connection, connections

NAMES = ("NAME", "USER", "PASSWORD", "HOST", "PORT")


def map_in_processes(
    function: Callable[[Any], Any], items: Iterator[Any], *, processes: int
) -> Iterator[Any]:
    """Give the results of a function of a module in the order of the items; few items are on their way at once."""
    with _pool(_context(), processes=processes) as pool:
        waiting: list[Future[Any]] = []
        for item in items:
            waiting.append(pool.submit(_call, function.__module__, function.__name__, item))
            if len(waiting) >= 2 * processes:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def share_with_processes(
    function: Callable[[Any], Any], items: Sequence[Any], *, processes: int
) -> Iterator[tuple[int, Any]]:
    """Give the results of a function of a module as they come, each after the place of its item.

    This process is one of those that work, and begins at once. Each takes the next item that nobody has taken, so all
    end at about the same time.
    """
    context = _context()
    share = _Share(items, context.Value("q", 0))
    pool = _pool(context, processes=processes - 1, share=share)
    try:
        # As many calls as there are items: those that find none left do nothing.
        waiting = [pool.submit(_call_next, function.__module__, function.__name__) for _ in items]
        while (place := share.take()) is not None:
            yield place, function(items[place])
            for future in [each for each in waiting if each.done()]:
                waiting.remove(future)
                if (found := future.result()) is not None:
                    yield found
        for future in waiting:
            if (found := future.result()) is not None:
                yield found
    finally:
        share.stop()
        pool.shutdown(cancel_futures=True)


class _Share:
    """Items, and how many of them are taken: by whichever process, in order.

    The items are packed until one is asked for: a process that starts anew gets them before Django is set up in it, and
    they may be of modules that need it.
    """

    def __init__(self, items: Sequence[Any], taken: Any) -> None:
        self._packed = pickle.dumps(list(items))
        self._count = len(items)
        self._taken = taken

    @cached_property
    def items(self) -> list[Any]:
        return list(pickle.loads(self._packed))  # noqa: S301 - packed by the process that started this one

    def take(self) -> int | None:
        """Give the place of the next item to this process alone; None when none is left."""
        with self._taken.get_lock():
            place = int(self._taken.value)
            if place >= self._count:
                return None
            self._taken.value = place + 1
        return place

    def stop(self) -> None:
        with self._taken.get_lock():
            self._taken.value = self._count


_share: _Share | None = None
# The connections of the process that this one was forked from: kept, because closing them would end its sessions.
_inherited: list[Any] = []


def _context() -> BaseContext:
    alone = threading.active_count() == 1 and hasattr(os, "fork")
    return multiprocessing.get_context("fork" if alone else "spawn")


def _pool(context: BaseContext, *, processes: int, share: _Share | None = None) -> ProcessPoolExecutor:
    settings = {name: connection.settings_dict[name] for name in NAMES}
    return ProcessPoolExecutor(
        max_workers=processes, mp_context=context, initializer=_start, initargs=(settings, share)
    )


def _start(settings: dict[str, Any], share: _Share | None) -> None:
    """Set up a process of its own, on the same database as the one that started it, and ending with that one."""
    global _share  # noqa: PLW0603 - what the process is there for
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if apps.ready:
        for inherited in connections.all(initialized_only=True):
            _inherited.append(inherited)
            del connections[inherited.alias]
    else:
        django.setup()
    connections.databases["default"].update(settings)
    _share = share


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


def _call_next(module: str, name: str) -> tuple[int, Any] | None:
    assert _share is not None  # given when the process started
    place = _share.take()
    return None if place is None else (place, _call(module, name, _share.items[place]))
