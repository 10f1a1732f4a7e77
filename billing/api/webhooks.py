"""Endpoints of webhooks, and what was sent to them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import django_filters
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import WebhookDelivery, WebhookEndpoint, WebhookState
from billing.registering import (
    EndpointTerms,
    change_endpoint,
    register_endpoint,
    remove_endpoint,
    rotate_secret,
    send_again,
    send_test,
)
from billing.webhook_secrets import current_secret
from billing.webhook_types import CHOOSABLE, WebhookType
from customers.api.authors import author_of, empty_body
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer

TAG = "Webhooks"
ID = r"[0-9]{1,18}"
CHOOSABLE_TYPES = [(each.value, each.label) for each in CHOOSABLE]


class EndpointSerializer(StrictSerializer):
    id = serializers.IntegerField(read_only=True)
    url = serializers.CharField(max_length=1000, help_text="An https address of the public internet.")
    event_types = serializers.ListField(
        child=serializers.ChoiceField(choices=CHOOSABLE_TYPES), required=False, max_length=100,
        help_text="What it is told. Empty or left out: everything, kinds of later versions too.",
    )  # fmt: skip
    description = serializers.CharField(required=False, allow_blank=True, max_length=200)
    contact = serializers.EmailField(
        required=False, allow_blank=True, max_length=254,
        help_text="Who gets a mail when it is switched off because it fails for days.",
    )  # fmt: skip
    active = serializers.BooleanField(required=False, help_text="While false nothing is collected for it.")
    made_at = serializers.DateTimeField(read_only=True)
    last_success_at = serializers.DateTimeField(read_only=True, allow_null=True)
    failing_since = serializers.DateTimeField(read_only=True, allow_null=True)
    switched_off_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When it was switched off because it failed."
    )
    switched_off_reason = serializers.CharField(read_only=True)
    old_secret_until = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="Until then the secret before signs too."
    )


class SecretShape(EndpointSerializer):
    secret = serializers.CharField(
        allow_null=True,
        help_text="Shown now and never again. Null when the request is repeated after the endpoint was removed.",
    )


class TestShape(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="The `webhook-id` of the test.")


class TrySerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True, help_text="Null: there was no answer.")
    answer = serializers.CharField(help_text="Its first 4 KB.")
    error = serializers.CharField()
    milliseconds = serializers.IntegerField()


class DeliverySerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    endpoint = serializers.IntegerField(source="endpoint_id")
    webhook_id = serializers.CharField(source="message.sent_id")
    type = serializers.ChoiceField(choices=WebhookType.choices, source="message.type")
    subject = serializers.CharField(source="message.subject")
    state = serializers.ChoiceField(choices=WebhookState.choices)
    attempts = serializers.IntegerField()
    happened_at = serializers.DateTimeField(source="message.made_at")
    next_try_at = serializers.SerializerMethodField(help_text="Null when it ended.")
    delivered_at = serializers.DateTimeField(allow_null=True)

    def get_next_try_at(self, delivery: WebhookDelivery) -> datetime | None:
        return delivery.next_try_at if delivery.state == WebhookState.WAITING else None


class DeliveryDetailSerializer(DeliverySerializer):
    body = serializers.SerializerMethodField(help_text="As it is sent.")
    tries = TrySerializer(many=True)

    def get_body(self, delivery: WebhookDelivery) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(delivery.message.body)
        return body


EXAMPLE = OpenApiExample(
    "Invoices",
    value={
        "url": "https://hooks.example.com/billing",
        "event_types": ["invoice.issued", "invoice.paid"],
        "description": "Ledger",
        "contact": "ops@example.com",
    },
    request_only=True,
)


@extend_schema_view(
    list=extend_schema(summary="List webhook endpoints"),
    retrieve=extend_schema(summary="Read a webhook endpoint"),
)
class WebhookEndpointViewSet(
    StrictParameters,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[WebhookEndpoint],
):
    """Addresses of your systems that are told what happens."""

    queryset = WebhookEndpoint.objects.filter(removed_at=None).order_by("id")
    serializer_class = EndpointSerializer
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = TAG
    lookup_value_regex = ID
    stored_nowhere = frozenset({"secret"})

    @extend_schema(summary="Add a webhook endpoint", responses={201: SecretShape}, examples=[EXAMPLE])
    def create(self, request: Request) -> Response:
        """Answers with its secret, which cannot be read again."""
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        endpoint, secret = register_endpoint(
            EndpointTerms(**sent.validated_data), by=author_of(request), now=timezone.now()
        )
        return self._with_secret(endpoint, secret, status=201)

    @extend_schema(summary="Change a webhook endpoint")
    def partial_update(self, request: Request, pk: str) -> Response:
        """Switched on again, it gets what still waits."""
        endpoint = self.get_object()
        sent = self.get_serializer(endpoint, data=request.data, partial=True)
        sent.is_valid(raise_exception=True)
        current = {name: getattr(endpoint, name) for name in EndpointTerms.__dataclass_fields__}
        changed = change_endpoint(endpoint, EndpointTerms(**(current | sent.validated_data)))
        return Response(self.get_serializer(changed).data)

    @extend_schema(summary="Remove a webhook endpoint")
    def destroy(self, request: Request, pk: str) -> Response:
        """Nothing more is sent to it; what waits is given up."""
        remove_endpoint(self.get_object(), now=timezone.now())
        return Response(status=204)

    @extend_schema(summary="Make a new secret", request=None, responses={200: SecretShape})
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """For 24 hours both secrets sign. Answers with the new one, which cannot be read again."""
        empty_body(request)
        return self._with_secret(*rotate_secret(self.get_object(), now=timezone.now()))

    @extend_schema(summary="Send a test", request=None, responses={200: TestShape})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """The worker sends it; its delivery tells what was answered."""
        empty_body(request)
        message = send_test(self.get_object(), by=author_of(request), now=timezone.now())
        return Response({"id": f"msg_{message.hex}"})

    def tell_again(self, body: dict[str, Any]) -> dict[str, Any]:
        endpoint = self.get_queryset().filter(pk=body["id"]).first() if "secret" in body else None
        return body if endpoint is None else {**body, "secret": current_secret(endpoint)}

    def _with_secret(self, endpoint: WebhookEndpoint, secret: str, *, status: int = 200) -> Response:
        body = {**self.get_serializer(endpoint).data, "secret": secret}
        return Response(body, status=status, headers={"Cache-Control": "no-store"})


class DeliveryFilter(django_filters.FilterSet):  # type: ignore[misc]
    endpoint = django_filters.NumberFilter(field_name="endpoint_id", min_value=1, max_value=10**18)
    type = django_filters.ChoiceFilter(field_name="message__type", choices=WebhookType.choices)
    subject = django_filters.CharFilter(field_name="message__subject")

    class Meta:
        model = WebhookDelivery
        fields = ["endpoint", "type", "subject", "state"]


@extend_schema_view(
    list=extend_schema(summary="List webhook deliveries"),
    retrieve=extend_schema(summary="Read a webhook delivery", responses={200: DeliveryDetailSerializer}),
)
class WebhookDeliveryViewSet(
    StrictParameters,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[WebhookDelivery],
):
    """What was sent to endpoints, the latest first, and what was answered."""

    queryset = WebhookDelivery.objects.select_related("message").order_by("-id")
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = TAG
    lookup_value_regex = ID

    def get_serializer_class(self) -> type[DeliverySerializer]:
        return DeliveryDetailSerializer if self.action == "retrieve" else DeliverySerializer

    @extend_schema(summary="Send a delivery again", request=None, responses={200: DeliverySerializer})
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: str) -> Response:
        """With the same id and body, and all its tries."""
        empty_body(request)
        delivery = send_again(self.get_object(), by=author_of(request), now=timezone.now())
        return Response(DeliverySerializer(delivery).data)
