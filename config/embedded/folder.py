"""DATA_DIR as the processes share it: its lock files, the state the keeper reports, its owner."""

from __future__ import annotations

import fcntl
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

MAX_LOG_BYTES = 10 * 1024 * 1024

LockName = Literal["clients", "start", "keeper", "tests"]


class EmbeddedPostgresError(Exception):
    """The embedded server cannot be used; the message says what to do."""


class FileLock:
    """A held lock. Closing the file releases it, so the kernel does that for a killed process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


@dataclass(frozen=True)
class KeeperState:
    """What the keeper last reported: `ready:<socket folder>`, `error:<sentence>`, or nothing yet."""

    text: str

    @property
    def ready(self) -> bool:
        return self.text.startswith("ready:")

    @property
    def socket_dir(self) -> Path:
        return Path(self.text.removeprefix("ready:"))

    @property
    def error(self) -> str:
        return self.text.removeprefix("error:") if self.text.startswith("error:") else ""


class DataFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.cluster = path / "postgres"
        self.log = path / "postgres.log"
        self.state = path / "keeper.state"
        self.socket_link = path / "socket"

    def create(self) -> None:
        """Creates DATA_DIR where it is missing. Root hands it to the owner of the folder above it, so that a
        later run as that ordinary user finds nothing it may not touch.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
                raise EmbeddedPostgresError(
                    f"The data folder {self.path} belongs to {_account_name(self.path.stat().st_uid)}. "
                    "Run as that user, or set DATA_DIR to a folder of your own."
                ) from None
            return
        above = self.path.parent.stat().st_uid
        if os.geteuid() == 0 and above != 0 and _has_account(above):
            self._give_to(above, self.path)

    @property
    def owner(self) -> int:
        return self.path.stat().st_uid

    def lock(self, name: LockName, *, shared: bool = False) -> FileLock:
        """Waits for the lock and holds it."""
        descriptor = self._open(self.path / f"{name}.lock")
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        return FileLock(descriptor)

    def is_kept(self) -> bool:
        """Whether a keeper lives. It holds its lock from its first to its last moment."""
        return not self.is_free("keeper")

    def has_clients(self) -> bool:
        """Whether a process uses the server, not counting the keeper that waits for all of them to leave."""
        return not self.is_free("clients") and self.is_free("clients", shared=True)

    def is_free(self, name: LockName, *, shared: bool = False) -> bool:
        descriptor = self._open(self.path / f"{name}.lock")
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def read_state(self) -> KeeperState:
        try:
            return KeeperState(self.state.read_text())
        except FileNotFoundError:
            return KeeperState("")

    def write_state(self, text: str) -> None:
        draft = self.state.with_suffix(".new")
        descriptor = self._open(draft, os.O_TRUNC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
        draft.replace(self.state)

    def open_log(self) -> int:
        """Opens the server's log for appending; one older log is kept once it has grown past 10 MiB."""
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        return self._open(self.log, os.O_APPEND)

    def _open(self, path: Path, flags: int = 0) -> int:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
        except PermissionError:
            raise EmbeddedPostgresError(
                f"{path} belongs to {_account_name(path.stat().st_uid)}. "
                "Run as that user, or set DATA_DIR to a folder of your own."
            ) from None
        if os.geteuid() == 0:
            self._give_to(self.owner, descriptor)
        return descriptor

    @staticmethod
    def _give_to(uid: int, target: int | Path) -> None:
        group = pwd.getpwuid(uid).pw_gid if _has_account(uid) else -1
        os.chown(target, uid, group)


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _account_name(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name if _has_account(uid) else f"user id {uid}"
