"""The keeper: one process per DATA_DIR that starts the server, revives it after a crash, stops it at the end.

Run as `python -m config.embedded.keeper DATA_DIR` by `attach`. It waits for the lock that every client
shares; getting it means that the last client has left or was killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from config.embedded.cluster import Cluster
from config.embedded.folder import DataFolder, EmbeddedPostgresError

READY_POLL_SECONDS = 0.02
REVIVE_PAUSE_SECONDS = 0.2
STOP_WAIT_SECONDS = 120.0


class _Terminated(BaseException):
    """The machine shuts down, an operator ends the keeper, or the server cannot be revived."""


class Keeper:
    def __init__(self, data_dir: Path) -> None:
        self.folder = DataFolder(data_dir)
        self.cluster = Cluster(self.folder)
        self.log = self.folder.open_log()
        self._mutex = threading.Lock()
        self._stopping = False

    def run(self) -> int:
        """Returns when nobody uses the server any more and it has stopped."""
        with self.folder.lock("keeper"):
            try:
                server = self._start()
            except EmbeddedPostgresError as error:
                self.folder.write_state(f"error:{error}")
                return 1
            self._server = server
            threading.Thread(target=self._revive, daemon=True).start()
            try:
                self.folder.lock("clients")
            except _Terminated:
                return 1
            finally:
                self._stop()
            return 0

    def _start(self) -> subprocess.Popen[bytes]:
        self.cluster.prepare()
        socket_dir = self.cluster.socket_dir()
        server = self.cluster.start(socket_dir, self.log)
        while not self.cluster.is_ready(server):
            if server.poll() is not None:
                raise EmbeddedPostgresError(
                    f"the server ended with status {server.returncode}; its reason stands in "
                    f"{self.folder.log}"
                )
            time.sleep(READY_POLL_SECONDS)
        self.folder.write_state(f"ready:{socket_dir}")
        return server

    def _revive(self) -> None:
        """Starts the server again whenever it ends although clients still use it."""
        while True:
            self._server.wait()
            with self._mutex:
                if self._stopping:
                    return
                self.folder.write_state("")
                try:
                    self._server = self._start()
                except EmbeddedPostgresError as error:
                    self.folder.write_state(f"error:{error}")
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
            time.sleep(REVIVE_PAUSE_SECONDS)

    def _stop(self) -> None:
        with self._mutex:
            self._stopping = True
            if self._server.poll() is None:
                self._server.send_signal(signal.SIGINT)  # "fast": ends sessions, then writes a checkpoint
                try:
                    self._server.wait(STOP_WAIT_SECONDS)
                except subprocess.TimeoutExpired:
                    self._server.send_signal(signal.SIGQUIT)  # recovery at the next start makes up for it
                    self._server.wait()
            self.cluster.remove_socket_dir()


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminate)
    return Keeper(Path(sys.argv[1])).run()


if __name__ == "__main__":
    sys.exit(main())
