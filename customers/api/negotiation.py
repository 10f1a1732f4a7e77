"""Answers are JSON whatever a client says it accepts; better than refusing it an answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import NotAcceptable, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

ANYTHING = frozenset({"", "*/*", "application/json"})


class LenientNegotiation(DefaultContentNegotiation):
    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        choices = list(renderers)
        first = choices[0]
        if (
            len(choices) == 1
            and request.META.get("HTTP_ACCEPT", "") in ANYTHING
            and not request.META["QUERY_STRING"]
        ):
            return first, first.media_type
        try:
            chosen: Any = super().select_renderer(request, choices, format_suffix)
        except NotAcceptable:
            return first, first.media_type
        return chosen[0], chosen[1]


class OwnFormat(LenientNegotiation):
    """For a route whose parameter `format` is its own: it chooses no renderer."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type


FORMATS = ("json", "csv")


def wants_table(request: Request) -> bool:
    """Tell whether CSV is asked for: by `format`, else by an Accept header that names it and not JSON."""
    wanted = request.query_params.get("format")
    if wanted is None:
        accepted = str(request.headers.get("Accept", "")).lower()
        return "text/csv" in accepted and "json" not in accepted
    if wanted not in FORMATS:
        raise ValidationError({"format": [f"Expected one of: {', '.join(FORMATS)}."]})
    return wanted == "csv"
