"""An integration that calls the API with a key, for tests; import its fixtures in a conftest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client

from customers.api.authentication import remembered_keys
from customers.keys import create_api_key
from metering import catalog
from tests.described import check_described
from tests.factories import NOW

API = "/api/v1/"


class Integrator:
    """Calls routes below /api/v1/ and gives (status, decoded answer)."""

    def __init__(self, *scopes: str, source: str = "api") -> None:
        _, self.key = create_api_key("integration", scopes=scopes, source=source)
        self.client = Client(headers={"Authorization": f"Bearer {self.key}"}, raise_request_exception=True)

    def get(self, route: str, **parameters: Any) -> tuple[int, Any]:
        return self.answer(self.client.get(API + route, parameters))

    def post(self, route: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """POST a value as JSON, or nothing at all."""
        return self.send(route, "" if body is None else json.dumps(body), **headers)

    def patch(self, route: str, body: Any) -> tuple[int, Any]:
        return self.answer(self.client.patch(API + route, json.dumps(body), content_type="application/json"))

    def delete(self, route: str) -> int:
        return self.answer(self.client.delete(API + route))[0]

    def send(
        self, route: str, body: str | bytes, content_type: str = "application/json", **headers: str
    ) -> tuple[int, Any]:
        """POST a body as it is; headers are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.answer(self.client.post(API + route, body, content_type=content_type, headers=named))

    def answer(self, response: Any) -> tuple[int, Any]:
        """Give an answer; it is as the OpenAPI description says."""
        asked = response.wsgi_request
        check_described(asked.method, asked.path, response)
        if response.headers.get("Content-Type") != "application/json":
            return response.status_code, response.content
        return response.status_code, json.loads(response.content)


@pytest.fixture
def integrator(db: None, fresh: None) -> Integrator:
    return Integrator("ingest", "read", "manage")


@pytest.fixture
def fresh() -> Iterator[None]:
    """The story's day, and nothing remembered from other tests."""
    catalog.forget()
    remembered_keys.forget()
    cache.clear()
    with time_machine.travel(NOW, tick=False):
        yield
    catalog.forget()
    remembered_keys.forget()
