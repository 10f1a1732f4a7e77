"""Telling others: webhooks and mails, written as rows in the transaction of what they tell of, sent by the worker.

What is rolled back tells nobody; what is committed is told at least once. `announce` is for one event, `announce_all`
for many at once: one query where nobody listens, two where somebody does, however many there are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from django.db import connection, transaction
from msgspec.json import encode
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued

from billing.models import NoticeMail, WebhookEndpoint
from billing.webhook_types import WebhookType

SEND_TASK = "send_webhooks"
MAX_SUBJECT = 200
# The record separator of RFC 7464, which JSON holds only escaped: bodies travel as one text, several times faster than
# as an array, where every quotation mark is escaped.
BETWEEN = "\x1e"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announcement:
    """One event: what it is about in a few words (the number of an invoice), and its data.

    Data may hold text, numbers, dates, instants, decimals (sent as text), lists and mappings of them. What has a `key`
    is announced once, however often it is said.
    """

    kind: WebhookType
    subject: str
    data: Mapping[str, Any]
    key: str = ""

    @property
    def message_id(self) -> UUID:
        return uuid5(NAMESPACE_URL, f"{self.kind}:{self.key}") if self.key else uuid4()

    def body(self, now: datetime) -> str:
        """Give the body as it is signed and sent, at every try the same."""
        return encode({"type": self.kind.value, "timestamp": now, "data": self.data}).decode()


def announce(
    kind: WebhookType, subject: str, payload: Mapping[str, Any], *, now: datetime, key: str = ""
) -> None:
    """Tell every endpoint that wants this kind, in the caller's transaction. Raises RuntimeError outside of one."""
    announce_all([kind], lambda: [Announcement(kind, subject, payload, key)], now=now)


def announce_all(
    types: Collection[WebhookType], tell: Callable[[], Iterable[Announcement]], *, now: datetime
) -> None:
    """Tell many events at once. `tell` is asked only where an endpoint wants one of the types.

    Raises RuntimeError outside a transaction: what is told must be committed with what it tells of.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("Announce inside the transaction of what is announced.")
    listening = WebhookEndpoint.objects.filter(active=True).values_list("event_types", flat=True)
    wanted = {kind for chosen in listening for kind in types if not chosen or kind in chosen}
    if wanted:
        _store([said for said in tell() if said.kind in wanted], now=now)


def announce_to(endpoint: WebhookEndpoint, said: Announcement, *, by: str, now: datetime) -> UUID:
    """Tell one endpoint, whatever it has chosen and even while it is switched off; give the id of the message."""
    with transaction.atomic():
        return _store([said], now=now, only=endpoint, by=by)[0]


_WRITE = """
    WITH said AS (
        SELECT * FROM unnest(
            %(ids)s::uuid[], %(types)s::text[], %(subjects)s::text[], string_to_array(%(bodies)s, %(between)s)
        ) AS said (id, type, subject, body)
    ), message AS (
        INSERT INTO billing_webhookmessage (id, type, subject, body, made_at)
        SELECT id, type, subject, body, %(now)s FROM said
        ON CONFLICT DO NOTHING
    )
    INSERT INTO billing_webhookdelivery (message_id, endpoint_id, state, attempts, next_try_at, requested_by)
    SELECT said.id, endpoint.id, 'waiting', 0, %(now)s, %(by)s
    FROM said
    JOIN billing_webhookendpoint endpoint
        ON endpoint.id = %(only)s
        OR (%(only)s IS NULL AND endpoint.active
            AND (endpoint.event_types = '{}' OR said.type = ANY(endpoint.event_types)))
    ON CONFLICT DO NOTHING
"""


def _store(
    said: Sequence[Announcement], *, now: datetime, only: WebhookEndpoint | None = None, by: str = ""
) -> list[UUID]:
    ids = [each.message_id for each in said]
    if not said:
        return ids
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE,
            {
                "ids": ids,
                "types": [each.kind.value for each in said],
                "subjects": [each.subject[:MAX_SUBJECT] for each in said],
                "bodies": BETWEEN.join(each.body(now) for each in said),
                "between": BETWEEN,
                "now": now,
                "only": only.pk if only else None,
                "by": by,
            },
        )
        written = cursor.rowcount
    if written:
        # Only to be quick: the worker also looks each minute.
        transaction.on_commit(wake_sender, robust=True)
    return ids


def wake_sender() -> None:
    """Ask the worker to send what waits now, unless it was asked already."""
    try:
        app.configure_task(SEND_TASK, queueing_lock=SEND_TASK).defer(timestamp=0)
    except AlreadyEnqueued:
        log.debug("The worker was asked to send webhooks already.")


def queue_mails(to: Iterable[str], *, subject: str, body: str, now: datetime) -> int:
    """Write a mail without a document to each address, in the caller's transaction; give how many.

    The worker sends them and tries again for a day while the mail server refuses.
    """
    return len(NoticeMail.objects.bulk_create(mails(to, subject=subject, body=body, now=now)))


def mails(to: Iterable[str], *, subject: str, body: str, now: datetime) -> list[NoticeMail]:
    """Give the rows of `queue_mails` for a caller that writes those of many at once."""
    line = " ".join(subject.split())[:MAX_SUBJECT]  # a name may hold a line break; a header must not
    return [
        NoticeMail(to=each, subject=line, body=body, next_try_at=now, written_at=now)
        for each in sorted(set(to))
    ]
