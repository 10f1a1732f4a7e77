"""How many requests one key may send: off unless the setting API_RATE says so."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from customers.api.authentication import KeyHolder


class KeyRateThrottle(SimpleRateThrottle):
    """Counts the requests of each key in each web process; requests without a key are refused before."""

    scope = "key"

    def get_rate(self) -> str | None:
        return settings.API_RATE or None

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        holder = request.auth
        return f"api-rate-{holder.prefix}" if isinstance(holder, KeyHolder) else None
