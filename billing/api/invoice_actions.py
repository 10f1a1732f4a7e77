"""What can be done with an invoice over HTTP. A state that does not allow it answers 409 and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.credits import CreditGrantShape
from billing.api.invoice_bodies import invoice_body
from billing.api.settlement_bodies import credit_note_body, credit_note_preview_body, payment_body
from billing.api.settlement_shapes import (
    CREDIT_EXAMPLE,
    CREDIT_NOTE_EXAMPLES,
    ISSUE_EXAMPLE,
    MOVE_EXAMPLE,
    ONE_OFF_EXAMPLE,
    PAYMENT_EXAMPLE,
    REASON_EXAMPLE,
    REFUND_EXAMPLE,
    BalanceMoveSerializer,
    CreditNoteSerializer,
    CreditNoteShape,
    CreditSerializer,
    IssueSerializer,
    OneOffSerializer,
    PaymentSerializer,
    PaymentShape,
    ReasonSerializer,
    RefundSerializer,
)
from billing.api.shapes import InvoiceShape
from billing.approving import issue_draft
from billing.collecting import record_payment, record_refund, reinstate, write_off
from billing.correcting import issue_credit_note, preview_credit_note
from billing.errors import InvalidAmount
from billing.models import CreditNote, Invoice
from billing.moving import move_to_credits
from billing.one_off import Item, create_one_off
from billing.voiding import void_invoice
from customers.api.authors import author_of
from customers.api.repeating import key_of

# How the OpenAPI description shows each action.
DESCRIBED: dict[str, Any] = {
    "create": extend_schema(
        summary="Bill something once",
        request=OneOffSerializer,
        responses={201: InvoiceShape},
        examples=[ONE_OFF_EXAMPLE],
    ),
    "issue": extend_schema(
        summary="Issue a draft", request=IssueSerializer, responses=InvoiceShape, examples=[ISSUE_EXAMPLE]
    ),
    "void": extend_schema(
        summary="Void an invoice", request=ReasonSerializer, responses=InvoiceShape, examples=[REASON_EXAMPLE]
    ),
    "write_off": extend_schema(
        summary="Write off what is due",
        request=ReasonSerializer,
        responses=InvoiceShape,
        examples=[REASON_EXAMPLE],
    ),
    "reinstate": extend_schema(
        summary="Take back a write-off",
        request=ReasonSerializer,
        responses=InvoiceShape,
        examples=[REASON_EXAMPLE],
    ),
    "payments": extend_schema(
        summary="Record a payment",
        request=PaymentSerializer,
        responses={201: PaymentShape},
        examples=[PAYMENT_EXAMPLE],
    ),
    "refunds": extend_schema(
        summary="Record a refund",
        request=RefundSerializer,
        responses={201: PaymentShape},
        examples=[REFUND_EXAMPLE],
    ),
    "move_to_credits": extend_schema(
        summary="Move a credit balance to the credits",
        request=BalanceMoveSerializer,
        responses={201: CreditGrantShape},
        examples=[MOVE_EXAMPLE],
    ),
    "credit_notes": extend_schema(
        summary="Issue a credit note",
        request=CreditNoteSerializer,
        responses={201: CreditNoteShape},
        examples=CREDIT_NOTE_EXAMPLES,
    ),
    "credit_note_preview": extend_schema(
        summary="Preview a credit note",
        request=CreditSerializer,
        responses={200: CreditNoteShape},
        examples=[CREDIT_EXAMPLE],
    ),
}


class InvoiceActions:
    """Actions of the invoice routes."""

    def _invoice(self, number: str) -> Invoice:
        raise NotImplementedError

    def create(self, request: Request) -> Response:
        """An invoice on demand: lines with quantity and unit price, no plan. Issued at once unless it is a draft."""
        sent = _read(OneOffSerializer, request)
        items = [Item(**({"quantity": Decimal(1)} | line)) for line in sent["lines"]]
        invoice = create_one_off(
            sent["customer"],
            items,
            currency=sent.get("currency", ""),
            key=_key(sent, request),
            use_coupons=sent["use_coupons"],
            at_once=not sent["draft"],
            now=timezone.now(),
        )
        return Response(invoice_body(invoice), status=201)

    @action(detail=True, methods=["post"])
    def issue(self, request: Request, number: str) -> Response:
        """Issue a draft before its grace days end; it is drawn up once more first. A draft is called by its id."""
        sent = _read(IssueSerializer, request)
        expected = sent.get("expected_total")
        return self._done(issue_draft(self._invoice(number), expected=expected, **_who(request)))

    @action(detail=True, methods=["post"])
    def void(self, request: Request, number: str) -> Response:
        """Take back an unpaid invoice altogether; its period can be billed again."""
        return self._done(
            void_invoice(self._invoice(number), **_read(ReasonSerializer, request), **_who(request))
        )

    @action(detail=True, methods=["post"], url_path="write-off")
    def write_off(self, request: Request, number: str) -> Response:
        """Give up what is still due."""
        return self._done(
            write_off(self._invoice(number), **_read(ReasonSerializer, request), **_who(request))
        )

    @action(detail=True, methods=["post"])
    def reinstate(self, request: Request, number: str) -> Response:
        """Make a written-off amount due again."""
        return self._done(
            reinstate(self._invoice(number), **_read(ReasonSerializer, request), **_who(request))
        )

    @action(detail=True, methods=["post"])
    def payments(self, request: Request, number: str) -> Response:
        """Record money that came in. `GET payments/` lists them."""
        sent = _read(PaymentSerializer, request)
        sent["key"] = _key(sent, request)
        payment = record_payment(self._invoice(number), **sent, **_who(request))
        return Response(payment_body(payment), status=201)

    @action(detail=True, methods=["post"])
    def refunds(self, request: Request, number: str) -> Response:
        """Record that a credit balance was paid back."""
        sent = _read(RefundSerializer, request)
        sent["key"] = _key(sent, request)
        payment = record_refund(self._invoice(number), **sent, **_who(request))
        return Response(payment_body(payment), status=201)

    @action(detail=True, methods=["post"], url_path="move-to-credits")
    def move_to_credits(self, request: Request, number: str) -> Response:
        """What was overpaid or credited becomes a credit, which pays later invoices. Voiding the credit undoes it."""
        sent = _read(BalanceMoveSerializer, request)
        grant = move_to_credits(
            self._invoice(number), amount=sent.get("amount"), key=_key(sent, request), **_who(request)
        )
        return Response(CreditGrantShape(grant).data, status=201)

    @action(detail=True, methods=["post"], url_path="credit-notes")
    def credit_notes(self, request: Request, number: str) -> Response:
        """Credit some lines, an amount, or all that is left. `GET credit-notes/` lists them."""
        sent = _read(CreditNoteSerializer, request)
        with _lines_by_place(sent):
            note = issue_credit_note(
                self._invoice(number),
                reason=sent["reason"],
                expected=sent.get("expected_total"),
                key=_key(sent, request),
                **_wanted(sent),
                **_who(request),
            )
        stored = CreditNote.objects.select_related("invoice__customer").prefetch_related(
            "lines__invoice_line"
        )
        return Response(credit_note_body(stored.get(pk=note.pk)), status=201)

    @action(detail=True, methods=["post"], url_path="credit-notes/preview")
    def credit_note_preview(self, request: Request, number: str) -> Response:
        """The credit note as it would be now, and what would be due after it; nothing is stored."""
        sent = _read(CreditSerializer, request)
        with _lines_by_place(sent):
            draft = preview_credit_note(self._invoice(number), **_wanted(sent))
        return Response(credit_note_preview_body(draft))

    def _done(self, invoice: Invoice) -> Response:
        return Response(invoice_body(self._invoice(str(invoice.pk))))


def _read(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    sent = serializer(data=request.data)
    sent.is_valid(raise_exception=True)
    return dict(sent.validated_data)


def _who(request: Request) -> dict[str, Any]:
    return {"by": author_of(request), "now": timezone.now()}


def _wanted(sent: dict[str, Any]) -> dict[str, Any]:
    lines = sent.get("lines")
    by_line = None if lines is None else {line["n"]: line["amount"] for line in lines}
    return {"lines": by_line, "amount": sent.get("amount")}


@contextmanager
def _lines_by_place(sent: dict[str, Any]) -> Iterator[None]:
    """Name a line that is refused by its place in the body, as all that is sent is named."""
    try:
        yield
    except InvalidAmount as refused:
        places = {f"lines.{line['n']}": f"lines.{place}" for place, line in enumerate(sent.get("lines", ()))}
        refused.fields = {places.get(name, name): told for name, told in refused.fields.items()}
        raise


def _key(sent: dict[str, Any], request: Request) -> str | None:
    """Give the key of the body, or of the header where the body has none."""
    return str(sent["key"]) if "key" in sent else key_of(request)
