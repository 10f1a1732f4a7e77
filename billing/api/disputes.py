"""Disputes over HTTP: list, read, open on behalf of a customer, decide, reopen and withdraw."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.dispute_shapes import (
    DECIDE_EXAMPLE,
    OPEN_EXAMPLE,
    DecideSerializer,
    DisputeShape,
    OpenSerializer,
    dispute_body,
)
from billing.api.settlement_shapes import REASON_EXAMPLE, ReasonSerializer
from billing.dispute_rules import require_disputable
from billing.disputing import decide_dispute, open_dispute, reopen_dispute, withdraw_dispute
from billing.line_events import billed_outcomes
from billing.models import (
    Dispute,
    InvoiceLine,
)
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters


class DisputeFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="customer__code")
    invoice = django_filters.CharFilter(
        method="on_invoice", help_text="Of a consolidated one: its parts, too."
    )

    class Meta:
        model = Dispute
        fields = ["customer", "invoice", "state"]

    def on_invoice(self, rows: QuerySet[Dispute], name: str, value: str) -> QuerySet[Dispute]:
        return rows.filter(Q(invoice__number=value) | Q(invoice__part_of__number=value))


@extend_schema_view(
    list=extend_schema(
        summary="List disputes", responses=DisputeShape(many=True), operation_id="disputes_list"
    ),
    retrieve=extend_schema(summary="Read a dispute", responses=DisputeShape),
    create=extend_schema(
        summary="Dispute outcomes",
        request=OpenSerializer,
        responses={201: DisputeShape},
        examples=[OPEN_EXAMPLE],
    ),
    decide=extend_schema(
        summary="Decide a dispute",
        request=DecideSerializer,
        responses=DisputeShape,
        examples=[DECIDE_EXAMPLE],
    ),
    reopen=extend_schema(
        summary="Reopen what was declined or withdrawn",
        request=ReasonSerializer,
        responses=DisputeShape,
        examples=[REASON_EXAMPLE],
    ),
    withdraw=extend_schema(
        summary="Withdraw a dispute",
        request=ReasonSerializer,
        responses=DisputeShape,
        examples=[REASON_EXAMPLE],
    ),
)
class DisputeViewSet(StrictParameters, viewsets.GenericViewSet[Dispute]):
    """What customers say was billed and not really done. An outcome is disputed once; nothing changes silently."""

    queryset = (
        Dispute.objects.select_related("customer", "invoice__customer", "invoice__part_of__customer", "line")
        .prefetch_related("outcomes", "steps__credit_note")
        .order_by("-opened_at", "-id")
    )
    filterset_class = DisputeFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = "Outcomes"
    lookup_value_regex = r"[0-9]{1,18}"

    def list(self, request: Request) -> Response:
        rows: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([dispute_body(each) for each in rows])

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(dispute_body(self._dispute(pk)))

    def create(self, request: Request) -> Response:
        """Dispute outcomes of an invoice line, by the same rules as in the portal."""
        sent = OpenSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        asked = sent.validated_data
        rows = InvoiceLine.objects.select_related(
            "invoice__subscription__plan", "invoice__part_of__customer", "meter", "adjusts__invoice"
        )
        number = asked["invoice"]
        printed = rows.filter(Q(invoice__number=number) | Q(invoice__part_of__number=number))
        line = printed.filter(n=asked["line"]).first()
        if line is None:
            message = f"There is no line {asked['line']} of an invoice {asked['invoice']}."
            raise ValidationError({"line": [message]})
        now = timezone.now()
        keys = set(asked["outcomes"])
        require_disputable(line, now=now)
        found = _by_key(billed_outcomes(line).filter(key__in=keys), "outcomes", "Dispute it in the portal.")
        if missing := sorted(keys - set(found)):
            raise ValidationError({"outcomes": [f"The line did not bill an outcome “{missing[0]}”."]})
        by = asked.get("on_behalf_of") or _who(request)
        dispute = open_dispute(line, found.values(), reason=asked["reason"], by=by, now=now)
        return Response(dispute_body(self._dispute(str(dispute.pk))), status=201)

    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Accept some, all or none of the open outcomes, with an answer that the customer reads."""
        sent = DecideSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        asked = sent.validated_data
        dispute = self._dispute(pk)
        named = dispute.outcomes.filter(key__in=asked["accepted"])
        found = _by_key(named, "accepted", "Decide this dispute in the admin.")
        if missing := sorted(set(asked["accepted"]) - set(found)):
            raise ValidationError({"accepted": [f"There is no outcome “{missing[0]}” in this dispute."]})
        decide_dispute(
            dispute,
            accepted=found.values(),
            answer=asked["answer"],
            remedy=asked.get("remedy", ""),
            by=_who(request),
            now=timezone.now(),
        )
        return Response(dispute_body(self._dispute(pk)))

    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, pk: str) -> Response:
        """Let what was declined or withdrawn be decided again."""
        sent = ReasonSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        reopen_dispute(self._dispute(pk), **sent.validated_data, by=_who(request), now=timezone.now())
        return Response(dispute_body(self._dispute(pk)))

    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take back, for the customer, what waits for a decision; each outcome is billed as before."""
        sent = ReasonSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        withdraw_dispute(self._dispute(pk), **sent.validated_data, by=_who(request), now=timezone.now())
        return Response(dispute_body(self._dispute(pk)))

    def _dispute(self, pk: str) -> Dispute:
        dispute = self.get_queryset().filter(pk=pk).first()
        if dispute is None:
            raise Http404(f"There is no dispute {pk}.")
        return dispute


def _by_key(rows: QuerySet[Any], field: str, instead: str) -> dict[str, Any]:
    """Give the ids of rows by key. Raises ValidationError for a key that several have: each source has its own."""
    found: dict[str, Any] = {}
    for key, pk in rows.values_list("key", "pk"):
        if key in found:
            message = f"Outcomes of several sources have the key “{key}”, so it does not say which. {instead}"
            raise ValidationError({field: [message]})
        found[key] = pk
    return found


def _who(request: Request) -> str:
    holder: Any = request.auth
    return f"API key {holder.name}"
