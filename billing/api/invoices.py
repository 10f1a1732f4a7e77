"""Invoices over HTTP: list, one by its number, its PDF, the events behind a line, and previews."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.evidence import EvidenceShape
from billing.api.invoice_actions import DESCRIBED, InvoiceActions
from billing.api.invoice_bodies import invoice_body, preview_body
from billing.api.line_events import LineEventShape, event_body, events_table
from billing.api.previews import PreviewSerializer, preview, read_period
from billing.api.shapes import INVOICE_EXAMPLE, PREVIEW_EXAMPLES, InvoiceShape
from billing.documents import invoice_file_name, invoice_pdf
from billing.evidence import evidence_file
from billing.lifecycle import State, in_state
from billing.line_events import events_of_line
from billing.models import Invoice
from billing.months import Month
from billing.parts import lines_of
from customers.api.negotiation import OwnFormat, wants_table
from customers.api.pages import Pages
from customers.api.permissions import MANAGE_SCOPES, READ_SCOPES, HasScope
from customers.api.schema import ErrorSerializer
from customers.api.strictness import PAGE_PARAMETERS, StrictParameters


class InvoiceFilter(django_filters.FilterSet):  # type: ignore[misc]
    customer = django_filters.CharFilter(field_name="customer__code")
    period = django_filters.CharFilter(
        method="begins_in", help_text="A month such as 2026-10: invoices whose period begins in it."
    )

    state = django_filters.ChoiceFilter(
        method="is_in_state",
        choices=State.choices,
        help_text="As people say it: also overdue, partly paid, credited.",
    )

    class Meta:
        model = Invoice
        fields = ["customer", "status", "kind", "currency", "state", "period"]

    def is_in_state(self, rows: QuerySet[Invoice], name: str, state: str) -> QuerySet[Invoice]:
        return in_state(rows, State(state), today=timezone.now().date())

    def begins_in(self, rows: QuerySet[Invoice], name: str, text: str) -> QuerySet[Invoice]:
        wanted = read_period(text)
        if isinstance(wanted, Month):
            return rows.filter(period_start__gte=wanted.first, period_start__lt=wanted.following)
        return rows.filter(period_start=wanted)


@extend_schema_view(
    **DESCRIBED,
    list=extend_schema(
        summary="List invoices", responses=InvoiceShape(many=True), operation_id="invoices_list"
    ),
    retrieve=extend_schema(summary="Read an invoice", responses=InvoiceShape, examples=[INVOICE_EXAMPLE]),
    pdf=extend_schema(
        summary="Print an invoice",
        responses={(200, "application/pdf"): OpenApiTypes.BINARY, 503: ErrorSerializer},
    ),
    events=extend_schema(
        summary="The events behind a line",
        responses={
            (200, "application/json"): LineEventShape(many=True),
            (200, "text/csv"): OpenApiTypes.STR,
        },
        filters=False,
        parameters=[
            OpenApiParameter("n", int, OpenApiParameter.PATH, description="The number of the line, from 1."),
            OpenApiParameter(
                "format", str, enum=["json", "csv"], description="`csv` gives all events as a table."
            ),
        ],
    ),
    evidence=extend_schema(
        summary="The outcomes an invoice billed",
        responses={
            (200, "application/json"): EvidenceShape,
            (200, "text/csv"): OpenApiTypes.STR,
        },
        filters=False,
        parameters=[
            OpenApiParameter("format", str, enum=["json", "csv"], description="`csv` gives it as a table.")
        ],
    ),
    preview=extend_schema(
        summary="Preview an invoice",
        request=PreviewSerializer,
        responses={200: InvoiceShape},
        examples=PREVIEW_EXAMPLES,
    ),
)
class InvoiceViewSet(InvoiceActions, StrictParameters, viewsets.GenericViewSet[Invoice]):
    """What customers owe. Drafts have no number yet; an issued invoice never changes."""

    queryset = (
        Invoice.objects.filter(part_of=None)
        .select_related("customer")
        .prefetch_related(
            "lines",
            "discounts",
            "credit_entries__grant",
            Prefetch(
                "parts", Invoice.objects.select_related("customer").prefetch_related("lines", "discounts")
            ),
        )
        .order_by("-period_start", "-id")
    )
    filterset_class = InvoiceFilter
    pagination_class = Pages
    permission_classes = [HasScope]
    content_negotiation_class = OwnFormat
    schema_tag = "Invoices"
    lookup_field = "number"
    lookup_value_regex = r"[A-Za-z0-9._-]{1,64}"

    @property
    def required_scopes(self) -> dict[str, tuple[str, ...]]:
        """A preview writes nothing, so that reading is enough for it."""
        reads = self.action in ("preview", "credit_note_preview")
        return dict(READ_SCOPES if reads else MANAGE_SCOPES)

    def known_parameters(self) -> frozenset[str]:
        if self.action == "evidence":
            return frozenset({"format"})
        return PAGE_PARAMETERS | {"format"} if self.action == "events" else super().known_parameters()

    def list(self, request: Request) -> Response:
        invoices: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([invoice_body(invoice) for invoice in invoices])

    def retrieve(self, request: Request, number: str) -> Response:
        return Response(invoice_body(self._invoice(number)))

    @action(detail=True)
    def pdf(self, request: Request, number: str) -> HttpResponse:
        invoice = self._invoice(number)
        answer = HttpResponse(invoice_pdf(invoice), content_type="application/pdf")
        answer["Content-Disposition"] = f'inline; filename="{invoice_file_name(invoice)}"'
        return answer

    @action(detail=True, url_path=r"lines/(?P<n>[0-9]{1,6})/events")
    def events(self, request: Request, number: str, n: str) -> Response | StreamingHttpResponse:
        """The events that a line counted, oldest first, as they were when the invoice was drawn up.

        Those of an adjustment are the events that caused it: `change` says which were added and which taken back.
        """
        invoice = self._invoice(number)
        line = next((line for line in lines_of(invoice) if line.n == int(n)), None)
        if line is None:
            raise Http404(f"{number} has no line {n}.")
        rows: Any = events_of_line(line).select_related("meter", "customer", "workload")
        if wants_table(request):
            return events_table(rows, line, name=f"{number}-line-{line.n}-events")
        events: Any = self.paginate_queryset(rows)
        return self.get_paginated_response([event_body(event, line) for event in events])

    @action(detail=True)
    def evidence(self, request: Request, number: str) -> StreamingHttpResponse:
        """Every outcome that an invoice billed, with its times, price and state; streamed whole.

        Where one price explains a line its outcomes add up to it; else the working of the line stands beside them.
        """
        return evidence_file(self._invoice(number), "csv" if wants_table(request) else "json")

    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """The invoice of a period as it would be now; nothing is stored."""
        sent = PreviewSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        return Response(preview_body(preview(sent.validated_data, now=timezone.now())))

    def _invoice(self, number: str) -> Invoice:
        rows = self.get_queryset()
        named = (
            rows.filter(pk=number) if number.isdecimal() and len(number) <= 18 else rows.filter(number=number)
        )
        invoice = named.first()
        if invoice is None:
            raise Http404(f"There is no invoice {number}.")
        return invoice
