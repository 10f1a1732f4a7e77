"""The door of the portal: every page is given the customer of the person who asks, and shows only that."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import cache_control

from billing.parties import issuer_now
from billing.portal.logo import logo_now
from customers.models import Customer, PortalAccess
from customers.portal_access import live_access

# Pages are one style sheet and one icon of this server: no script, frame, font or inline style.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def for_customer(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Give a view the customer of the signed-in person; anybody else is sent to the sign-in page.

    The access is read again on each request, so taking it back ends running sessions.
    """

    @cache_control(private=True, no_store=True)
    @functools.wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        access = live_access(request.user)
        if access is None:
            return redirect("portal:sign_in")
        request.portal_access = access  # type: ignore[attr-defined]
        return view(request, customer=access.customer, **kwargs)

    return guarded


def page(request: HttpRequest, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
    """Render a page. `issuer` names who bills; `access` is whose portal it is, None before sign-in; `now` is now."""
    access: PortalAccess | None = getattr(request, "portal_access", None)
    customer: Customer | None = access.customer if access else None
    issuer = issuer_now()
    shared = {
        "issuer": issuer,
        "logo": logo_now(issuer),
        "access": access,
        "customer": customer,
        "now": timezone.now(),
    }
    answer = render(request, template, shared | context, status=status)
    answer.headers["Content-Security-Policy"] = POLICY
    return answer
