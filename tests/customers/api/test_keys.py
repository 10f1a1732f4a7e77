"""Who may call: keys in either header, scopes, revoked keys, the rate of one key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from customers.api.authentication import remembered_keys
from customers.keys import revoke_api_key
from customers.models import ApiKey
from tests.factories import NOW
from tests.integrator import Integrator

ROUTE = "/api/v1/meters/"


@pytest.mark.parametrize("header", ["Authorization", "X-API-KEY"])
def test_a_key_is_taken_from_either_header(integrator: Integrator, header: str) -> None:
    sent = f"Bearer {integrator.key}" if header == "Authorization" else integrator.key
    assert Client().get(ROUTE, headers={header: sent}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer abcdefgh.0123456789"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"X-API-KEY": "a\x00b"},
        {"X-API-KEY": "schlüssel.ß"},
        {"X-API-KEY": "."},
        {"X-API-KEY": "x" * 5000},
    ],
)
def test_without_a_good_key_the_answer_is_401(integrator: Integrator, headers: dict[str, str]) -> None:
    response = Client().get(ROUTE, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json()["error"]["message"]


def test_a_revoked_key_is_refused(integrator: Integrator) -> None:
    assert integrator.get("meters/")[0] == 200
    revoke_api_key(ApiKey.objects.get())
    remembered_keys.forget()
    assert integrator.get("meters/")[0] == 401


def test_an_expired_key_is_refused_at_once(integrator: Integrator) -> None:
    ApiKey.objects.update(expiry_date=NOW + timedelta(hours=1))
    assert integrator.get("meters/")[0] == 200
    with time_machine.travel(NOW + timedelta(hours=1), tick=False):
        assert integrator.get("meters/")[1]["error"]["code"] == "key_expired"


def test_one_key_above_its_rate_waits_and_others_do_not(integrator: Integrator, settings: Any) -> None:
    settings.API_RATE = "2/min"
    assert [integrator.get("meters/")[0] for _ in range(3)] == [200, 200, 429]
    response = integrator.client.get(ROUTE)
    assert response.json()["error"]["code"] == "throttled"
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert Integrator("read").get("meters/")[0] == 200


@pytest.mark.parametrize(
    "path", ["/api/v1/meters", "/api/v1/customers", "/api/v1/plans", "/api/v1/subscriptions"]
)
def test_a_write_without_the_slash_is_served_and_not_redirected(integrator: Integrator, path: str) -> None:
    response = integrator.client.post(path, "{}", content_type="application/json")
    assert response.status_code == 400
    assert response.json()["error"]["fields"]


def test_an_answer_is_json_whatever_is_accepted(integrator: Integrator) -> None:
    response = integrator.client.get(ROUTE, headers={"Accept": "text/html"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
