"""The first page: set-up steps until the first invoice exists, then what happened and what waits."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    return context
