"""Who calls the API: a key, sent as `Authorization: Bearer KEY` or `X-API-KEY: KEY`."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from customers.models import ApiKey

REMEMBER_SECONDS = 2.0
REMEMBER_AT_MOST = 10_000


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The integration behind a key. It is `request.auth`; `request.user` stays empty, for no person is calling."""

    name: str
    prefix: str
    scopes: frozenset[str]
    source: str
    expires_at: datetime | None


class _RememberedKeys:
    """Keys that were found good, by their hash, for seconds: a revoked key stops working that soon."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: dict[bytes, tuple[float, KeyHolder]] = {}

    def get(self, key: str) -> KeyHolder | None:
        found = self._holders.get(_fingerprint(key))
        return found[1] if found is not None and found[0] > time.monotonic() else None

    def put(self, key: str, holder: KeyHolder) -> None:
        with self._lock:
            if len(self._holders) >= REMEMBER_AT_MOST:
                self._holders.clear()
            self._holders[_fingerprint(key)] = (
                time.monotonic() + REMEMBER_SECONDS,
                holder,
            )

    def forget(self) -> None:
        with self._lock:
            self._holders.clear()


remembered_keys = _RememberedKeys()


class ApiKeyAuthentication(BaseAuthentication):
    """Find the holder of a key; no key leaves the request anonymous, a wrong one is refused with 401."""

    def authenticate(self, request: Request) -> tuple[None, KeyHolder] | None:
        key = self._sent_key(request)
        if key is None:
            return None
        holder = remembered_keys.get(key)
        if holder is None:
            holder = self._look_up(key)
            remembered_keys.put(key, holder)
        if holder.expires_at is not None and holder.expires_at <= timezone.now():
            raise AuthenticationFailed("This key has expired. Make a new one.", code="key_expired")
        return None, holder

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def _sent_key(self, request: Request) -> str | None:
        sent = request.META
        direct = sent.get("HTTP_X_API_KEY")
        if direct:
            return str(direct).strip()
        scheme, _, key = str(sent.get("HTTP_AUTHORIZATION", "")).partition(" ")
        if scheme.lower() != "bearer":
            return None
        if not key.strip():
            raise AuthenticationFailed(
                "The Authorization header holds no key after Bearer.",
                code="key_missing",
            )
        return key.strip()

    def _look_up(self, key: str) -> KeyHolder:
        unknown = AuthenticationFailed(
            "This key is unknown or was revoked. Make one on the page API keys, or by manage.py create_api_key.",
            code="key_unknown",
        )
        if "\x00" in key:
            raise unknown
        try:
            found: Any = ApiKey.objects.get_from_key(key)
        except ApiKey.DoesNotExist:
            raise unknown from None
        return KeyHolder(
            found.name,
            found.prefix,
            frozenset(found.scopes),
            found.source,
            found.expiry_date,
        )


def _fingerprint(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()
