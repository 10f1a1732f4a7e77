"""Who changed what: the person who is signed in, or the API key that sent the request."""

from __future__ import annotations

from typing import Any

from simple_history.models import HistoricalRecords as BaseRecords


class HistoricalRecords(BaseRecords):  # type: ignore[misc]
    """The history of a model. A change over the API has no person; its reason names the key."""

    def get_change_reason_for_object(self, instance: Any, history_type: str, using: str) -> str | None:
        given: str | None = super().get_change_reason_for_object(instance, history_type, using)
        return given or _key_of(getattr(self.context, "request", None))


def _key_of(request: Any) -> str | None:
    """Name the key behind a request; None for a person's request, and outside of requests."""
    holder = getattr(request, "auth", None)
    return None if holder is None else f"API key {holder.name} ({holder.prefix})"
