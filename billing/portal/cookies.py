"""Cookies of the portal, apart from the admin's: a browser can be signed in to both and leave one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import get_script_prefix, reverse


class PortalCookiesMiddleware:
    """Gives the session and CSRF cookies other names and a narrower path below the portal's address."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        root = _root(get_script_prefix())
        if not request.path.startswith(root):
            return self.get_response(request)
        names = (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME)
        for name in names:
            request.COOKIES.pop(name, None)
            if (value := request.COOKIES.get(_portal_name(name))) is not None:
                request.COOKIES[name] = value
        response = self.get_response(request)
        for name in names:
            if (cookie := response.cookies.pop(name, None)) is not None:
                renamed = _portal_name(name)
                response.cookies[renamed] = cookie.value
                response.cookies[renamed].update(cookie)
                response.cookies[renamed]["path"] = root
        return response


@cache
def _root(prefix: str) -> str:
    """Give the portal's address below a prefix; worked out once, for every request passes here."""
    return reverse("portal:home")


def _portal_name(name: str) -> str:
    return f"portal_{name}"
