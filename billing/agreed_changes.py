"""Writing down what was agreed about a subscription: what, from when, who and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import F

from billing.models import (
    Subscription,
    SubscriptionChange,
)
from billing.telling import tell_subscription


@dataclass(frozen=True, slots=True)
class Author:
    """Who agreed something, when and why, as it is written down. `by` is a person's name or an API key's."""

    at: datetime
    by: str = ""
    reason: str = ""


def write_down(
    subscription: Subscription, kind: str, *, effective_on: date, author: Author, **what: Any
) -> SubscriptionChange:
    """Write down what was agreed, inside the caller's transaction, and let a running close see it."""
    Subscription.objects.filter(pk=subscription.pk).update(revision=F("revision") + 1)
    change = SubscriptionChange.objects.create(
        subscription=subscription,
        kind=kind,
        effective_on=effective_on,
        made_at=author.at,
        made_by=author.by,
        reason=author.reason,
        **what,
    )
    tell_subscription(
        subscription, kind, effective_on=effective_on, following=what.get("following"), now=author.at
    )
    return change
