"""Nothing that is sent to the events route makes the server fail, and what is refused leaves nothing behind."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import Client

from metering.models import Event, EventBatch
from tests.factories import make_customer, make_meter
from tests.integrator import Integrator
from tests.metering.api.malformed import Sent, malformed

COUNT = 2_000


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
