"""A ModelViewSet with a ModelSerializer, as the tutorials have it; nobody has to sign in."""

from __future__ import annotations

from typing import Any, ClassVar

from django.urls import include, path
from rest_framework import serializers, viewsets
from rest_framework.routers import DefaultRouter

from tests.benchmarks.in_house.models import Customer, Meter, UsageEvent


class UsageEventSerializer(serializers.ModelSerializer[UsageEvent]):
    """Checks that the key is new, as every unique field is checked, and looks up meter and customer."""

    meter: Any = serializers.SlugRelatedField(slug_field="code", queryset=Meter.objects.all())
    customer: Any = serializers.SlugRelatedField(slug_field="code", queryset=Customer.objects.all())

    class Meta:
        model = UsageEvent
        fields: ClassVar = ["key", "meter", "customer", "value", "occurred_at", "dimensions"]


class UsageEventViewSet(viewsets.ModelViewSet[UsageEvent]):
    queryset = UsageEvent.objects.order_by("id")
    serializer_class = UsageEventSerializer


router = DefaultRouter()
router.register("events", UsageEventViewSet)
urlpatterns = [path("api/v1/", include(router.urls))]
