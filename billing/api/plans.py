"""Set-up of plans: write a draft, activate it, make the next version."""

from __future__ import annotations

from typing import Any

import django_filters
import psycopg
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.plan_serializers import ActivateSerializer, DraftSerializer, PlanSerializer
from billing.api.shapes import ACTIVATE_EXAMPLE, PLAN_EXAMPLE
from billing.errors import PlanFrozen
from billing.models import Plan, PlanStatus
from billing.pricing import activate_plan, change_draft, create_plan, create_version
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import PAGE_PARAMETERS, StrictParameters
from customers.api.views import CODE_IN_PATH
from customers.errors import AlreadyExists


class PlanFilter(django_filters.FilterSet):  # type: ignore[misc]
    name = django_filters.CharFilter(lookup_expr="icontains", help_text="Part of the name.")

    class Meta:
        model = Plan
        fields = ["code", "name", "status", "currency"]


@extend_schema_view(
    list=extend_schema(summary="List plans, all versions"),
    retrieve=extend_schema(
        summary="Read a plan",
        parameters=[
            OpenApiParameter(
                "version", int, description="A version; the active one, or the newest, when left out."
            )
        ],
    ),
    create=extend_schema(summary="Create a plan", examples=[PLAN_EXAMPLE]),
    partial_update=extend_schema(summary="Change a draft", request=DraftSerializer),
    activate=extend_schema(
        summary="Activate the draft",
        request=ActivateSerializer,
        responses={200: PlanSerializer},
        examples=[ACTIVATE_EXAMPLE],
    ),
    versions=extend_schema(
        summary="Make the next version",
        description="Copies the active version to a new draft; what is sent replaces its parts.",
        request=DraftSerializer,
        responses={201: PlanSerializer},
    ),
)
class PlanViewSet(StrictParameters, mixins.ListModelMixin, viewsets.GenericViewSet[Plan]):
    """Plans by code. A code stands for its active version, or for its draft while it has no active one."""

    queryset = Plan.objects.prefetch_related("rates__meter", "examples").order_by("id")
    serializer_class = PlanSerializer
    filterset_class = PlanFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    lookup_field = "code"
    lookup_value_regex = CODE_IN_PATH

    def known_parameters(self) -> frozenset[str]:
        if self.action == "retrieve":
            return frozenset({"version"})
        return PAGE_PARAMETERS if self.action == "list_versions" else super().known_parameters()

    def create(self, request: Request) -> Response:
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        values = sent.validated_data
        taken = AlreadyExists(
            f"There is a plan with the code “{values['code']}” already. Choose another code, or make the "
            f"next version of it with POST plans/{values['code']}/versions/."
        )
        if Plan.objects.filter(code=values["code"]).exists():
            raise taken
        try:
            plan = create_plan(**values)
        except IntegrityError as refused:
            if isinstance(refused.__cause__, psycopg.errors.UniqueViolation):
                raise taken from refused
            raise
        return self._answer(plan, status=201)

    def retrieve(self, request: Request, code: str) -> Response:
        versions = self._versions(code)
        number = request.query_params.get("version")
        if number is None:
            return self._answer(_current(versions))
        for plan in versions:
            if str(plan.version) == number:
                return self._answer(plan)
        raise ValidationError({"version": [f"“{code}” has the versions 1 to {versions[-1].version}."]})

    def partial_update(self, request: Request, code: str) -> Response:
        sent = self._changes(request)
        draft = _draft(self._versions(code))
        return self._answer(change_draft(draft, **sent))

    @action(detail=True, methods=["post"])
    def activate(self, request: Request, code: str) -> Response:
        sent = ActivateSerializer(data=_body(request))
        sent.is_valid(raise_exception=True)
        accept = sent.validated_data.get("accept", [])
        plan = activate_plan(_draft_or_newest(self._versions(code)), now=timezone.now(), accept=accept)
        return self._answer(plan)

    @action(detail=True, methods=["post"])
    def versions(self, request: Request, code: str) -> Response:
        sent = self._changes(request)
        current = _current(self._versions(code))
        with transaction.atomic():
            draft = create_version(current)
            if sent:
                draft = change_draft(draft, **sent)
        return self._answer(draft, status=201)

    @extend_schema(summary="List the versions of a plan", responses=PlanSerializer(many=True), filters=False)
    @versions.mapping.get
    def list_versions(self, request: Request, code: str) -> Response:
        versions: Any = self.paginate_queryset(self.get_queryset().filter(code=code).order_by("version"))
        if not versions:
            raise Http404(f"There is no plan “{code}”.")
        return self.get_paginated_response(self.get_serializer(versions, many=True).data)

    def _versions(self, code: str) -> list[Plan]:
        versions = list(Plan.objects.filter(code=code).order_by("version"))
        if not versions:
            raise Http404(f"There is no plan “{code}”.")
        return versions

    def _changes(self, request: Request) -> dict[str, Any]:
        sent = DraftSerializer(data=_body(request), partial=True)
        sent.is_valid(raise_exception=True)
        return dict(sent.validated_data)

    def _answer(self, plan: Plan, *, status: int = 200) -> Response:
        stored: QuerySet[Plan] = self.get_queryset()
        return Response(self.get_serializer(stored.get(pk=plan.pk)).data, status=status)


def _body(request: Request) -> Any:
    """Give the body; null is as good as none."""
    body: Any = request.data
    return {} if body is None else body


def _current(versions: list[Plan]) -> Plan:
    return next((plan for plan in versions if plan.status == PlanStatus.ACTIVE), versions[-1])


def _draft_or_newest(versions: list[Plan]) -> Plan:
    return next((plan for plan in versions if plan.status == PlanStatus.DRAFT), versions[-1])


def _draft(versions: list[Plan]) -> Plan:
    newest = _draft_or_newest(versions)
    if newest.status != PlanStatus.DRAFT:
        raise PlanFrozen(
            f"{newest} is {newest.get_status_display().lower()} and frozen. "
            f"Make a new version with POST plans/{newest.code}/versions/ and change that."
        )
    return newest
