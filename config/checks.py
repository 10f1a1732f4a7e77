from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import connections

OLDEST_POSTGRESQL = 15


@register(Tags.database)
def check_postgresql_version(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    found = {alias: _major_version(alias) for alias in databases or ()}
    return [
        Error(
            f"The database {alias!r} is PostgreSQL {version}; Reckoner needs {OLDEST_POSTGRESQL} or newer.",
            hint="Upgrade the server, or unset DATABASE_URL to use the embedded one.",
            id="reckoner.E001",
        )
        for alias, version in found.items()
        if version < OLDEST_POSTGRESQL
    ]


def _major_version(alias: str) -> int:
    version: int = connections[alias].get_database_version()[0]
    return version


@register(Tags.security, deploy=True)
def check_installation_is_local(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.LOCAL:
        return []
    return [
        CheckWarning(
            "These are local settings: plain http, reachable from this machine only.",
            hint="Set ALLOWED_HOSTS to the public name and SECRET_KEY to a random value (see docs).",
            id="reckoner.W001",
        )
    ]
