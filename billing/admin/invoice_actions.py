"""What can be done with an invoice: the words and the form of each action, what it would do, and doing it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone

from billing.admin.form_keys import KeyedForm
from billing.admin.settling_forms import (
    MoneyForm,
    PaymentForm,
    ReasonForm,
)
from billing.admin.statement import draft_rows, invoice_rows
from billing.approving import discard_draft, issue_draft, refreshed
from billing.collecting import record_payment, record_refund, reinstate, write_off
from billing.errors import BillingError, FiguresChanged
from billing.formatting import money
from billing.lifecycle import Action
from billing.models import Invoice, InvoiceKind, Payment, PaymentKind
from billing.moving import move_to_credits, preview_move
from billing.voiding import void_invoice

TITLES = {
    Action.ISSUE: "Issue {}",
    Action.DISCARD: "Discard {}",
    Action.PAY: "Record a payment for {}",
    Action.REFUND: "Record a refund for {}",
    Action.MOVE: "Move the credit balance of {} to credits",
    Action.WRITE_OFF: "Write off {}",
    Action.REINSTATE: "Take back the write-off of {}",
    Action.VOID: "Void {}",
}


PURPOSES = {
    Action.ISSUE: "It is drawn up once more from everything received, gets its number, and never changes again.",
    Action.DISCARD: "The draft is deleted. Nothing was sent, and no number is lost.",
    Action.PAY: "Money that came in for this invoice. A payment is never changed, only taken back with a reason.",
    Action.REFUND: "The credit balance, paid back to the customer.",
    Action.MOVE: "What the customer has paid or been credited too much becomes a credit, which pays its next invoices.",
    Action.WRITE_OFF: "What is still due is given up. It can be taken back while nothing else happens.",
    Action.REINSTATE: "The amount is due again.",
    Action.VOID: "Nothing is to be paid for it any more. Its number stays used, and its period can be billed again.",
}


BUTTONS = {
    Action.ISSUE: "Issue",
    Action.DISCARD: "Discard the draft",
    Action.PAY: "Record the payment",
    Action.REFUND: "Record the refund",
    Action.MOVE: "Move it",
    Action.WRITE_OFF: "Write off",
    Action.REINSTATE: "Take it back",
    Action.VOID: "Void the invoice",
}


DANGEROUS = (Action.DISCARD, Action.WRITE_OFF, Action.VOID)


class IssueForm(KeyedForm):
    expected = forms.DecimalField(widget=forms.HiddenInput, required=False)


class MoveForm(KeyedForm):
    expected = forms.DecimalField(widget=forms.HiddenInput)


def payment_words(payment: Payment) -> str:
    """Name a payment in the middle of a sentence: "a refund of $5.00 for INV-1"."""
    amount = money(abs(payment.amount), payment.currency)
    if payment.kind == PaymentKind.MOVED:
        return f"a move of {amount} from {payment.invoice} to credits"
    return f"a {payment.get_kind_display().lower()} of {amount} for {payment.invoice}"


def action_form(action: Action, invoice: Invoice, request: HttpRequest) -> forms.Form:
    """Give the form that an action asks for, filled in with what was sent."""
    data, now = request.POST or None, timezone.now()
    if action == Action.PAY:
        return PaymentForm(invoice, data, now=now)
    if action == Action.REFUND:
        return MoneyForm(invoice, data, now=now)
    if action in (Action.ISSUE, Action.DISCARD):
        return IssueForm(data)
    if action == Action.MOVE:
        return MoveForm(data)
    return ReasonForm(data)


def do_action(action: Action, invoice: Invoice, form: forms.Form, *, who: dict[str, Any]) -> str:
    """Do what a valid form asks for, and say what was done. Raises what the action refuses."""
    sent = dict(form.cleaned_data)
    key = sent.pop("key", "") or None
    match action:
        case Action.ISSUE:
            return f"{issue_draft(invoice, expected=sent['expected'], **who)} is issued."
        case Action.DISCARD:
            discard_draft(invoice)
            return "The draft is discarded."
        case Action.PAY:
            payment = record_payment(invoice, key=key, **sent, **who)
            return f"A payment of {money(payment.amount, payment.currency)} is recorded."
        case Action.REFUND:
            paid_on = sent.pop("received_on")
            payment = record_refund(invoice, paid_on=paid_on, key=key, **sent, **who)
            return f"A refund of {money(-payment.amount, payment.currency)} is recorded."
        case Action.MOVE:
            if sent["expected"] != -invoice.amount_due:
                raise FiguresChanged("The credit balance changed meanwhile. Look at the figures again.")
            grant = move_to_credits(invoice, amount=sent["expected"], key=key, **who)
            return f"{money(grant.amount, grant.currency)} is a credit of {invoice.customer} now."
        case Action.WRITE_OFF:
            write_off(invoice, **sent, **who)
            return f"{invoice} is written off."
        case Action.REINSTATE:
            reinstate(invoice, **sent, **who)
            return f"{invoice} is due again."
    void_invoice(invoice, **sent, **who)
    return f"{invoice} is void."


def as_issued(invoice: Invoice, form: forms.Form) -> dict[str, Any]:
    """Give the figures a draft would be issued with now."""
    if invoice.kind == InvoiceKind.ONE_OFF:
        total, rows = invoice.total, invoice_rows(invoice, invoice.lines.all())
    else:
        try:
            draft = refreshed(invoice, now=timezone.now())
        except BillingError as refused:
            return {"problem": refused.message}
        total, rows = draft.total, draft_rows(draft)
    form.initial["expected"] = total
    return {"lines": rows, "total": money(total, invoice.currency)}


def as_moved(invoice: Invoice, form: forms.Form) -> dict[str, Any]:
    """Give what moving the credit balance does to the invoice and to the customer's credits."""
    move = preview_move(invoice, now=timezone.now())
    form.initial["expected"] = move.amount

    def words(amount: Decimal) -> str:
        return money(amount, move.currency)

    return {
        "effect": [
            (f"Credit balance of {invoice}", words(move.amount), words(Decimal(0))),
            (f"Credits of {invoice.customer}", words(move.credits_before), words(move.credits_after)),
        ],
        "hint": "It is used before other credits and does not expire. To undo it, void the credit while it is unused. "
        "If a part is to be paid back, record that refund first.",
    }
