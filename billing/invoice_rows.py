"""What rows of invoices, lines and discounts hold, made from drafts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import JSONField

from billing.copying import NULL, copied, copied_json, names_of
from billing.drafts import AnyDraft, ConsolidatedDraft, DraftDiscount, DraftLine, InvoiceDraft
from billing.models import Invoice, InvoiceDiscount, InvoiceKind, InvoiceLine

INVOICE_NAMES = names_of(Invoice)
INVOICE_JSON = frozenset(
    field.attname for field in Invoice._meta.concrete_fields if isinstance(field, JSONField)
)
DISCOUNT_NAMES = names_of(InvoiceDiscount)
# What an invoice has from the beginning, whatever its draft says.
FRESH = {
    field.attname: field.get_default()
    for field in Invoice._meta.concrete_fields
    if field.has_default() or field.null
}


def issue_after(draft: InvoiceDraft, *, grace_days: int) -> datetime:
    """Give the end of the grace days: until then a draft may still change. At the start they count from the start."""
    due = draft.due
    begins = due.period.start if due.kind == InvoiceKind.AT_START else due.period.end
    return begins + timedelta(days=grace_days)


def ends_grace(draft: AnyDraft, *, grace_days: int) -> datetime:
    """Give the end of the grace days of any draft: the last of its parts'."""
    parts = draft.parts if isinstance(draft, ConsolidatedDraft) else (draft,)
    return max(issue_after(part, grace_days=grace_days) for part in parts)


def invoice_of(draft: InvoiceDraft, pk: int, *, grace_days: int) -> Invoice:
    """Give a draft as it is stored, without its lines."""
    subscription, period = draft.due.subscription, draft.due.period
    plan = subscription.plan
    values = FRESH | {
        "id": pk,
        "customer_id": subscription.customer_id,
        "subscription_id": subscription.pk,
        "kind": draft.due.kind,
        "starts_at": period.start,
        "ends_at": period.end,
        "period_start": period.start_on,
        "period_end": period.end_on,
        "zone": period.zone,
        "currency": draft.currency,
        "subtotal": draft.subtotal,
        "discount": draft.discount,
        "tax": draft.tax,
        "tax_included": draft.tax_included,
        "taxes": [tax.as_json() for tax in draft.taxes],
        "total": draft.total,
        "issuer": draft.issuer,
        "recipient": draft.recipient,
        "plan_name": plan.name,
        "plan_code": plan.code,
        "plan_version": plan.version,
        "watermark": draft.watermark,
        "drawn_up_at": draft.drawn_up_at,
        "issue_after": issue_after(draft, grace_days=grace_days),
        "plan_terms": draft.plan_terms,
    }
    # As if it was read: thousands are made, and the values are all there.
    return Invoice.from_db(connection.alias, INVOICE_NAMES, [values[name] for name in INVOICE_NAMES])


def consolidated_invoice(whole: ConsolidatedDraft, pk: int, parts: Sequence[Invoice]) -> Invoice:
    """Give a consolidated draft as it is stored; `parts` are its parts as they are."""
    return Invoice(
        pk=pk,
        customer_id=whole.customer.pk,
        subscription=None,
        kind=InvoiceKind.CONSOLIDATED,
        starts_at=min(part.starts_at for part in parts),
        ends_at=max(part.ends_at for part in parts),
        period_start=whole.period.start_on,
        period_end=whole.period.end_on,
        zone=whole.period.zone,
        currency=whole.currency,
        subtotal=whole.subtotal,
        discount=whole.discount,
        tax=whole.tax,
        tax_included=whole.tax_included,
        taxes=[tax.as_json() for tax in whole.taxes],
        total=whole.total,
        issuer=dict(whole.issuer),
        recipient=dict(whole.recipient),
        plan_name=whole.title,
        plan_code="",
        plan_version=0,
        watermark=whole.watermark,
        drawn_up_at=whole.drawn_up_at,
        issue_after=max(part.issue_after for part in parts),
    )


def invoice_texts(invoice: Invoice, shared: dict[int, str]) -> list[str]:
    """Write an invoice for COPY, as INVOICE_NAMES has it. `shared` keeps what many have written once, by identity."""
    values = invoice.__dict__
    texts = []
    for name in INVOICE_NAMES:
        value = values[name]
        if name not in INVOICE_JSON:
            texts.append(copied(value))
        elif name == "issuer":
            if id(value) not in shared:
                shared[id(value)] = copied_json(value)
            texts.append(shared[id(value)])
        else:
            texts.append(copied_json(value))
    return texts


def invoice_line(invoice: Invoice, line: DraftLine) -> InvoiceLine:
    """Give a line as it is stored with its invoice."""
    return InvoiceLine(
        invoice_id=invoice.pk,
        n=line.n,
        kind=line.kind,
        description=line.description,
        rate_id=line.rate_id,
        meter=line.meter,
        meter_definition=None if line.meter is None else line.meter.definition(),
        unit=line.unit,
        quantity=line.quantity,
        unit_amount=line.unit_amount,
        amount=line.amount,
        discount=line.discount,
        tax_category=line.tax_category,
        taxed_by=list(line.taxed_by),
        terms=dict(line.terms),
        working=[step.as_json() for step in line.working],
        period_start=line.period.start_on,
        period_end=line.period.end_on,
        adjusts_id=line.adjusts_id,
        adjustment_n=line.adjustment_n,
        adjusts_plan=line.adjusts_plan,
        subscription_id=line.subscription_id,
        fee_start=line.fee_start,
        fee_n=line.fee_n,
    )


# The columns of a line for COPY: its own, those that all lines of a rate and period share, those that few have.
LINE_NAMES = (
    "id", "invoice_id", "n", "quantity", "unit_amount", "amount", "discount", "taxed_by", "working",
    "kind", "description", "rate_id", "meter_id", "meter_definition", "unit", "tax_category", "terms",
    "period_start", "period_end",
    "adjusts_id", "adjustment_n", "adjusts_plan", "subscription_id", "fee_start", "fee_n",
)  # fmt: skip
ORDINARY = [NULL, NULL, "f", NULL, NULL, NULL]


class LineTexts:
    """Lines written for COPY, as LINE_NAMES has them. What the lines of a rate share is written once.

    Terms and meters are told apart by identity, so the drafts are to be kept until all is written.
    """

    def __init__(self) -> None:
        self._shared: dict[object, list[str]] = {}

    def of(self, pk: int, invoice_id: int, line: DraftLine) -> list[str]:
        meter, period = line.meter, line.period
        key = (
            id(line.terms), id(meter), line.kind, line.description, line.rate_id, line.unit, line.tax_category,
            period.start_on, period.end_on,
        )  # fmt: skip
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = [
                copied(str(line.kind)),
                copied(line.description),
                copied(line.rate_id),
                NULL if meter is None else str(meter.pk),
                NULL if meter is None else copied_json(meter.definition()),
                copied(line.unit),
                copied(str(line.tax_category)),
                copied_json(dict(line.terms)),
                str(period.start_on),
                str(period.end_on),
            ]
        few = ORDINARY
        if line.adjusts_id is not None or line.subscription_id is not None:
            few = [
                copied(line.adjusts_id),
                copied(line.adjustment_n),
                copied(line.adjusts_plan),
                copied(line.subscription_id),
                copied(line.fee_start),
                copied(line.fee_n),
            ]
        own = [
            str(pk),
            str(invoice_id),
            str(line.n),
            str(line.quantity),
            copied(line.unit_amount),
            str(line.amount),
            str(line.discount),
            copied(line.taxed_by),
            copied_json([step.as_json() for step in line.working]),
        ]
        return own + shared + few


def invoice_discount(invoice: Invoice, discount: DraftDiscount) -> InvoiceDiscount:
    """Give what a coupon took off as it is stored with its invoice."""
    return InvoiceDiscount(
        invoice=invoice,
        n=discount.n,
        customer_coupon_id=discount.customer_coupon_id,
        use_n=discount.use_n,
        name=discount.name,
        kind=discount.kind,
        value=discount.value,
        amount=discount.amount,
    )
