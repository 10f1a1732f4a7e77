"""Disputes over HTTP: list, read, open on behalf of a customer, decide, reopen and withdraw."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.settlement_shapes import REASON_EXAMPLE, ReasonSerializer
from billing.dispute_rules import MAX_TEXT, MOST_OUTCOMES, require_disputable
from billing.disputing import decide_dispute, open_dispute, reopen_dispute, withdraw_dispute
from billing.formatting import amount_text
from billing.line_events import billed_outcomes
from billing.models import (
    Dispute,
    DisputedState,
    DisputeRemedy,
    DisputeState,
    DisputeStep,
    DisputeStepKind,
    InvoiceLine,
)
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.strictness import StrictParameters, StrictSerializer
from metering.api.texts import instant_text


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


class DisputedShape(serializers.Serializer[Any]):
    key = serializers.CharField()
    subject = serializers.CharField(allow_null=True)
    occurred_at = serializers.DateTimeField()
    state = serializers.ChoiceField(choices=DisputedState.choices)


class DisputeStepShape(serializers.Serializer[Any]):
    """`amount` is the effect of a decision before tax, negative when less is owed; null of other steps."""

    kind = serializers.ChoiceField(choices=DisputeStepKind.choices)
    at = serializers.DateTimeField()
    by = serializers.CharField()
    text = serializers.CharField(allow_blank=True)
    accepted = serializers.IntegerField()
    declined = serializers.IntegerField()
    remedy = serializers.ChoiceField(choices=DisputeRemedy.choices, allow_null=True)
    amount = serializers.CharField(allow_null=True)
    credit_note = serializers.CharField(allow_null=True)


class DisputeShape(serializers.Serializer[Any]):
    """`customer` is whose outcomes they are, `invoice` has the line. `printed_on` was sent, to `billed_to`, who pays:
    the consolidated invoice of a parent; else the same invoice and customer.
    """

    id = serializers.IntegerField()
    number = serializers.CharField()
    customer = serializers.CharField()
    invoice = serializers.CharField()
    printed_on = serializers.CharField()
    billed_to = serializers.CharField()
    line = serializers.IntegerField()
    currency = serializers.CharField()
    state = serializers.ChoiceField(choices=DisputeState.choices)
    reason = serializers.CharField(allow_blank=True)
    opened_at = serializers.DateTimeField()
    opened_by = serializers.CharField()
    at_stake = serializers.CharField(
        allow_null=True,
        help_text="What accepting all of it came to, before tax, when it was opened or reopened.",
    )
    outcomes = DisputedShape(many=True)
    history = DisputeStepShape(many=True)


class OpenSerializer(StrictSerializer):
    invoice = serializers.CharField(max_length=64, help_text="Its number, or that of the consolidated one.")
    line = serializers.IntegerField(min_value=1, max_value=1_000_000, help_text="The number of the line.")
    outcomes = serializers.ListField(
        child=serializers.CharField(max_length=1_000),
        min_length=1,
        max_length=MOST_OUTCOMES,
        help_text="The keys of outcomes that the line billed or, of an adjustment, added.",
    )
    reason = serializers.CharField(max_length=MAX_TEXT, required=False, allow_blank=True, default="")
    on_behalf_of = serializers.CharField(
        max_length=200, required=False, help_text="Who asked, as both sides read it."
    )


class DecideSerializer(StrictSerializer):
    accepted = serializers.ListField(
        child=serializers.CharField(max_length=1_000),
        max_length=MOST_OUTCOMES,
        help_text="The keys of the outcomes to accept; the other open ones are declined.",
    )
    answer = serializers.CharField(max_length=MAX_TEXT, help_text="The customer reads it.")
    remedy = serializers.ChoiceField(
        choices=DisputeRemedy.choices, required=False, help_text="Needed when anything is accepted."
    )


OPEN_EXAMPLE = OpenApiExample(
    "It came back",
    value={
        "invoice": "INV-2026-000001",
        "line": 1,
        "outcomes": ["evt-1"],
        "reason": "The ticket was opened again.",
        "on_behalf_of": "anna@acme.example",
    },
    request_only=True,
)
DECIDE_EXAMPLE = OpenApiExample(
    "Accepted, credited",
    value={"accepted": ["evt-1"], "answer": "You are right.", "remedy": "credit_note"},
    request_only=True,
)


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


def dispute_body(dispute: Dispute) -> dict[str, Any]:
    """Give a dispute as the API shows it, with its outcomes and all that was said."""
    return {
        "id": dispute.pk,
        "number": dispute.number,
        "customer": dispute.customer.code,
        "invoice": dispute.invoice.number,
        "printed_on": dispute.printed_on.number,
        "billed_to": dispute.printed_on.customer.code,
        "line": dispute.line.n,
        "currency": dispute.invoice.currency,
        "state": dispute.state,
        "reason": dispute.reason,
        "opened_at": instant_text(dispute.opened_at),
        "opened_by": dispute.opened_by,
        "at_stake": None
        if dispute.at_stake is None
        else amount_text(dispute.at_stake, dispute.invoice.currency),
        "outcomes": [
            {
                "key": each.key,
                "subject": each.subject,
                "occurred_at": instant_text(each.occurred_at),
                "state": each.state,
            }
            for each in dispute.outcomes.all()
        ],
        "history": [_step_body(each, dispute.invoice.currency) for each in dispute.steps.all()],
    }


def _step_body(step: DisputeStep, currency: str) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "at": instant_text(step.at),
        "by": step.by,
        "text": step.text,
        "accepted": step.accepted,
        "declined": step.declined,
        "remedy": step.remedy or None,
        "amount": None if step.amount is None else amount_text(step.amount, currency),
        "credit_note": step.credit_note.number if step.credit_note else None,
    }


def _who(request: Request) -> str:
    holder: Any = request.auth
    return f"API key {holder.name}"
