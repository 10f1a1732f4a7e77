"""Who sent a request, as it is remembered; and requests that send nothing."""

from __future__ import annotations

from collections.abc import Mapping

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from customers.api.authentication import KeyHolder


def author_of(request: Request) -> str:
    """Name the key behind a request."""
    holder = request.auth
    assert isinstance(holder, KeyHolder)  # HasScope lets no other in
    return f"API key {holder.name} ({holder.prefix})"


def empty_body(request: Request) -> None:
    """Refuse a body where there is nothing to say."""
    if not isinstance(request.data, Mapping):
        raise ValidationError("There is nothing to send here. Send an empty body, or {}.")
    if request.data:
        raise ValidationError({name: ["Unknown field. Send an empty body."] for name in request.data})
