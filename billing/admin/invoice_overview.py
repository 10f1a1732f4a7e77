"""What an invoice's page shows beside its lines: what may be done next, money in and out, and how it came to this."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from billing.formatting import day, money, period
from billing.lifecycle import Action, State, days_overdue, open_actions, state_of
from billing.models import (
    ChangeKind,
    CloseRun,
    CreditNote,
    Delivery,
    Invoice,
    InvoiceStatus,
    MailState,
    Payment,
    PaymentKind,
)
from billing.months import Month
from billing.parts import parts_of
from metering.periods import local_day

NO_WORKER = timedelta(minutes=5)  # the worker looks each minute
# Who may do what: recording money is daily work, correcting an invoice commits the company.
PERMISSIONS = {
    Action.ISSUE: "billing.issue_invoice",
    Action.DISCARD: "billing.issue_invoice",
    Action.PAY: "billing.settle_invoice",
    Action.REFUND: "billing.settle_invoice",
    Action.MOVE: "billing.settle_invoice",
    Action.REVERSE: "billing.settle_invoice",
    Action.CREDIT: "billing.correct_invoice",
    Action.WRITE_OFF: "billing.correct_invoice",
    Action.REINSTATE: "billing.correct_invoice",
    Action.VOID: "billing.correct_invoice",
}
STATE_COLOURS = {
    State.DRAFT: "warn",
    State.OPEN: "info",
    State.PARTLY_PAID: "info",
    State.OVERDUE: "bad",
    State.PAID: "good",
    State.CREDITED: "good",
    State.OVERPAID: "warn",
    State.WRITTEN_OFF: "bad",
    State.VOID: "bad",
    State.PART: "info",
}


def invoice_page(invoice: Invoice, request: HttpRequest, *, now: datetime) -> dict[str, Any]:
    """Give state, buttons, sums, payments, credit notes and the timeline of an invoice."""
    payments = list(invoice.payments.select_related("reversal"))
    notes = list(invoice.credit_notes.all())
    state = state_of(invoice, now=now)
    return {
        "state": state.label,
        "state_colour": STATE_COLOURS[state],
        "late": days_overdue(invoice, now=now),
        "buttons": _buttons(invoice, request),
        "doubtful": [
            mail for mail in invoice.deliveries.all() if mail.state in (MailState.UNSURE, MailState.FAILED)
        ],
        "untaken": [mail for mail in invoice.deliveries.all() if _is_untaken(mail, now=now)],
        "sums": _sums(invoice),
        "parts": [_part(part) for part in parts_of(invoice)],
        "whole": invoice.part_of,
        "payments": [_payment(payment, invoice, request) for payment in payments],
        "notes": [
            {
                "note": note,
                "on": day(local_day(note.issued_at, note.zone)),
                "total": money(note.total, note.currency),
            }
            for note in notes
        ],
        "timeline": sorted(_timeline(invoice, payments, notes), key=lambda step: step["at"]),
    }


def _is_untaken(mail: Delivery, *, now: datetime) -> bool:
    """Whether no worker has looked at the mail for so long that none seems to run."""
    return mail.state == MailState.QUEUED and not mail.attempts and now - mail.requested_at > NO_WORKER


def _part(part: Invoice) -> dict[str, Any]:
    return {
        "part": part,
        "subtotal": money(part.subtotal, part.currency),
        "discount": money(-part.discount, part.currency) if part.discount else "",
        "days": period(part.period_start, part.period_end),
    }


def _buttons(invoice: Invoice, request: HttpRequest) -> list[dict[str, Any]]:
    """Give the actions that are open to the invoice and allowed to the person."""
    offered = [
        action
        for action in open_actions(invoice)
        if action != Action.REVERSE and request.user.has_perm(PERMISSIONS[action])
    ]
    return [
        {
            "label": f"{action.label}…",
            "url": reverse("admin:billing_invoice_credit", args=[invoice.pk])
            if action == Action.CREDIT
            else reverse("admin:billing_invoice_do", args=[invoice.pk, action.value]),
            "primary": action == Action.ISSUE
            or (action == Action.REFUND and invoice.amount_due < 0)
            or (action == Action.PAY and invoice.amount_due > 0),
        }
        for action in offered
    ]


def _sums(invoice: Invoice) -> list[tuple[str, str]]:
    if invoice.status == InvoiceStatus.DRAFT or invoice.part_of_id is not None:
        return []
    rows = (
        ("Paid from credits", invoice.credits_applied),
        ("Paid", invoice.amount_paid),
        ("Credited", invoice.amount_credited),
        ("Written off", invoice.amount_written_off),
    )
    taken = [(name, money(amount, invoice.currency)) for name, amount in rows if amount]
    if invoice.status == InvoiceStatus.VOID:
        return taken
    due = invoice.amount_due
    return [*taken, ("Credit balance" if due < 0 else "Amount due", money(abs(due), invoice.currency))]


def _payment(payment: Payment, invoice: Invoice, request: HttpRequest) -> dict[str, Any]:
    reversed_by = getattr(payment, "reversal", None)
    may = (
        payment.kind != PaymentKind.REVERSAL
        and reversed_by is None
        and Action.REVERSE in open_actions(invoice)
        and request.user.has_perm(PERMISSIONS[Action.REVERSE])
    )
    return {
        "row": payment,
        "on": day(payment.received_on),
        "amount": money(payment.amount, payment.currency),
        "note": payment.reason or payment.reference,
        "taken_back": reversed_by is not None,
        "reverse_url": reverse("admin:billing_invoice_reverse", args=[invoice.pk, payment.pk]) if may else "",
    }


def _closers(invoice: Invoice) -> dict[datetime, str]:
    """Give who closed the month, by the moment: a close draws up and issues all its invoices as of its start."""
    moments = [moment for moment in (invoice.drawn_up_at, invoice.issued_at) if moment is not None]
    runs = CloseRun.objects.filter(started_at__in=moments, dry_run=False).select_related("started_by")
    return {
        run.started_at: f"{run.started_by or run.get_entrance_display()} (close of {Month.of(run.month).name})"
        for run in runs
        if run.started_at is not None
    }


def _timeline(
    invoice: Invoice, payments: Iterable[Payment], notes: Iterable[CreditNote]
) -> Iterable[dict[str, Any]]:
    def step(at: datetime, what: str, by: str = "", why: str = "") -> dict[str, Any]:
        return {"at": at, "what": what, "by": by, "why": why}

    def written(amount: Decimal) -> str:
        return money(abs(amount), invoice.currency)

    closed_by = _closers(invoice)
    yield step(invoice.drawn_up_at, "Drawn up", closed_by.get(invoice.drawn_up_at, ""))
    changes = list(invoice.changes.all())
    approved = next((change for change in changes if change.kind == ChangeKind.APPROVED), None)
    if invoice.issued_at is not None:
        by = approved.recorded_by if approved else closed_by.get(invoice.issued_at, "")
        yield step(invoice.issued_at, f"Issued as {invoice.number}", by)
    for change in changes:
        if change.kind != ChangeKind.APPROVED:
            amount = f": {written(change.amount)}" if change.amount else ""
            yield step(
                change.recorded_at, f"{change.get_kind_display()}{amount}", change.recorded_by, change.reason
            )
    for payment in payments:
        what = f"{payment.get_kind_display()} of {written(payment.amount)}"
        yield step(payment.recorded_at, what, payment.recorded_by, payment.reason or payment.reference)
    for mail in invoice.deliveries.all():
        told = mail.error if mail.state != MailState.SENT else ""
        yield step(
            mail.sent_at or mail.requested_at,
            f"{mail} ({mail.get_state_display().lower()})",
            mail.requested_by,
            told,
        )
    for note in notes:
        what = f"Credit note {note.number} over {written(note.total)}"
        yield step(note.issued_at, what, note.recorded_by, note.reason)
