"""Django's PostgreSQL engine with a cheaper look at kept connections.

Django asks `SELECT 1` on a kept connection before each request: a round trip that costs as much as storing an event.
A server that went away has closed the socket, which shows without asking: only when something is there to read, a
farewell or a notice, is the question asked.
"""

from __future__ import annotations

import select

from django.db.backends.postgresql import base
from psycopg.pq import ConnStatus


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        """Say whether the open connection can take a statement."""
        if self.connection is None:
            return False
        pgconn = self.connection.pgconn
        if pgconn.status != ConnStatus.OK:
            return False
        socket = select.poll()
        socket.register(pgconn.socket, select.POLLIN | select.POLLHUP | select.POLLERR)
        return super().is_usable() if socket.poll(0) else True
