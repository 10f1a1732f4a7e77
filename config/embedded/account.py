"""Which system account runs the server. PostgreSQL refuses to run as root, so root lends it another one."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path

from config.embedded.folder import EmbeddedPostgresError

DATABASE_ACCOUNT = "reckoner-postgres"


def server_account(*, owner: int) -> pwd.struct_passwd | None:
    """The account for a DATA_DIR of this owner; None means the account of this process.

    Root starts the server as the owner of DATA_DIR, or, where that is root too, as a system account made
    for it.
    """
    if os.geteuid() != 0:
        return None
    if owner != 0:
        return pwd.getpwuid(owner)
    try:
        return pwd.getpwnam(DATABASE_ACCOUNT)
    except KeyError:
        return _create_account()


def open_the_way(path: Path, *, account: pwd.struct_passwd) -> None:
    """Lets the account pass (not read) the folders above `path`, such as /root."""
    for above in path.resolve().parents:
        now = above.stat()
        needed = stat.S_IXUSR if now.st_uid == account.pw_uid else stat.S_IXOTH
        if not now.st_mode & needed:
            above.chmod(stat.S_IMODE(now.st_mode) | needed)


def make_readable(folder: Path) -> None:
    """Lets everybody read and run what is in `folder`: a strict umask at installation leaves that to root."""
    for path in [folder, *folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _create_account() -> pwd.struct_passwd:
    options = ["--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run(["useradd", *options, DATABASE_ACCOUNT], check=True, capture_output=True, text=True)
        return pwd.getpwnam(DATABASE_ACCOUNT)
    except FileNotFoundError as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root and there is no `useradd` to make the account "
            f"{DATABASE_ACCOUNT}. Create that account, run as an ordinary user, or set DATABASE_URL."
        ) from error
    except subprocess.CalledProcessError as error:
        try:
            return pwd.getpwnam(DATABASE_ACCOUNT)  # another process was faster
        except KeyError:
            raise EmbeddedPostgresError(f"useradd {DATABASE_ACCOUNT}: {error.stderr.strip()}") from error
