"""What only pages pass: sessions, who is signed in, messages.

The API reads no cookie and knows no signed-in person, and each layer that its requests leave out is time that events
have.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest, HttpResponseBase

from config.middleware import API_PREFIX


class _PagesOnly:
    """Goes before a middleware and lets requests to the API past it."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(API_PREFIX):
            passed: HttpResponseBase = self.get_response(request)
            return passed
        response: HttpResponseBase = super().__call__(request)  # type: ignore[misc]
        return response


class SessionMiddleware(_PagesOnly, sessions.SessionMiddleware):
    """Sessions."""


class AuthenticationMiddleware(_PagesOnly, auth.AuthenticationMiddleware):
    """Who is signed in."""


class MessageMiddleware(_PagesOnly, messages.MessageMiddleware):
    """Messages shown once."""
