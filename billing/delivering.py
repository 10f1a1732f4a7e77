"""Sending what webhooks have to tell: at least once each, the same id at every try.

A delivery is taken by setting its next try behind the time a try can last, committed before anything is sent. A worker
that is killed in between leaves it there, and it is sent again. No transaction is open while somebody else's server is
waited for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from billing.errors import SecretLost
from billing.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookMessage, WebhookState
from billing.notifying import queue_mails, wake_sender
from billing.parties import issuer_now
from billing.posting import Answer, post
from billing.webhook_secrets import signatures

# Pauses after the first, second, ... try that failed: three days and three and a half hours in all.
PAUSES = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
MOST_ATTEMPTS = len(PAUSES) + 1
SECONDS = 15.0
# Longer than a try can last: the name, four addresses to connect to, the exchange.
LEASE = timedelta(minutes=5)
AT_ONCE = 8
# One run of the worker; a close or a mail that waits has its turn after it.
RUN_SECONDS = 20.0
# Of one endpoint in a round, so that a slow one does not hold up the others.
EACH = 4
SWITCH_OFF_AFTER = timedelta(days=5)
KEEP = timedelta(days=60)
GONE = 410
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent for a delivery, with nothing left to look up."""

    delivery_id: int
    endpoint_id: int
    url: str
    body: bytes
    headers: dict[str, str]
    problem: str = ""

    def send(self) -> Answer:
        if self.problem:
            return Answer(None, "", self.problem, 0)
        return post(self.url, self.body, self.headers, seconds=SECONDS)


def send_webhooks(*, now: datetime | None = None, seconds: float = RUN_SECONDS) -> int:
    """Send what is due, for about so many seconds; give how much was taken by its receiver.

    What is left then is sent by the next run, which is asked for, so that the worker's other work has its turn. An
    endpoint that fails is left alone for the rest of the run. `now` is the clock where it is None.
    """
    delivered = 0
    failing: set[int] = set()
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as pool:
        while True:
            began = now or timezone.now()
            requests = _take(now=began, without=failing)
            if not requests:
                return delivered
            answers = list(pool.map(Request.send, requests))
            for request, answer in zip(requests, answers, strict=True):
                if _record(request, answer, began=began, now=now or timezone.now()):
                    delivered += 1
                else:
                    failing.add(request.endpoint_id)
            if time.monotonic() >= until:
                wake_sender()
                return delivered


_DUE = """
    WITH due AS (
        SELECT picked.id
        FROM billing_webhookendpoint endpoint
        CROSS JOIN LATERAL (
            SELECT delivery.id, delivery.requested_by = '' AS unasked, delivery.next_try_at
            FROM billing_webhookdelivery delivery
            JOIN billing_webhookmessage message ON message.id = delivery.message_id
            WHERE delivery.endpoint_id = endpoint.id AND delivery.state = 'waiting'
                AND delivery.next_try_at <= %(now)s AND (endpoint.active OR message.type = 'webhook.test')
            ORDER BY unasked, delivery.next_try_at, delivery.id
            LIMIT CASE WHEN endpoint.failing_since IS NULL THEN %(each)s::bigint ELSE 1 END
            FOR UPDATE OF delivery SKIP LOCKED
        ) picked
        WHERE endpoint.removed_at IS NULL AND NOT endpoint.id = ANY(%(without)s::bigint[])
        ORDER BY picked.unasked, picked.next_try_at
        LIMIT %(most)s
    )
    UPDATE billing_webhookdelivery delivery SET next_try_at = %(lease)s
    FROM due WHERE delivery.id = due.id
    RETURNING delivery.id
"""


def _take(*, now: datetime, without: Collection[int] = ()) -> list[Request]:
    """Take what is due, a few of each endpoint, one where it fails, and commit that. Two workers never take the same.

    What somebody asked for goes first.
    """
    values: dict[str, Any] = {
        "now": now,
        "each": EACH,
        "most": AT_ONCE,
        "lease": now + LEASE,
        "without": list(without),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_DUE, values)
        ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return []
    rows = WebhookDelivery.objects.filter(pk__in=ids).select_related("message", "endpoint").order_by("id")
    return [_request(row, now=now) for row in rows]


def _request(delivery: WebhookDelivery, *, now: datetime) -> Request:
    message, endpoint = delivery.message, delivery.endpoint
    try:
        signed = signatures(endpoint, message_id=message.sent_id, body=message.body, now=now)
    except SecretLost as lost:
        return Request(delivery.pk, endpoint.pk, endpoint.url, b"", {}, lost.message)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Reckoner",
        "webhook-id": message.sent_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signed,
    }
    return Request(delivery.pk, endpoint.pk, endpoint.url, message.body.encode(), headers)


@transaction.atomic
def _record(request: Request, answer: Answer, *, began: datetime, now: datetime) -> bool:
    """Store what came of a try, and what follows from it for the delivery and its endpoint."""
    # Without the key, so that a close that writes deliveries for it is not waited for.
    endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=request.endpoint_id)
    delivery = WebhookDelivery.objects.select_for_update().get(pk=request.delivery_id)
    WebhookAttempt.objects.create(
        delivery=delivery,
        at=began,
        milliseconds=answer.milliseconds,
        status=answer.status,
        answer=answer.text,
        error=answer.error,
    )
    if delivery.state != WebhookState.WAITING:
        return answer.succeeded  # its endpoint was removed meanwhile
    delivery.attempts += 1
    if answer.succeeded:
        delivery.state, delivery.delivered_at = WebhookState.DELIVERED, now
    elif delivery.attempts >= MOST_ATTEMPTS:
        delivery.state = WebhookState.FAILED
    else:
        delivery.next_try_at = now + PAUSES[delivery.attempts - 1]
    delivery.save()
    if answer.succeeded:
        endpoint.failing_since, endpoint.last_success_at = None, now
        endpoint.save(update_fields=["failing_since", "last_success_at"])
    else:
        _note_failure(endpoint, answer, now=now)
    return answer.succeeded


def _note_failure(endpoint: WebhookEndpoint, answer: Answer, *, now: datetime) -> None:
    """Remember since when an endpoint fails, and switch it off when that is days ago or it says that it is gone."""
    endpoint.failing_since = endpoint.failing_since or now
    said = answer.error or f"It answered with {answer.status}."
    why = ""
    if answer.status == GONE:
        why = "It answered with 410: gone."
    elif now - endpoint.failing_since >= SWITCH_OFF_AFTER:
        why = f"Everything failed since {endpoint.failing_since:%-d %B %Y, %H:%M} UTC. The last time: {said}"
    if why and endpoint.active:
        endpoint.active, endpoint.switched_off_at, endpoint.switched_off_reason = False, now, why[:400]
        log.warning("The webhook endpoint %s was switched off: %s", endpoint, why)
        if endpoint.contact:
            queue_mails(
                [endpoint.contact],
                subject=f"Webhooks to {endpoint} are switched off",
                body=f"{issuer_now()['name']} no longer sends webhooks to {endpoint.url}.\n\n{why}\n\n"
                "What waits is kept. Repair the receiver, then switch the endpoint on again: "
                f"{settings.PUBLIC_URL}/admin/billing/webhookendpoint/{endpoint.pk}/change/\n",
                now=now,
            )
    endpoint.save(update_fields=["failing_since", "active", "switched_off_at", "switched_off_reason"])


def prune_messages(*, now: datetime) -> int:
    """Delete what was told two months ago and no longer waits; give how many messages."""
    waiting = WebhookDelivery.objects.filter(message=OuterRef("pk"), state=WebhookState.WAITING)
    old = WebhookMessage.objects.filter(~Exists(waiting), made_at__lt=now - KEEP)
    ids = list(old.order_by("made_at").values_list("pk", flat=True)[:10_000])
    WebhookMessage.objects.filter(pk__in=ids).delete()
    return len(ids)
