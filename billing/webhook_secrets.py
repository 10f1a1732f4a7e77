"""Secrets of webhook endpoints: derived from SECRET_KEY and a random salt when something is signed, stored nowhere.

A fingerprint tells which of SECRET_KEY and SECRET_KEY_FALLBACKS a secret came from, so a SECRET_KEY that is replaced
in steps breaks no receiver.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from standardwebhooks import Webhook

from billing.errors import SecretLost
from billing.models import WebhookEndpoint

OVERLAP = timedelta(hours=24)
LOST = (
    "The secret cannot be worked out any more, because SECRET_KEY was replaced. Make a new secret, or add the earlier "
    "key to SECRET_KEY_FALLBACKS."
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret as receivers store it, and what is stored here to find it again."""

    text: str
    salt: str
    fingerprint: str


def new_secret() -> Secret:
    """Make a secret. Its text is for the caller to show once."""
    salt = secrets.token_hex(32)
    text = _derive(settings.SECRET_KEY, salt)
    return Secret(text, salt, _fingerprint(text))


def current_secret(endpoint: WebhookEndpoint) -> str:
    """Work out the secret once more, for who asked for it and never got the answer. Raises SecretLost."""
    text = _find(endpoint.secret_salt, endpoint.secret_print)
    if text is None:
        raise SecretLost(LOST)
    return text


def signatures(endpoint: WebhookEndpoint, *, message_id: str, body: str, now: datetime) -> str:
    """Sign a body for the header `webhook-signature`: by the secret, and by the one before while both hold.

    Raises SecretLost when SECRET_KEY was replaced since and is not among SECRET_KEY_FALLBACKS.
    """
    texts = [_find(endpoint.secret_salt, endpoint.secret_print)]
    if endpoint.old_secret_until is not None and now < endpoint.old_secret_until:
        texts.append(_find(endpoint.old_secret_salt, endpoint.old_secret_print))
    found = [text for text in texts if text is not None]
    if not found:
        raise SecretLost(LOST)
    return " ".join(Webhook(text).sign(message_id, now, body) for text in found)


def _find(salt: str, fingerprint: str) -> str | None:
    keys: Iterable[str] = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    for key in keys:
        text = _derive(key, salt)
        if hmac.compare_digest(_fingerprint(text), fingerprint):
            return text
    return None


def _derive(key: str, salt: str) -> str:
    derived = hmac.digest(key.encode(), f"webhook secret {salt}".encode(), "sha256")
    return f"whsec_{base64.b64encode(derived).decode()}"


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
