"""Set-up of meters and workloads, and of customers where events may be waiting for them."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from customers.api import views as customers_api
from customers.api.views import SetUpViewSet
from metering.api.serializers import MeterSerializer, WorkloadSerializer
from metering.api.shapes import CUSTOMER_EXAMPLE, METER_EXAMPLE, WORKLOAD_EXAMPLE
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


@extend_schema_view(
    list=extend_schema(summary="List meters"),
    retrieve=extend_schema(summary="Read a meter"),
    create=extend_schema(summary="Create a meter", examples=[METER_EXAMPLE]),
    partial_update=extend_schema(summary="Change a meter"),
)
class MeterViewSet(SetUpViewSet):
    """What is counted. Events that came before their meter count from when it is made."""

    queryset = Meter.objects.select_related("evidence_meter", "attempts_meter").order_by("id")
    serializer_class = MeterSerializer
    filterset_class = MeterFilter


@extend_schema_view(
    list=extend_schema(summary="List customers"),
    retrieve=extend_schema(summary="Read a customer"),
    create=extend_schema(summary="Create a customer", examples=[CUSTOMER_EXAMPLE]),
    partial_update=extend_schema(summary="Change a customer"),
)
class CustomerViewSet(Releasing, customers_api.CustomerViewSet):
    """Who is billed. Events that came before their customer count from when it is made."""


class WorkloadFilter(django_filters.FilterSet):  # type: ignore[misc]
    parent = django_filters.CharFilter(field_name="parent__code")

    class Meta:
        model = Workload
        fields = ["code", "name", "parent"]


@extend_schema_view(
    list=extend_schema(summary="List workloads"),
    retrieve=extend_schema(summary="Read a workload"),
    create=extend_schema(summary="Create a workload", examples=[WORKLOAD_EXAMPLE]),
    partial_update=extend_schema(summary="Change a workload"),
)
class WorkloadViewSet(SetUpViewSet):
    """Internal systems that do work and cost something. They belong to no customer."""

    queryset = Workload.objects.select_related("parent").order_by("id")
    serializer_class = WorkloadSerializer
    filterset_class = WorkloadFilter
