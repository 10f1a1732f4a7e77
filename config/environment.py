"""What the environment decides, read once and refused early with a sentence that says what to do.

There are two kinds of installation, and one thing tells them apart: the names it answers to. With names of
this machine only (the default) settings are local: plain http, a random secret kept in DATA_DIR. Any other
name in ALLOWED_HOSTS makes it a production installation: https, a SECRET_KEY of its own, no debugging. So the
local settings cannot serve anybody else by accident.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", ".localhost"})


class EnvironmentRefused(ImproperlyConfigured):
    """A variable is missing or unsafe; the message says which and what to do."""


def host_names(configured: str) -> list[str]:
    names = [name.strip() for name in configured.split(",") if name.strip()]
    if not names:
        raise EnvironmentRefused(
            "ALLOWED_HOSTS is empty: list the names this server answers to, or unset it."
        )
    return names


def is_local(allowed_hosts: list[str]) -> bool:
    return set(allowed_hosts) <= LOCAL_HOSTS


def data_dir(configured: str) -> Path:
    """The absolute data folder; a relative one counts from the checkout, wherever the command is called."""
    return (BASE_DIR / Path(configured).expanduser()).absolute()


def secret_key(configured: str, *, local: bool, folder: Path) -> str:
    """The configured secret; a local installation without one gets a random secret, kept in
    DATA_DIR/secret_key.
    """
    if configured:
        return configured
    if not local:
        raise EnvironmentRefused(
            "SECRET_KEY is not set, but ALLOWED_HOSTS names more than this machine. Set SECRET_KEY to 50 or "
            "more random characters and keep it: sessions and magic links are signed with it."
        )
    return _kept_secret(folder)


def refuse_debug(debug: bool, *, local: bool) -> bool:
    if debug and not local:
        raise EnvironmentRefused(
            "DEBUG shows settings and data to every visitor: unset it, or let ALLOWED_HOSTS name this "
            "machine only."
        )
    return debug


def postgresql(connection: dict[str, Any]) -> dict[str, Any]:
    """The parsed DATABASE_URL, refused when it names anything but PostgreSQL."""
    if connection.get("ENGINE") != "django.db.backends.postgresql":
        raise EnvironmentRefused(
            "DATABASE_URL must name a PostgreSQL server (postgres://user:password@host:5432/name): other "
            "databases do not keep decimals exact or constraints whole."
        )
    return connection


def _kept_secret(folder: Path) -> str:
    path = folder / "secret_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f"secret_key.{os.getpid()}"
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(50))
    try:
        os.link(draft, path)  # fails when another process was faster: then its secret counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
