"""The seller's logo in the head of the portal. Everybody may see it, also who is not signed in."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from billing.models import Logo, Seller


def logo_now() -> Logo | None:
    """Give the logo of now without its content, in one query; None where none is uploaded."""
    return Logo.objects.filter(pk__in=Seller.objects.values("logo")).defer("content").first()


@require_safe
@cache_control(public=True, max_age=86_400, immutable=True)
def logo(request: HttpRequest, *, digest: str) -> HttpResponse:
    """Give the picture of the logo of now; 404 for every other, also for one that was."""
    found = Logo.objects.filter(pk=digest, pk__in=Seller.objects.values("logo")).first()
    if found is None:
        raise Http404
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"}
    return HttpResponse(bytes(found.content), content_type="image/png", headers=headers)
