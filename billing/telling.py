"""What webhooks say of invoices, credit notes, plans and closes. Each function joins the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from billing.formatting import amount_text
from billing.models import CloseRun, CreditNote, Invoice, InvoiceStatus, Subscription
from billing.notifying import Announcement, announce, announce_all
from billing.webhook_types import WebhookType
from customers.lookups import Ids
from metering.periods import local_day

# An invoice that became overdue longer ago is not announced any more, as when an endpoint is new.
RECENT = timedelta(days=3)


# What is said of an invoice; what its documents freeze takes longer to read than all of this.
TOLD = (
    "number", "kind", "status", "customer__code", "plan_code", "currency", "total", "credits_applied", "amount_paid",
    "amount_credited", "amount_written_off", "period_start", "period_end", "issued_at", "due_on", "sequence",
)  # fmt: skip


def tell_issued(invoices: Sequence[Invoice], *, now: datetime) -> None:
    """Tell that invoices were issued, and of those with nothing left to pay that they are paid."""

    def rows() -> Iterable[Announcement]:
        stored = Invoice.objects.filter(pk__among=Ids(each.pk for each in invoices)).order_by("sequence")
        for invoice in stored.select_related("customer").only(*TOLD):
            yield _of_invoice(WebhookType.INVOICE_ISSUED, invoice)
            if invoice.status == InvoiceStatus.PAID:
                yield _of_invoice(WebhookType.INVOICE_PAID, invoice)

    announce_all([WebhookType.INVOICE_ISSUED, WebhookType.INVOICE_PAID], rows, now=now)


def tell_paid(invoice: Invoice, *, now: datetime) -> None:
    announce_all(
        [WebhookType.INVOICE_PAID], lambda: [_of_invoice(WebhookType.INVOICE_PAID, invoice)], now=now
    )


def tell_voided(invoice: Invoice, *, reason: str, now: datetime) -> None:
    announce_all(
        [WebhookType.INVOICE_VOIDED],
        lambda: [_of_invoice(WebhookType.INVOICE_VOIDED, invoice, reason=reason)],
        now=now,
    )


@transaction.atomic
def tell_overdue(*, now: datetime) -> None:
    """Tell each invoice once that is past its due day, by the calendar of its own zone."""

    def rows() -> Iterable[Announcement]:
        late = Invoice.objects.filter(
            Q(due_on__gte=(now - RECENT).date(), due_on__lt=(now + timedelta(days=1)).date()),
            status=InvoiceStatus.ISSUED,
        )
        for invoice in late.select_related("customer").order_by("id"):
            if invoice.due_on is not None and invoice.due_on < local_day(now, invoice.zone):
                yield _of_invoice(WebhookType.INVOICE_OVERDUE, invoice, key=f"{invoice.number}")

    announce_all([WebhookType.INVOICE_OVERDUE], rows, now=now)


def tell_credit_note(note: CreditNote, *, now: datetime) -> None:
    data = {
        "number": note.number,
        "invoice": note.invoice.number,
        "customer": note.invoice.customer.code,
        "currency": note.currency,
        "total": amount_text(note.total, note.currency),
        "tax": amount_text(note.tax, note.currency),
        "reason": note.reason,
        "issued_at": note.issued_at,
    }
    announce(WebhookType.CREDIT_NOTE_ISSUED, note.number, data, now=now)


def tell_subscription(
    subscription: Subscription,
    change: str,
    *,
    effective_on: date,
    following: Subscription | None = None,
    now: datetime,
) -> None:
    """Tell what was agreed: `assigned`, `ended`, or the kind of a change written down."""

    def rows() -> Iterable[Announcement]:
        stored = Subscription.objects.select_related("plan", "customer").get(pk=subscription.pk)
        plan, customer = stored.plan, stored.customer
        data = {
            "subscription": stored.pk,
            "customer": customer.code,
            "plan": plan.code,
            "plan_version": plan.version,
            "change": change,
            "effective_on": effective_on,
            "start_on": stored.start_on,
            "end_on": stored.end_on,
            "following": following.pk if following else None,
            "following_plan": following.plan.code if following else None,
        }
        yield Announcement(WebhookType.SUBSCRIPTION_CHANGED, f"{customer.code} {plan.code}", data)

    announce_all([WebhookType.SUBSCRIPTION_CHANGED], rows, now=now)


def tell_close(run: CloseRun, *, now: datetime) -> None:
    """Tell how a close ended. Amounts are sums of invoices by currency."""
    data = {
        "month": f"{run.month:%Y-%m}",
        "state": run.state,
        "issued": run.issued,
        "drafted": run.drafted,
        "held": run.held,
        "failed": run.failed,
        "unchanged": run.unchanged,
        "amounts": run.amounts,
        "refusal": run.refusal,
    }
    announce(WebhookType.CLOSE_FINISHED, f"{run.month:%Y-%m}", data, now=now)


def _of_invoice(kind: WebhookType, invoice: Invoice, *, key: str = "", **more: Any) -> Announcement:
    currency = invoice.currency
    data = {
        "number": invoice.number,
        "kind": invoice.kind,
        "status": invoice.status,
        "customer": invoice.customer.code,
        "plan": invoice.plan_code,
        "currency": currency,
        "total": amount_text(invoice.total, currency),
        "amount_due": amount_text(invoice.amount_due, currency),
        "period_start": invoice.period_start,
        "period_end": invoice.period_end,
        "issued_at": invoice.issued_at,
        "due_on": invoice.due_on,
        **more,
    }
    return Announcement(kind, invoice.number or "", data, key)
