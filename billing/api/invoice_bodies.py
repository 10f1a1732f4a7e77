"""Invoices as JSON: stored ones, and drafts that were only computed, in one shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.utils import timezone

from billing.api.amounts import price_text, step_body
from billing.drafts import DraftDiscount, InvoiceDraft
from billing.formatting import amount_text
from billing.lifecycle import State, open_actions, state_of
from billing.models import CouponType, CreditEntryKind, Invoice, InvoiceDiscount
from billing.parts import discounts_of, lines_of, parts_of
from metering.api.texts import decimal_text, instant_text

PREVIEW = "preview"


def invoice_body(invoice: Invoice) -> dict[str, Any]:
    """Give a stored invoice; its lines, discounts, credits and customer are loaded by the caller."""
    currency = invoice.currency
    parts = parts_of(invoice)
    whose = {part.pk: part.customer for part in parts}
    return {
        "id": invoice.pk,
        "number": invoice.number,
        "kind": invoice.kind,
        "status": invoice.status,
        "state": state_of(invoice, now=timezone.now()).value,
        "actions": [action.value for action in open_actions(invoice)],
        "customer": invoice.customer.code,
        "subscription": invoice.subscription_id,
        "plan": invoice.plan_code,
        "plan_version": invoice.plan_version,
        "currency": currency,
        "period_start": invoice.period_start.isoformat(),
        "period_end": invoice.period_end.isoformat(),
        "timezone": invoice.zone,
        "subtotal": amount_text(invoice.subtotal, currency),
        "discount": amount_text(invoice.discount, currency),
        "tax": amount_text(invoice.tax, currency),
        "tax_included": amount_text(invoice.tax_included, currency),
        "total": amount_text(invoice.total, currency),
        "credits_applied": amount_text(invoice.credits_applied, currency),
        "amount_paid": amount_text(invoice.amount_paid, currency),
        "amount_credited": amount_text(invoice.amount_credited, currency),
        "amount_written_off": amount_text(invoice.amount_written_off, currency),
        "amount_due": amount_text(invoice.amount_due, currency),
        "discounts": [_discount_body(each, currency) for each in discounts_of(invoice)],
        "taxes": invoice.taxes,
        "credits": [
            {
                "grant": entry.grant_id,
                "name": entry.grant.name,
                "amount": amount_text(-entry.amount, currency),
            }
            for entry in invoice.credit_entries.all()
            if entry.kind == CreditEntryKind.APPLIED
        ],
        "issued_at": instant_text(invoice.issued_at) if invoice.issued_at else None,
        "due_on": invoice.due_on.isoformat() if invoice.due_on else None,
        "parts": [
            {
                "customer": part.customer.code,
                "name": part.recipient.get("name", ""),
                "subscription": part.subscription_id,
                "plan": part.plan_code,
                "plan_version": part.plan_version,
                "subtotal": amount_text(part.subtotal, currency),
                "discount": amount_text(part.discount, currency),
            }
            for part in parts
        ],
        "lines": [
            _line_body(
                line,
                currency,
                customer=whose.get(line.invoice_id, invoice.customer).code,
                meter=line.meter_definition["code"] if line.meter_definition else None,
                working=line.working,
                period=(line.period_start, line.period_end),
            )
            for line in lines_of(invoice)
        ],
    }


def preview_body(draft: InvoiceDraft) -> dict[str, Any]:
    """Give an invoice that was computed and not stored: no id, no number, the status "preview"."""
    subscription, period, currency = draft.due.subscription, draft.due.period, draft.currency
    return {
        "id": None,
        "number": None,
        "kind": draft.due.kind,
        "status": PREVIEW,
        "state": State.DRAFT.value,
        "actions": [],
        "customer": subscription.customer.code,
        "subscription": subscription.pk,
        "plan": subscription.plan.code,
        "plan_version": subscription.plan.version,
        "currency": currency,
        "period_start": period.start_on.isoformat(),
        "period_end": period.end_on.isoformat(),
        "timezone": period.zone,
        "subtotal": amount_text(draft.subtotal, currency),
        "discount": amount_text(draft.discount, currency),
        "tax": amount_text(draft.tax, currency),
        "tax_included": amount_text(draft.tax_included, currency),
        "total": amount_text(draft.total, currency),
        "credits_applied": amount_text(draft.credits_applied, currency),
        "amount_paid": amount_text(Decimal(0), currency),
        "amount_credited": amount_text(Decimal(0), currency),
        "amount_written_off": amount_text(Decimal(0), currency),
        "amount_due": amount_text(draft.amount_due, currency),
        "discounts": [_discount_body(each, currency) for each in draft.discounts],
        "taxes": [tax.as_json() for tax in draft.taxes],
        "credits": [
            {"grant": each.grant_id, "name": each.name, "amount": amount_text(each.amount, currency)}
            for each in draft.credits
        ],
        "issued_at": None,
        "due_on": None,
        "parts": [],
        "lines": [
            _line_body(
                line,
                currency,
                customer=subscription.customer.code,
                meter=line.meter.code if line.meter else None,
                working=[step.as_json() for step in line.working],
                period=(line.period.start_on, line.period.end_on),
            )
            for line in draft.lines
        ],
    }


def _discount_body(discount: InvoiceDiscount | DraftDiscount, currency: str) -> dict[str, Any]:
    fixed = discount.kind == CouponType.FIXED
    return {
        "name": discount.name,
        "customer_coupon": discount.customer_coupon_id,
        "kind": discount.kind,
        "value": price_text(discount.value, currency) if fixed else decimal_text(discount.value),
        "amount": amount_text(discount.amount, currency),
    }


def _line_body(
    line: Any,
    currency: str,
    *,
    customer: str,
    meter: str | None,
    working: Iterable[Mapping[str, Any]],
    period: tuple[date, date],
) -> dict[str, Any]:
    return {
        "n": line.n,
        "kind": line.kind,
        "customer": customer,
        "description": line.description,
        "meter": meter,
        "unit": line.unit,
        "quantity": decimal_text(line.quantity),
        "unit_amount": None if line.unit_amount is None else price_text(line.unit_amount, currency),
        "amount": amount_text(line.amount, currency),
        "discount": amount_text(line.discount, currency),
        "tax_category": line.tax_category,
        "taxed_by": list(line.taxed_by),
        "period_start": period[0].isoformat(),
        "period_end": period[1].isoformat(),
        "working": [step_body(step) for step in working],
    }
