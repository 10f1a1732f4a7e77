"""Every address. Routes are declared with their trailing slash; the middleware serves them without it."""

from __future__ import annotations

from django.contrib import admin
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path
from django.utils.functional import lazy
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from config.health import health

static_lazy = lazy(static, str)  # production reads the manifest, which collectstatic writes later

urlpatterns: list[URLPattern | URLResolver] = [
    # First, because addresses are tried in this order and nothing is asked for as often as the events.
    path("api/v1/", include("metering.api.urls")),
    path("api/v1/", include("billing.api.urls")),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("health/", health),
    path("favicon.ico", RedirectView.as_view(url=static_lazy("config/icon.svg"))),
    path("portal/", include("billing.portal.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"
