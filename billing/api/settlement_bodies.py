"""Payments and credit notes as JSON."""

from __future__ import annotations

from typing import Any

from billing.correcting import CreditNoteDraft
from billing.formatting import amount_text
from billing.models import CreditNote, Payment
from billing.shares import tax_summary
from metering.api.texts import instant_text

PARTS = ("subtotal", "discount", "tax", "tax_included", "total")
LINE_PARTS = ("amount", "discount", "tax", "tax_included")


def payment_body(payment: Payment) -> dict[str, Any]:
    """Give a payment; its invoice with the customer is loaded by the caller."""
    return {
        "id": payment.pk,
        "invoice": payment.invoice.number,
        "customer": payment.invoice.customer.code,
        "kind": payment.kind,
        "amount": amount_text(payment.amount, payment.currency),
        "currency": payment.currency,
        "received_on": payment.received_on.isoformat(),
        "method": payment.method,
        "reference": payment.reference,
        "reverses": payment.reverses_id,
        "reason": payment.reason,
        "key": payment.key,
        "recorded_by": payment.recorded_by,
        "recorded_at": instant_text(payment.recorded_at),
    }


def credit_note_body(note: CreditNote) -> dict[str, Any]:
    """Give a credit note; its invoice with the customer and its lines are loaded by the caller."""
    return {
        "number": note.number,
        "invoice": note.invoice.number,
        "customer": note.invoice.customer.code,
        "currency": note.currency,
        "reason": note.reason,
        **{name: amount_text(getattr(note, name), note.currency) for name in PARTS},
        "taxes": note.taxes,
        "amount_due": amount_text(note.invoice.amount_due, note.currency),
        "issued_at": instant_text(note.issued_at),
        "lines": [
            {
                "n": line.n,
                "invoice_line": line.invoice_line.n,
                "description": line.description,
                **{name: amount_text(getattr(line, name), note.currency) for name in LINE_PARTS},
            }
            for line in note.lines.all()
        ],
    }


def credit_note_preview_body(draft: CreditNoteDraft) -> dict[str, Any]:
    """Give a credit note that was computed and not stored."""
    currency = draft.invoice.currency
    return {
        "number": None,
        "invoice": draft.invoice.number,
        "customer": draft.invoice.customer.code,
        "currency": currency,
        "reason": "",
        **{name: amount_text(getattr(draft, name), currency) for name in PARTS},
        "taxes": tax_summary(draft.invoice, draft.shares),
        "amount_due": amount_text(draft.due_after, currency),
        "issued_at": None,
        "lines": [
            {
                "n": n,
                "invoice_line": share.line.n,
                "description": share.line.description,
                **{name: amount_text(getattr(share, name), currency) for name in LINE_PARTS},
            }
            for n, share in enumerate(draft.shares, start=1)
        ],
    }
