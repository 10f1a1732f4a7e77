"""Subscriptions: assign a plan to a customer, change and end the assignment."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db import IntegrityError, transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.shapes import SUBSCRIPTION_EXAMPLE
from billing.api.subscription_changes import ChangeActions
from billing.api.subscription_serializers import SubscriptionSerializer
from billing.ending import end_subscription
from billing.errors import SubscriptionOverlap
from billing.models import Subscription
from billing.subscribing import subscribe
from billing.telling import tell_subscription
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters


class SubscriptionFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="customer__code")
    plan = django_filters.CharFilter(field_name="plan__code")

    class Meta:
        model = Subscription
        fields = ["customer", "plan"]


@extend_schema_view(
    list=extend_schema(summary="List subscriptions"),
    retrieve=extend_schema(summary="Read a subscription"),
    create=extend_schema(summary="Assign a plan", examples=[SUBSCRIPTION_EXAMPLE]),
    partial_update=extend_schema(summary="End a subscription"),
)
class SubscriptionViewSet(
    ChangeActions,
    StrictParameters,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[Subscription],
):
    """A plan assigned to a customer on the days from `start_on` to before `end_on`."""

    queryset = (
        Subscription.objects.select_related("customer", "plan")
        .prefetch_related("plan__rates__meter", "changes")
        .order_by("id")
    )
    serializer_class = SubscriptionSerializer
    filterset_class = SubscriptionFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    lookup_value_regex = r"[0-9]{1,18}"

    def create(self, request: Request) -> Response:
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        values = dict(sent.validated_data)
        subscription = subscribe(values.pop("customer"), **values)
        return Response(self.get_serializer(subscription).data, status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        """End the subscription before a day."""
        subscription = self.get_object()
        sent = self.get_serializer(subscription, data=request.data, partial=True)
        sent.is_valid(raise_exception=True)
        end_on: Any = sent.validated_data.get("end_on", subscription.end_on)
        if end_on == subscription.end_on:
            return Response(self.get_serializer(subscription).data)
        if end_on is None:
            raise ValidationError({"end_on": ["An end can be moved, not taken back. Assign the plan again."]})
        try:
            with transaction.atomic():
                end_subscription(subscription, end_on=end_on)
                tell_subscription(subscription, "ended", effective_on=end_on, now=timezone.now())
        except IntegrityError as refused:
            if "metercoverage_never_twice" not in str(refused):
                raise
            message = "Another plan of this customer bills the same usage before that day."
            raise SubscriptionOverlap(message, fields={"end_on": message}) from refused
        return Response(self.get_serializer(self.get_object()).data)
