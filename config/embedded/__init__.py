"""The embedded PostgreSQL: a real server in DATA_DIR, shared by every process of one checkout.

`attach` is the whole interface. A process that attached holds a shared file lock until it ends, however it
ends; the keeper (`config.embedded.keeper`) owns the server and stops it when nobody holds that lock any more.
File locks are released by the kernel, so a killed process leaves nothing behind that could prevent the next
start.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from config.embedded.folder import DataFolder, EmbeddedPostgresError, FileLock

__all__ = ["EmbeddedPostgresError", "attach"]

POLL_SECONDS = 0.02
EXIT_WAIT_SECONDS = 30.0

_mutex = threading.Lock()
_held: dict[Path, FileLock] = {}
_keepers: list[subprocess.Popen[bytes]] = []


def attach(data_dir: Path) -> Path:
    """Makes sure the server of `data_dir` runs for as long as this process lives; returns its socket folder.

    Starts the server, initialises an empty folder, or joins the server another process started. Calling it
    again is cheap and brings back a server whose keeper was killed. Raises EmbeddedPostgresError.
    """
    folder = DataFolder(data_dir)
    with _mutex:
        if data_dir not in _held:
            folder.create()
            _held[data_dir] = folder.lock("clients", shared=True)
            atexit.register(_leave, data_dir, os.getpid())
        elif folder.is_kept() and (state := folder.read_state()).ready:
            return state.socket_dir
        with folder.lock("start"):
            return _wait_until_ready(folder)


def _wait_until_ready(folder: DataFolder) -> Path:
    """Needs the start lock, so only one process at a time decides that a keeper is missing."""
    keeper: subprocess.Popen[bytes] | None = None
    while True:
        if folder.is_kept():
            state = folder.read_state()
            if state.ready:
                return state.socket_dir
        elif keeper is None:
            folder.write_state("")
            keeper = _launch_keeper(folder)
        elif keeper.poll() is not None:
            reason = folder.read_state().error or f"its keeper ended with status {keeper.returncode}"
            raise EmbeddedPostgresError(f"The embedded PostgreSQL in {folder.path} did not start: {reason}")
        time.sleep(POLL_SECONDS)


def _launch_keeper(folder: DataFolder) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in the terminal reaches the web server but never the database.
    keeper = subprocess.Popen(
        [sys.executable, "-m", "config.embedded.keeper", str(folder.path)],
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=folder.open_log(),
        start_new_session=True,
    )
    _keepers.append(keeper)
    return keeper


def _leave(data_dir: Path, pid: int) -> None:
    """Lets go of the server and, when this was its last user, returns only after it has stopped."""
    if os.getpid() != pid:  # a forked child shares the lock of its parent
        return
    folder = DataFolder(data_dir)
    _held.pop(data_dir).release()
    give_up_at = time.monotonic() + EXIT_WAIT_SECONDS
    while folder.is_kept() and time.monotonic() < give_up_at:
        if folder.has_clients():
            return
        time.sleep(POLL_SECONDS)
