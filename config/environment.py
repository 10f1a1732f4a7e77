"""What the environment decides, read once and refused early with a sentence that says what to do.

There are two kinds of installation, and one thing tells them apart: the names it answers to. With names of
this machine only (the default) settings are local: plain http, a random secret kept in DATA_DIR. Any other
name in ALLOWED_HOSTS makes it a production installation: https, a SECRET_KEY of its own, no debugging. So the
local settings cannot serve anybody else by accident.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
YES = frozenset({"1", "true", "yes", "on"})
NO = frozenset({"0", "false", "no", "off"})
RATE = re.compile(r"[1-9][0-9]*/(s|sec|second|m|min|minute|h|hour|d|day)", re.ASCII)
CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".svg"})
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Z_][A-Z0-9_]*)=(.*)", re.ASCII)
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", ".localhost"})


class EnvironmentRefused(ImproperlyConfigured):
    """A variable is missing or unsafe; the message says which and what to do."""


def read_file() -> None:
    """Take what the environment leaves unset from the file `.env` of the checkout; `ENV_FILE` names another, or none.

    Web server, worker and commands need the same values: an invoice is issued by any of them.
    """
    named = os.environ.get("ENV_FILE", ".env")
    path = BASE_DIR / Path(named).expanduser()
    if not named or (not path.is_file() and "ENV_FILE" not in os.environ):
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise EnvironmentRefused(
            f"The file {path} cannot be read: {cause}. Correct it or ENV_FILE."
        ) from cause
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = ASSIGNMENT.fullmatch(line.strip())
        if found is None:
            raise EnvironmentRefused(
                f"Line {number} of {path} is not understood: write NAME=value, or begin it with # as a comment."
            )
        os.environ.setdefault(found[1], _unquoted(found[2].strip()))


def _unquoted(value: str) -> str:
    """What stands between quotes; without quotes a comment after a space is left out."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()


def host_names(configured: str) -> list[str]:
    names = [name.strip() for name in configured.split(",") if name.strip()]
    if not names:
        raise EnvironmentRefused(
            "ALLOWED_HOSTS is empty: list the names this server answers to, or unset it."
        )
    return names


def whole_number(name: str, *, default: int, least: int = 0, most: int | None = None) -> int:
    configured = os.environ.get(name, "").strip()
    if not configured:
        return default
    bounds = f"{least} or more" if most is None else f"{least} to {most}"
    is_number = configured.isascii() and configured.isdigit()
    if not is_number or int(configured) < least or (most is not None and int(configured) > most):
        raise EnvironmentRefused(
            f"{name} is {configured!r}: set it to a whole number, {bounds}, or unset it."
        )
    return int(configured)


def whole_number_or_none(name: str) -> int | None:
    """A whole number; None where it is not set."""
    return whole_number(name, default=0) if os.environ.get(name, "").strip() else None


def yes_or_no(name: str, *, default: bool) -> bool:
    configured = os.environ.get(name, "").strip().lower()
    if not configured:
        return default
    if configured not in YES | NO:
        raise EnvironmentRefused(f"{name} is {configured!r}: set it to true or false, or unset it.")
    return configured in YES


def chosen_words(name: str, *, known: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    """Some of the words known, with commas; `none` for none of them."""
    configured = os.environ.get(name, "").strip().lower()
    if not configured:
        return default
    words = () if configured == "none" else tuple(word.strip() for word in configured.split(","))
    if unknown := sorted(set(words) - set(known)):
        raise EnvironmentRefused(
            f"{name} has {', '.join(unknown)!r}: choose from {', '.join(known)}; or none; or unset it."
        )
    return words


def picture(name: str, configured: str) -> str:
    """A picture file on this machine, as an absolute path; a relative one counts from the checkout. Empty: none."""
    if not configured:
        return ""
    path = (BASE_DIR / Path(configured).expanduser()).absolute()
    if path.suffix.lower() not in PICTURES or not path.is_file():
        raise EnvironmentRefused(
            f"{name} is {configured!r}: set it to a PNG, JPEG or SVG file on this machine, or unset it."
        )
    return str(path)


def time_of_day(name: str) -> tuple[int, int] | None:
    """An hour and minute such as 04:30; None when it is not set."""
    configured = os.environ.get(name, "").strip()
    if not configured:
        return None
    if not CLOCK.fullmatch(configured):
        raise EnvironmentRefused(f"{name} is {configured!r}: set it to a time such as 04:30, or unset it.")
    return int(configured[:2]), int(configured[3:])


def request_rate(name: str) -> str:
    """A number of requests and a unit of time, such as `600/minute`; empty means no limit."""
    configured = os.environ.get(name, "").strip().lower()
    if configured and not RATE.fullmatch(configured):
        raise EnvironmentRefused(
            f"{name} is {configured!r}: set it to a rate such as 600/minute, or unset it."
        )
    return configured


def public_url(configured: str) -> str:
    """Where people reach the installation, without a slash at the end."""
    if not re.match(r"https?://[^/\s]", configured):
        raise EnvironmentRefused(
            f"PUBLIC_URL is {configured!r}: set it to an address such as https://billing.example.com, or unset it."
        )
    return configured.rstrip("/")


def log_level(name: str) -> str:
    configured = os.environ.get(name, "").strip().upper() or "INFO"
    if configured not in LOG_LEVELS:
        raise EnvironmentRefused(
            f"{name} is {configured!r}: set it to one of {', '.join(LOG_LEVELS)}, or unset it."
        )
    return configured


def mail_server(name: str, configured: str) -> dict[str, Any]:
    """Django's mail settings. The refusal does not repeat the address: it may hold a password."""
    try:
        settings: dict[str, Any] = environ.Env.email_url_config(configured)
    except (ImproperlyConfigured, ValueError):
        raise EnvironmentRefused(
            f"{name} names no mail server: set it to an address such as "
            "smtp+tls://user:password@mail.example.com:587, or unset it."
        ) from None
    return settings


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


def refuse_private_webhooks(allowed: bool, *, local: bool) -> bool:
    if allowed and not local:
        raise EnvironmentRefused(
            "WEBHOOK_ALLOW_PRIVATE lets webhooks reach the inside of this network: unset it, or let ALLOWED_HOSTS name "
            "this machine only."
        )
    return allowed


def postgresql(url: str) -> dict[str, Any]:
    """Django's settings for the server that DATABASE_URL names, refused when it is anything but PostgreSQL."""
    if not url.startswith(("postgres://", "postgresql://")):
        raise EnvironmentRefused(
            "DATABASE_URL must name a PostgreSQL server (postgres://user:password@host:5432/name): other "
            "databases do not keep decimals exact or constraints whole."
        )
    connection: dict[str, Any] = environ.Env.db_url_config(url)
    return connection | {"ENGINE": "config.postgresql"}


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
