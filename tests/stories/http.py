"""A client as an integrator would write one: JSON over real HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    content: bytes

    @property
    def json(self) -> Any:
        """The body; a number that is no whole one would be a float on the wire, so it is refused here."""
        return json.loads(self.content, parse_float=_no_float)


def _no_float(text: str) -> Decimal:
    raise AssertionError(f"{text} travels as a number, not as text")


@dataclass(frozen=True, slots=True)
class Client:
    base_url: str
    key: str

    def get(self, path: str) -> Answer:
        return self._send("GET", path, None)

    def post(self, path: str, body: object) -> Answer:
        return self._send("POST", path, json.dumps(body).encode())

    def _send(self, method: str, path: str, data: bytes | None) -> Answer:
        request = urllib.request.Request(  # noqa: S310 - the test server
            f"{self.base_url}/api/v1/{path}", data=data, method=method
        )
        request.add_header("Authorization", f"Bearer {self.key}")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - the test server
                return Answer(response.status, response.headers["Content-Type"], response.read())
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, refused.headers["Content-Type"], refused.read())
