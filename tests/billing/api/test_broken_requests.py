"""Whatever is sent to any route: no failure of the server, one shape of refusal in our own words, nothing written."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings

from billing.deciding import find_late_usage
from customers.api.authentication import remembered_keys
from metering import catalog
from tests.billing.api.broken import Operation, Sent, broken_requests
from tests.billing.api.test_schema import described, existing
from tests.described import check_described, document
from tests.factories import NOW
from tests.integrator import Integrator

__all__ = ["described"]  # the fixture

COUNT = int(os.environ.get("BROKEN_REQUESTS", "250"))
# Words of the frameworks below: they say neither which field nor what to do.
THEIR_WORDS = re.compile(
    r"Ensure (this|that|there)|This (field|value|list|query)|valid choice|Invalid (page|pk|data|input)"
    r"|matches the given query|has wrong format|[Nn]ot a valid|Enter a |Incorrect type|JSON parse error|Malformed"
    r"|^Not found|Expected a (list|dict|date but)|A valid |Must be a|may not be|Unsupported media|Method \\?\""
    r"|does not exist\.$|Select a valid|cannot exceed|Traceback|Exception"
    r"|credentials were|throttled|characters are not allowed|too large\.$"
)


def operations() -> list[Operation]:
    found = []
    for path, methods in document()["paths"].items():
        known = existing(path)
        names = {name: known[name] for name in re.findall(r"\{(\w+)\}", path)}
        for method, told in methods.items():
            examples = (
                told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
            )
            parameters = [each["name"] for each in told.get("parameters", ()) if each["in"] == "query"]
            bodies = [each["value"] for each in examples.values()]
            if method in ("post", "patch") and not bodies:
                bodies = [{}]
            found.append(Operation(method.upper(), path, names, bodies, parameters))
    return found


@pytest.mark.usefixtures("described")
def test_a_broken_request_to_any_route_is_refused_in_one_shape_and_writes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    client = Client(headers={"Authorization": f"Bearer {Integrator('ingest', 'read', 'manage').key}"})
    find_late_usage(now=NOW)  # what the worker writes down by itself; decisions look at it first
    seen: dict[int, int] = {}

    @settings(
        max_examples=COUNT,
        deadline=None,
        database=None,
        derandomize="BROKEN_REQUESTS" not in os.environ,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=True,
    )
    @given(sent=broken_requests(operations()))
    def send(sent: Sent) -> None:
        with taken_back():
            before = contents()
            response = client.generic(
                sent.method, sent.path, sent.body, content_type=sent.content_type, headers=sent.headers
            )
            seen[response.status_code] = seen.get(response.status_code, 0) + 1
            assert response.status_code < 500, response.content
            if response.status_code != 405:  # of a method that is not described
                check_described(sent.method, response.wsgi_request.path, response)
            if response.status_code < 400:
                return
            assert contents() == before, "a refusal wrote something"
        check_refusal(sent, response)

    send()
    assert {200, 400, 404, 405, 415} <= set(seen), seen


def check_refusal(sent: Sent, response: Any) -> None:
    if sent.method == "HEAD":
        return
    assert response.headers["Content-Type"] == "application/json", response.content[:200]
    answer = json.loads(response.content)
    assert set(answer) == {"error"}
    error = answer["error"]
    assert set(error) == {"code", "message", "fields"}
    sentences = [error["message"], *(each for told in error["fields"].values() for each in told)]
    for each in sentences:
        assert isinstance(each, str)
        assert each.strip()
        assert not (found := THEIR_WORDS.search(each)), (found, each)
    if error["code"] == "invalid":
        assert error["fields"], error
    assert response.status_code != 405 or response.headers["Allow"]
    json.dumps(answer, ensure_ascii=False).encode()  # no half surrogate comes back


@contextmanager
def taken_back() -> Iterator[None]:
    """Take back what is done inside, and let services that insist on committing run inside."""
    outer = transaction.atomic()
    outer._from_testcase = True  # type: ignore[attr-defined]
    with outer:
        yield
        transaction.set_rollback(True)
    catalog.forget()
    remembered_keys.forget()


def contents() -> list[tuple[Any, ...]]:
    """The number of rows of each table, and the sum of the transactions that wrote them."""
    with connection.cursor() as cursor:
        cursor.execute(CONTENTS)
        return cursor.fetchall()


# How far the last look for late usage went is written down before a decision about it is taken or refused.
LOOKED = "billing_adjustmentscan"
TABLES = sorted({model._meta.db_table for model in apps.get_models() if model._meta.managed} - {LOOKED})
CONTENTS = " UNION ALL ".join(
    f"SELECT '{table}', count(*), sum(xmin::text::numeric) FROM \"{table}\"" for table in TABLES
)
