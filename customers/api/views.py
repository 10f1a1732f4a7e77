"""Set-up of customers over HTTP."""

from __future__ import annotations

from typing import Any

import django_filters
import psycopg
from django.db import IntegrityError, transaction
from rest_framework import mixins, serializers, viewsets

from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.serializers import CustomerSerializer
from customers.api.strictness import StrictParameters
from customers.codes import CODE_PATTERN
from customers.errors import AlreadyExists, CustomerFixed
from customers.families import family_held
from customers.models import Customer

CODE_IN_PATH = CODE_PATTERN.strip("^$")


class SetUpViewSet(
    StrictParameters,
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet[Any],
):
    """Create, list, read and change one kind of thing that integrations call by its code."""

    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    pagination_class = Pages
    lookup_field = "code"
    lookup_value_regex = CODE_IN_PATH
    http_method_names = ["get", "head", "post", "patch"]

    def perform_create(self, serializer: serializers.BaseSerializer[Any]) -> None:
        """Refuse a code that is taken, also when somebody takes it at the same moment."""
        model = self.get_queryset().model
        code = serializer.validated_data["code"]
        taken = AlreadyExists(
            f"There is a {model._meta.verbose_name} with the code “{code}” already. Choose another code."
        )
        if model.objects.filter(code=code).exists():
            raise taken
        try:
            with transaction.atomic():
                self.create_row(serializer)
        except IntegrityError as refused:
            if isinstance(refused.__cause__, psycopg.errors.UniqueViolation):
                raise taken from refused
            raise

    def create_row(self, serializer: serializers.BaseSerializer[Any]) -> None:
        serializer.save()


class CustomerFilter(django_filters.FilterSet):  # type: ignore[misc]
    name = django_filters.CharFilter(lookup_expr="icontains", help_text="Part of the name.")
    parent = django_filters.CharFilter(field_name="parent__code", help_text="The children of a customer.")

    class Meta:
        model = Customer
        fields = ["code", "name", "email", "currency"]


class CustomerViewSet(SetUpViewSet):
    queryset = Customer.objects.select_related("parent").order_by("id")
    serializer_class = CustomerSerializer
    filterset_class = CustomerFilter

    def create_row(self, serializer: serializers.BaseSerializer[Any]) -> None:
        with family_held():
            super().create_row(serializer)

    def perform_update(self, serializer: serializers.BaseSerializer[Any]) -> None:
        try:
            with family_held(), transaction.atomic():
                serializer.save()
        except IntegrityError as refused:
            if isinstance(refused.__cause__, psycopg.errors.RestrictViolation):
                raise CustomerFixed(
                    "This customer has a plan, so its time zone and currency stay as they are.",
                    field="timezone" if "timezone" in serializer.validated_data else "currency",
                ) from refused
            raise
