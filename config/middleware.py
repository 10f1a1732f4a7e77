"""What every request passes: transport security, the content security policy, the optional trailing slash."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import is_valid_path

from config.errors import error_response

GetResponse = Callable[[HttpRequest], HttpResponseBase]

API_PREFIX = "/api/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data:",
    "style-src": "'self' 'unsafe-inline'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
# The admin's interface library evaluates the expressions in its own templates.
ADMIN_POLICY = POLICY | {"script-src": "'self' 'unsafe-eval'"}


class HttpsApiMiddleware:
    """Refuses the API over plain http where pages are redirected to https: the key has already travelled in
    the clear, and a redirected write would lose its body."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SECURE_SSL_REDIRECT and request.path.startswith(API_PREFIX) and not request.is_secure():
            return error_response(
                403, "https_required", "Use https. Revoke this API key: it was just sent unencrypted."
            )
        return self.get_response(request)


class StorableAddressMiddleware:
    """Finds nothing at an address of the API with a NUL in it: no column can hold one, so no name has it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "\x00" in request.path_info and request.path_info.startswith(API_PREFIX):
            return error_response(
                404, "not_found", "There is nothing here: the address contains a character that no name has."
            )
        return self.get_response(request)


class ContentSecurityPolicyMiddleware:
    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        policy = ADMIN_POLICY if request.path.startswith("/admin/") else POLICY
        response.headers.setdefault(
            "Content-Security-Policy", "; ".join(f"{k} {v}" for k, v in policy.items())
        )
        return response


class OptionalSlashMiddleware:
    """Serves a path without its trailing slash as if it had one, for the API and for every write.

    Routes are declared once, with the slash. Django's own answer is a redirect, which turns a POST into a
    GET; that stays for pages, whose relative links need the right address.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if not path.endswith("/") and (path.startswith(API_PREFIX) or request.method not in SAFE_METHODS):
            slashed = f"{path}/"
            if not is_valid_path(path) and is_valid_path(slashed):
                request.path_info = slashed
                request.path += "/"
        return self.get_response(request)
