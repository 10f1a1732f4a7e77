"""Set-up of meters and workloads, and of customers where events may be waiting for them."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db import transaction
from django.utils import timezone
from rest_framework import serializers

from customers.api import views as customers_api
from customers.api.views import SetUpViewSet
from metering.api.serializers import MeterSerializer, WorkloadSerializer
from metering.models import Meter, Workload
from metering.releasing import release_unmatched


class Releasing(SetUpViewSet):
    """After a new row is stored, counts the events that came before it."""

    def create_row(self, serializer: serializers.BaseSerializer[Any]) -> None:
        super().create_row(serializer)
        transaction.on_commit(_release)

    def perform_update(self, serializer: serializers.BaseSerializer[Any]) -> None:
        with transaction.atomic():
            super().perform_update(serializer)
            transaction.on_commit(_release)


def _release() -> None:
    release_unmatched(now=timezone.now())


class MeterFilter(django_filters.FilterSet):  # type: ignore[misc]
    label = django_filters.CharFilter(lookup_expr="icontains", help_text="Part of the label.")

    class Meta:
        model = Meter
        fields = ["code", "label", "type", "status"]


class MeterViewSet(SetUpViewSet):
    queryset = Meter.objects.order_by("id")
    serializer_class = MeterSerializer
    filterset_class = MeterFilter


class CustomerViewSet(Releasing, customers_api.CustomerViewSet):
    """Customers, of whom events may have arrived before."""


class WorkloadFilter(django_filters.FilterSet):  # type: ignore[misc]
    parent = django_filters.CharFilter(field_name="parent__code")

    class Meta:
        model = Workload
        fields = ["code", "name", "parent"]


class WorkloadViewSet(SetUpViewSet):
    queryset = Workload.objects.select_related("parent").order_by("id")
    serializer_class = WorkloadSerializer
    filterset_class = WorkloadFilter
