"""Routes of customers, meters, workloads, events and usage."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from metering.api.corrections import AmendView, EventView, VoidView
from metering.api.events import EventsView
from metering.api.usage import UsageView
from metering.api.views import CustomerViewSet, MeterViewSet, WorkloadViewSet

router = SimpleRouter()
router.register("meters", MeterViewSet)
router.register("customers", CustomerViewSet)
router.register("workloads", WorkloadViewSet)

urlpatterns = [
    path("events/", EventsView.as_view(), name="events"),
    path("events/<path:key>/void/", VoidView.as_view(), name="event-void"),
    path("events/<path:key>/amend/", AmendView.as_view(), name="event-amend"),
    path("events/<path:key>/", EventView.as_view(), name="event"),
    path("usage/", UsageView.as_view(), name="usage"),
    *router.urls,
]
