"""Writes that are sent again: done once, and answered as the first time.

What a client names with an Idempotency-Key is remembered together with its answer, in the transaction that did it. So a
request whose answer was lost can be sent again, also while the first one still runs: it waits for that one's end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from customers.errors import KeyTaken
from customers.models import StoredAnswer

KEPT = timedelta(days=7)

_CLAIM = """
INSERT INTO customers_storedanswer (source, key, request, fingerprint, body, made_at)
VALUES (%s, %s, %s, %s, '', %s) ON CONFLICT (source, key) DO NOTHING RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Write:
    """A write that has a name: `source` and `key` are the name, `request` what it is called in sentences."""

    source: str
    key: str
    request: str
    content: Any

    @property
    def fingerprint(self) -> str:
        """Tell requests apart by what they say: the order of fields and the packing of the body mean nothing."""
        text = json.dumps([self.request, self.content], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with its body as text; `is_repeated` when it was given before."""

    status: int
    body: str
    is_repeated: bool = False


def answer_once(write: Write, do: Callable[[], Answer], *, now: datetime) -> Answer:
    """Do a write, committed on return, or give the answer it had the first time.

    A refusal, which `do` raises, is not remembered: nothing was written, and the key can be used again.
    Raises KeyTaken when the key stands for another request.
    """
    while True:
        with transaction.atomic(durable=True):
            claimed = _claim(write, now=now)
            if claimed is not None:
                answer = do()
                StoredAnswer.objects.filter(pk=claimed).update(status=answer.status, body=answer.body)
                return answer
            known = StoredAnswer.objects.filter(source=write.source, key=write.key).first()
        if known is not None:
            return _repeated(known, write)


def forget_answers(*, now: datetime) -> int:
    """Delete answers that were given longer than KEPT ago; give how many. Their keys stand for nothing any more."""
    return StoredAnswer.objects.filter(made_at__lt=now - KEPT).delete()[0]


def _claim(write: Write, *, now: datetime) -> int | None:
    """Take the name of a write; None when it is taken. Waits for a transaction that has taken it and still runs."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [write.source, write.key, write.request, write.fingerprint, now])
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def _repeated(known: StoredAnswer, write: Write) -> Answer:
    if known.fingerprint != write.fingerprint:
        other = "with other content" if known.request == write.request else f"with {known.request}"
        message = f"This key was sent {other} before. Use a new key for a new request."
        raise KeyTaken(message, field="Idempotency-Key")
    assert known.status is not None  # claimed and answered in one transaction
    return Answer(known.status, known.body, is_repeated=True)
