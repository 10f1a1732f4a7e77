"""Every refusal in one shape: `{"error": {"code", "message", "fields"}}` with a 4xx status."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, ValidationError
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import is_valid_path, resolve
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from billing.errors import BillingError
from customers.api.parsing import GENERAL
from customers.api.strictness import no_such
from customers.api.words import own_words
from customers.errors import CustomersError
from metering.errors import MeteringError

logger = logging.getLogger(__name__)

AppError = BillingError | MeteringError | CustomersError

API_PREFIX = "/api/"
TOO_LARGE = "The body is larger than 10 MiB. Send it in smaller parts."
DATABASE_LOST = "The database cannot answer right now. Send the same request again: keys make that safe."
# Refused because of the state things are in, not because of what was sent.
CONFLICTS = frozenset(
    {
        "already_exists",
        "change_refused",
        "cost_rate_overlap",
        "coupon_not_available",
        "credit_not_voidable",
        "credits_spent",
        "decided_together",
        "effect_changed",
        "not_creditable",
        "customer_fixed",
        "dispute_refused",
        "event_voided",
        "family_refused",
        "meter_frozen",
        "move_refused",
        "plan_frozen",
        "plan_not_ready",
        "plan_not_active",
        "rating_failed",
        "subscription_overlap",
        "figures_changed",
        "invoice_issued",
        "kept_changing",
        "key_taken",
        "not_in_this_state",
        "limit_exists",
        "limit_reached",
        "limit_refused",
        "recurrence_stopped",
        "reservation_refused",
    }
)
# Refused because of what this installation lacks.
UNAVAILABLE = frozenset({"documents_unavailable"})


def error_body(code: str, message: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "fields": dict(fields or {})}}


def error_response(
    status: int, code: str, message: str, fields: Mapping[str, Any] | None = None
) -> JsonResponse:
    return JsonResponse(error_body(code, message, fields), status=status)


def handle_api_error(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """REST framework's exception handler. None lets an unknown error become a logged 500."""
    if isinstance(error, ValidationError):
        fields = _by_path(error.message_dict if hasattr(error, "error_dict") else error.messages)
        return _answer(400, "invalid", _first_sentence(fields), fields)
    if isinstance(error, AppError):
        return _answer(_status_of(error), error.code, error.message, _fields_of(error))
    if isinstance(error, RequestDataTooBig):
        return _answer(413, "too_large", TOO_LARGE)
    if isinstance(error, OperationalError):
        logger.error("The database failed during %s", _name_of(context), exc_info=error)
        return _answer(503, "database_unavailable", DATABASE_LOST, headers={"Retry-After": "5"})
    if isinstance(error, Http404):
        error = exceptions.NotFound(*(argument for argument in error.args if isinstance(argument, str)))
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied(*error.args)
    if isinstance(error, exceptions.APIException):
        return _answer_framework_error(error, context.get("view"))
    return None


def _name_of(context: Mapping[str, Any]) -> str:
    request = context.get("request")
    return f"{request.method} {request.path}" if request is not None else "a request"


def _answer_framework_error(error: exceptions.APIException, view: Any) -> Response:
    headers = {}
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    if isinstance(error, exceptions.ValidationError):
        fields = _by_path(error.detail)
        return _answer(error.status_code, "invalid", _first_sentence(fields), fields, headers)
    code = error.get_codes()
    fields = getattr(error, "fields", {})
    return _answer(
        error.status_code,
        code if isinstance(code, str) else "invalid",
        _sentence(error, view),
        fields,
        headers,
    )


def _sentence(error: exceptions.APIException, view: Any) -> str:
    """Say what the framework refused, and what to do instead."""
    match error:
        case exceptions.MethodNotAllowed() if view is not None:
            served = [method for method in view.allowed_methods if method != "OPTIONS"]  # the framework's own
            return f"{view.request.method} is not served at this address. Use {_either(served)}."
        case exceptions.NotAuthenticated():
            return "Send an API key: in the header Authorization as Bearer KEY, or in the header X-API-KEY."
        case exceptions.Throttled():
            wait = getattr(error, "wait", None)
            when = f"in {math.ceil(wait)} seconds" if wait else "later"
            return f"This key sends more requests than it may. Send it again {when}."
        case exceptions.UnsupportedMediaType() if str(error.detail).startswith("Unsupported media type"):
            types = _types_of(view)
            return (
                f"The body is of a type that is not read here. Send it as {types} in the header Content-Type."
            )
    return str(error.detail)


def _types_of(view: Any) -> str:
    types = [parser.media_type for parser in view.get_parsers()] if view is not None else []
    return _either(types) or "application/json"


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _answer(
    status: int,
    code: str,
    message: str,
    fields: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    set_rollback()
    return Response(error_body(code, message, fields), status=status, headers=dict(headers or {}))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return _page(request, 413, "too_large", TOO_LARGE, lambda: HttpResponse(TOO_LARGE, status=413))
    return _page(
        request,
        400,
        "bad_request",
        "The request is not acceptable.",
        lambda: defaults.bad_request(request, exception),
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = "This is not allowed."
    return _page(
        request, 403, "permission_denied", message, lambda: defaults.permission_denied(request, exception)
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = _no_such(request.path) or (
        f"There is nothing at {request.path}. The addresses are listed at /api/docs/."
    )
    return _page(request, 404, "not_found", message, lambda: defaults.page_not_found(request, exception))


def _no_such(path: str) -> str:
    """Say that there is no such thing, where the address names one in a way that none is named."""
    place = re.fullmatch(r"(/api/v1/[a-z-]+/)([^/]+)(/.*)", path)
    # Would it be an address with another name in this place?
    if place is None or not (is_valid_path(place[1]) and is_valid_path(f"{place[1]}1{place[3]}")):
        return ""
    view: Any = getattr(resolve(place[1]).func, "cls", None)
    return "" if getattr(view, "queryset", None) is None else no_such(view, place[2])


def server_error(request: HttpRequest) -> HttpResponse:
    message = "The server failed. Nothing was stored by this request; the error is in the server's log."
    return _page(request, 500, "server_error", message, lambda: defaults.server_error(request))


def _page(
    request: HttpRequest, status: int, code: str, message: str, page: Callable[[], HttpResponse]
) -> HttpResponse:
    return error_response(status, code, message) if request.path.startswith(API_PREFIX) else page()


def _status_of(error: AppError) -> int:
    if error.code in UNAVAILABLE:
        return 503
    return 409 if error.code in CONFLICTS else 400


def _fields_of(error: Any) -> dict[str, Any]:
    if fields := getattr(error, "fields", None):
        return {name: [told] if isinstance(told, str) else told for name, told in fields.items()}
    field = getattr(error, "field", None)
    return {field: [error.message]} if field else {}


def _by_path(detail: Any, path: str = "") -> dict[str, list[str]]:
    """A validation detail of any shape as sentences by dotted path, such as `rates.0.meter`."""
    if isinstance(detail, Mapping):
        parts = [("" if name == "non_field_errors" else str(name), part) for name, part in detail.items()]
    elif isinstance(detail, list) and any(isinstance(part, Mapping) for part in detail):
        parts = [(str(position), part) for position, part in enumerate(detail)]
    else:
        sentences = detail if isinstance(detail, list) else [detail]
        return {path or GENERAL: [own_words(str(told)) for told in sentences]}
    found: dict[str, list[str]] = {}
    for name, part in parts:
        if part:
            found |= _by_path(part, ".".join(filter(None, [path, name])))
    return found


def _first_sentence(fields: Mapping[str, list[str]]) -> str:
    """Names the first field that is wrong and what is wrong with it."""
    name, sentences = next(iter(fields.items()))
    return sentences[0] if name == GENERAL else f"{name}: {sentences[0]}"
