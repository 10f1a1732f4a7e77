"""Django database engine `config.embedded`: PostgreSQL whose server is the embedded one, started on first
use.

Commands that never open a connection (makemigrations --check, collectstatic, type checks) start nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.backends.postgresql.client import DatabaseClient as PostgresClient

from config.embedded import attach
from config.embedded.cluster import PORT, Cluster
from config.embedded.folder import DataFolder
from config.postgresql import base


class DatabaseClient(PostgresClient):
    executable_name = str(Cluster(DataFolder(settings.DATA_DIR)).binaries / "psql")

    def runshell(self, parameters: Iterable[str]) -> None:
        self.connection.get_connection_params()
        super().runshell(parameters)


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        self.settings_dict["HOST"] = str(attach(settings.DATA_DIR))
        self.settings_dict["PORT"] = PORT
        return super().get_connection_params()
