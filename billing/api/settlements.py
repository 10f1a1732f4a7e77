"""Credit notes and payments over HTTP: lists, one credit note, its PDF, and taking a payment back."""

from __future__ import annotations

from typing import Any

import django_filters
from django.http import Http404, HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.settlement_bodies import credit_note_body, payment_body
from billing.api.settlement_shapes import REASON_EXAMPLE, CreditNoteShape, PaymentShape, ReasonSerializer
from billing.collecting import reverse_payment
from billing.documents import credit_note_file_name, credit_note_pdf
from billing.models import CreditNote, Payment
from customers.api.authors import author_of
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, HasScope
from customers.api.schema import ErrorSerializer
from customers.api.strictness import StrictParameters


class CreditNoteFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="invoice__customer__code")
    invoice = django_filters.CharFilter(field_name="invoice__number")

    class Meta:
        model = CreditNote
        fields = ["customer", "invoice"]


class PaymentFilter(CreditNoteFilter):
    class Meta:
        model = Payment
        fields = ["customer", "invoice", "kind", "method"]


@extend_schema_view(
    list=extend_schema(
        summary="List credit notes", responses=CreditNoteShape(many=True), operation_id="credit_notes_list"
    ),
    retrieve=extend_schema(summary="Read a credit note", responses=CreditNoteShape),
    pdf=extend_schema(
        summary="Print a credit note",
        responses={(200, "application/pdf"): OpenApiTypes.BINARY, 503: ErrorSerializer},
    ),
)
class CreditNoteViewSet(StrictParameters, viewsets.GenericViewSet[CreditNote]):
    """What was taken back of issued invoices. A credit note never changes."""

    queryset = (
        CreditNote.objects.select_related("invoice__customer")
        .prefetch_related("lines__invoice_line")
        .order_by("-issued_at", "-id")
    )
    filterset_class = CreditNoteFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = "Invoices"
    lookup_field = "number"
    lookup_value_regex = r"[A-Za-z0-9._-]{1,64}"

    def list(self, request: Request) -> Response:
        notes: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([credit_note_body(note) for note in notes])

    def retrieve(self, request: Request, number: str) -> Response:
        return Response(credit_note_body(self._note(number)))

    @action(detail=True)
    def pdf(self, request: Request, number: str) -> HttpResponse:
        note = self._note(number)
        answer = HttpResponse(credit_note_pdf(note), content_type="application/pdf")
        answer["Content-Disposition"] = f'inline; filename="{credit_note_file_name(note)}"'
        return answer

    def _note(self, number: str) -> CreditNote:
        note = self.get_queryset().filter(number=number).first()
        if note is None:
            raise Http404(f"There is no credit note {number}.")
        return note


@extend_schema_view(
    list=extend_schema(
        summary="List payments", responses=PaymentShape(many=True), operation_id="payments_list"
    ),
    reverse=extend_schema(
        summary="Take back a payment",
        request=ReasonSerializer,
        responses={201: PaymentShape},
        examples=[REASON_EXAMPLE],
    ),
)
class PaymentViewSet(StrictParameters, viewsets.GenericViewSet[Payment]):
    """Money that came in, went back, or was recorded wrongly. Rows are added, never changed."""

    queryset = Payment.objects.select_related("invoice__customer").order_by("-recorded_at", "-id")
    filterset_class = PaymentFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    required_scopes = MANAGE_SCOPES
    schema_tag = "Invoices"
    lookup_value_regex = r"[0-9]{1,18}"

    def list(self, request: Request) -> Response:
        payments: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([payment_body(payment) for payment in payments])

    @action(detail=True, methods=["post"])
    def reverse(self, request: Request, pk: str) -> Response:
        """Record the opposite of a payment that bounced or was recorded wrongly."""
        sent = ReasonSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        payment = self.get_queryset().filter(pk=pk).first()
        if payment is None:
            raise Http404(f"There is no payment {pk}.")
        reversal = reverse_payment(payment, **sent.validated_data, by=author_of(request), now=timezone.now())
        return Response(payment_body(reversal), status=201)
