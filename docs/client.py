"""A client that loses no event and doubles none, in the standard library alone. Copy it and change what you like.

    client = Client("http://127.0.0.1:8000", os.environ["RECKONER_KEY"], outbox="events.sqlite3")
    client.add(meter="tickets_resolved", customer="acme", subject="ticket-4711")  # kept on disk, not sent yet
    client.send_waiting()  # now and then, or in a loop
    grant = {"customer": "acme", "kind": "prepaid", "name": "Order 4711", "amount": "50.00"}
    client.write("POST", "credit-grants/", grant, name="order-4711")

An event gets its key before it is kept, and leaves the outbox only after the server has answered for it. Whatever dies
in between, the same keys are sent again, and the server counts a key once.
"""

from __future__ import annotations

import http.client
import json
import random
import sqlite3
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from typing import Any

AGAIN = {429, 500, 502, 503, 504}  # the request was not wrong: the same one may work later
LONGEST_WAIT = 60.0


class Refused(Exception):
    """The server refuses the request, and would again: `error` says which field and what to do."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"{status} {error['code']}: {error['message']}")
        self.status, self.error = status, error


class Client:
    """One for each thread and process; several may share an outbox."""

    def __init__(self, url: str, key: str, *, outbox: str, batch: int = 1000) -> None:
        self.url, self.key, self.batch = f"{url.rstrip('/')}/api/v1/", key, batch
        self.outbox = sqlite3.connect(outbox, timeout=30, isolation_level=None)
        self.outbox.execute("PRAGMA synchronous = FULL")  # add() returns after the event is on the disk
        self.outbox.execute("CREATE TABLE IF NOT EXISTS waiting (key TEXT PRIMARY KEY, event TEXT NOT NULL)")
        self.outbox.execute("CREATE TABLE IF NOT EXISTS refused (key TEXT PRIMARY KEY, event TEXT, why TEXT)")

    def add(self, **event: Any) -> str:
        """Keep an event until it is sent; give its key. Name the key yourself where the event may be added twice."""
        event.setdefault("key", str(uuid.uuid4()))
        event.setdefault("occurred_at", datetime.now(UTC).isoformat())
        self.outbox.execute("INSERT OR IGNORE INTO waiting VALUES (?, ?)", (event["key"], json.dumps(event)))
        return str(event["key"])

    def send_waiting(self) -> int:
        """Send what waits, until nothing does; give how much was answered for. What is refused is kept in `refused`."""
        sent = 0
        while rows := self.outbox.execute("SELECT key, event FROM waiting LIMIT ?", (self.batch,)).fetchall():
            answer = self.request("POST", "events/", [json.loads(event) for _, event in rows])
            # `accepted`, `duplicate` and `unmatched` are stored. `conflict` and `rejected` are for people to look at.
            bad = {
                each["index"]: each
                for each in answer["results"]
                if each["status"] in ("conflict", "rejected")
            }
            self.outbox.execute("BEGIN")
            for index, (key, event) in enumerate(rows):
                if index in bad:
                    why = json.dumps(bad[index])
                    self.outbox.execute("INSERT OR REPLACE INTO refused VALUES (?, ?, ?)", (key, event, why))
                self.outbox.execute("DELETE FROM waiting WHERE key = ?", (key,))
            self.outbox.execute("COMMIT")
            sent += len(rows)
        return sent

    def write(self, method: str, route: str, body: Any, *, name: str) -> Any:
        """Make or change something once. `name` is yours and the same each time you ask: the number of an order."""
        return self.request(method, route, body, name=name)

    def request(self, method: str, route: str, body: Any = None, *, name: str = "") -> Any:
        """Send until it is answered; give the answer. Raises Refused for what sending again cannot help."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        if name:
            headers["Idempotency-Key"] = name
        data = None if body is None else json.dumps(body).encode()
        wait, at_least = 0.1, 0.0
        while True:
            asked = urllib.request.Request(self.url + route, data, headers, method=method)
            try:
                with urllib.request.urlopen(asked, timeout=60) as response:
                    text = response.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as answer:
                if answer.code not in AGAIN:
                    raise Refused(answer.code, json.load(answer)["error"]) from answer
                at_least = float(answer.headers.get("Retry-After") or 0)
            except (OSError, http.client.HTTPException):
                # No answer, or half of one: whether it was done is not known, so the same is sent again.
                at_least = 0.0
            time.sleep(max(at_least, wait * random.uniform(0.5, 1)))
            wait = min(wait * 2, LONGEST_WAIT)
