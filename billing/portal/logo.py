"""The seller's logo in the head of the portal. Everybody may see it, also who is not signed in."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from billing.models import Logo, Seller


def logo_now(issuer: Mapping[str, str]) -> Logo | None:
    """Give the logo of who bills now without its content, in one query; None, without any, where none is uploaded."""
    return Logo.objects.defer("content").get(pk=issuer["logo"]) if "logo" in issuer else None


@require_safe
@cache_control(public=True, max_age=86_400, immutable=True)
def logo(request: HttpRequest, *, digest: str) -> HttpResponse:
    """Give the picture of the logo of now; 404 for every other, also for one that was."""
    found = Logo.objects.filter(pk=digest, pk__in=Seller.objects.values("logo")).first()
    if found is None:
        raise Http404
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"}
    return HttpResponse(bytes(found.content), content_type="image/png", headers=headers)
