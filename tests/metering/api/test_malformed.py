"""Nothing that is sent to the events route makes the server fail, and what is refused leaves nothing behind."""

from __future__ import annotations

import json
import logging
from collections import Counter

import psutil
import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.db.models import F, Sum
from django.test import Client

from metering.models import Event, EventBatch, EventConflict
from tests.factories import make_customer, make_meter
from tests.integrator import Integrator
from tests.metering.api.malformed import Sent, malformed
from tests.metering.api.malformed_formats import LARGE, RARE, malformed_requests

COUNT = 2_000
REQUESTS = 8_000  # with those before, ten thousand in all
SEED = 20261120
MIB = 1024 * 1024
COUNTS = ("accepted", "duplicates", "conflicts", "unmatched", "rejected")
REFUSALS = {400, 413, 415}


def send(client: Client, sent: Sent) -> tuple[int, bytes]:
    response = client.generic(
        "POST", "/api/v1/events/", sent.body, content_type=sent.content_type, headers=sent.headers
    )
    assert isinstance(response.wsgi_request, WSGIRequest)
    return response.status_code, response.content


@pytest.mark.parametrize("seed", [1, 2])
def test_malformed_bodies_are_never_the_servers_failure(integrator: Integrator, seed: int) -> None:
    make_meter()
    make_customer()
    seen: Counter[int] = Counter()
    stored, batches = 0, 0
    for sent in malformed(COUNT // 2, seed=seed):
        status, content = send(integrator.client, sent)
        seen[status] += 1
        answer = json.loads(content) if content else None
        if status == 200:
            assert answer["accepted"] + answer["duplicates"] + answer["conflicts"] + answer[
                "unmatched"
            ] + answer["rejected"] >= len(answer["results"])
            stored += answer["accepted"] + answer["unmatched"]
            batches = EventBatch.objects.count()
        else:
            assert status in {400, 409, 413, 415}, (status, sent)
            assert answer["error"]["message"], sent
        assert Event.objects.count() == stored, sent
        assert EventBatch.objects.count() == batches, sent
    assert set(seen) >= {200, 400, 413, 415}  # the generator reaches every kind of answer


def test_malformed_bodies_of_every_format_leave_no_trace_and_no_growth(
    integrator: Integrator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, logger="django.request")  # a warning for each would be memory that grows
    make_meter(dimensions=["channel"])
    make_customer()
    answered: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    process, size = psutil.Process(), 0
    for place, sent in enumerate(malformed_requests(REQUESTS, seed=SEED)):
        try:
            status, answer = integrator.send(
                "events/", sent.body, content_type=sent.content_type, **sent.headers
            )
        except Exception as failure:
            raise AssertionError(f"request {place} ({sent.kind}) failed: {sent.body[:200]!r}") from failure
        statuses[status] += 1
        if status == 200:
            answered.update({name: answer[name] for name in COUNTS})
        else:
            assert status in REFUSALS, (place, sent.kind, status, answer)
            assert answer["error"]["code"], (place, sent.kind)
            assert answer["error"]["message"], (place, sent.kind)
            # A single CloudEvent under a key of other content: refused, and kept for staff to compare.
            answered["conflicts"] += answer["error"]["code"] == "key_conflict"
        if place == RARE * (len(LARGE) + 1):  # every kind was seen, also the large ones
            size = process.memory_info().rss
    assert sum(statuses.values()) == REQUESTS
    assert min(statuses[status] for status in (200, *REFUSALS)) > 0

    # Whatever is stored was answered as stored, and nothing was written for a refused request.
    assert Event.objects.count() == answered["accepted"] + answered["unmatched"]
    ledger = EventBatch.objects.aggregate(**{f"sum_{name}": Sum(F(name)) for name in COUNTS})
    assert {name: ledger[f"sum_{name}"] for name in COUNTS} == {name: answered[name] for name in COUNTS}
    assert EventConflict.objects.count() == answered["conflicts"]
    assert process.memory_info().rss < size + 64 * MIB
