"""Which state an invoice is in and what a person may do next. Every screen and the API ask here, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal

from django.db import models
from django.db.models import F, Q, QuerySet

from billing.errors import NotInThisState
from billing.models import Invoice, InvoiceKind, InvoiceStatus
from billing.models.invoices import SETTLED
from metering.periods import local_day


class State(models.TextChoices):
    """A status as people say it: overdue, partly paid and credited follow from the figures and the calendar."""

    DRAFT = "draft", "Draft"
    OPEN = "open", "Open"
    PARTLY_PAID = "partly_paid", "Partly paid"
    OVERDUE = "overdue", "Overdue"
    PAID = "paid", "Paid"
    CREDITED = "credited", "Credited"
    OVERPAID = "overpaid", "Credit balance"
    WRITTEN_OFF = "written_off", "Written off"
    VOID = "void", "Void"
    PART = "part", "On a consolidated invoice"


class Action(models.TextChoices):
    """What can be done with an invoice, as its button says."""

    ISSUE = "issue", "Issue"
    DISCARD = "discard", "Discard"
    PAY = "pay", "Record a payment"
    CREDIT = "credit", "Credit note"
    REFUND = "refund", "Record a refund"
    MOVE = "move", "Move to credits"
    REVERSE = "reverse", "Take back a payment"
    WRITE_OFF = "write_off", "Write off"
    REINSTATE = "reinstate", "Take back the write-off"
    VOID = "void", "Void"


def customer_state(state: State) -> str:
    """Say a state to the customer: what was written off is closed for them, and why is the company's own affair."""
    return {State.OPEN: "To pay", State.WRITTEN_OFF: "Closed"}.get(state, str(state.label))


def state_of(invoice: Invoice, *, now: datetime) -> State:
    """Give the state of an invoice on a day of its own zone."""
    if invoice.status == InvoiceStatus.ISSUED:
        if invoice.due_on is not None and invoice.due_on < local_day(now, invoice.zone):
            return State.OVERDUE
        return State.PARTLY_PAID if invoice.amount_due < invoice.total else State.OPEN
    if invoice.status == InvoiceStatus.PAID:
        if invoice.amount_due < 0:
            return State.OVERPAID
        fully_credited = invoice.amount_credited == invoice.total and invoice.total > 0
        return State.CREDITED if fully_credited else State.PAID
    return State(invoice.status)


def told_state(invoice: Invoice, *, now: datetime) -> str:
    """Say the state of an invoice to its customer: who paid nothing of it did not pay it in part."""
    state = state_of(invoice, now=now)
    if state == State.PARTLY_PAID and invoice.amount_paid <= 0 and invoice.credits_applied <= 0:
        state = State.OPEN
    return customer_state(state)


def days_overdue(invoice: Invoice, *, now: datetime) -> int:
    """Give how many days an unpaid invoice is past its due day; 0 when it is not."""
    if invoice.status != InvoiceStatus.ISSUED or invoice.due_on is None:
        return 0
    return max((local_day(now, invoice.zone) - invoice.due_on).days, 0)


def in_state(invoices: QuerySet[Invoice], state: State, *, today: date) -> QuerySet[Invoice]:
    """Choose invoices by state, as `state_of` says; `today` stands for the day in every zone."""
    match state:
        case State.OPEN:
            return invoices.filter(
                Q(due_on=None) | Q(due_on__gte=today),
                status=InvoiceStatus.ISSUED, credits_applied=0, amount_paid=0, amount_credited=0,
            )  # fmt: skip
        case State.PARTLY_PAID:
            some = ~Q(credits_applied=0) | ~Q(amount_paid=0) | ~Q(amount_credited=0)
            return invoices.filter(some, Q(due_on=None) | Q(due_on__gte=today), status=InvoiceStatus.ISSUED)
        case State.OVERDUE:
            return invoices.filter(status=InvoiceStatus.ISSUED, due_on__lt=today)
        case State.OVERPAID:
            return invoices.filter(status=InvoiceStatus.PAID, total__lt=SETTLED)
        case State.CREDITED:
            fully = Q(amount_credited=F("total"), total__gt=0)
            return invoices.filter(fully, status=InvoiceStatus.PAID, total=SETTLED)
        case State.PAID:
            fully = Q(amount_credited=F("total"), total__gt=0)
            return invoices.filter(status=InvoiceStatus.PAID, total=SETTLED).exclude(fully)
    return invoices.filter(status=state.value)


def refusal(invoice: Invoice, action: Action) -> str:
    """Say why an action is not open to an invoice, and what is; nothing when it is open."""
    if invoice.part_of_id is not None:
        return f"{_name(invoice)} is part of a consolidated invoice. Do it there, for all of its parts."
    return _RULES[action](invoice)


def open_actions(invoice: Invoice) -> list[Action]:
    """Give what a person may do with an invoice now, in the order in which pages offer it."""
    return [action for action in Action if not refusal(invoice, action)]


def require_open(invoice: Invoice, action: Action) -> None:
    """Raise NotInThisState unless an action is open to an invoice."""
    if told := refusal(invoice, action):
        raise NotInThisState(told)


def _name(invoice: Invoice) -> str:
    return f"Invoice {invoice.number}" if invoice.number else "This draft"


def _issue(invoice: Invoice) -> str:
    if invoice.status == InvoiceStatus.DRAFT:
        return ""
    return f"{_name(invoice)} is issued already; nothing in it can change."


def _discard(invoice: Invoice) -> str:
    if invoice.status != InvoiceStatus.DRAFT:
        return f"{_name(invoice)} is issued and stays. Void it, or write a credit note."
    if invoice.kind != InvoiceKind.ONE_OFF:
        return "The draft of a billing period is drawn up again by the next close; end the plan instead."
    return ""


def _live(invoice: Invoice) -> str:
    if invoice.status == InvoiceStatus.DRAFT:
        return "This is a draft: issue it first."
    if invoice.status == InvoiceStatus.VOID:
        return f"{_name(invoice)} is void: nothing is to pay for it."
    if invoice.status == InvoiceStatus.WRITTEN_OFF:
        return f"{_name(invoice)} is written off. Take the write-off back first."
    return ""


def _credit(invoice: Invoice) -> str:
    if told := _live(invoice):
        return told
    if invoice.total <= 0 or invoice.amount_credited >= invoice.total:
        return f"{_name(invoice)} has nothing left to credit."
    return ""


def _refund(invoice: Invoice) -> str:
    if told := _live(invoice):
        return told
    return "" if invoice.amount_due < 0 else f"{_name(invoice)} has no credit balance to pay back."


def _move(invoice: Invoice) -> str:
    if told := _live(invoice):
        return told
    return "" if invoice.amount_due < 0 else f"{_name(invoice)} has no credit balance to move."


def _write_off(invoice: Invoice) -> str:
    if told := _live(invoice):
        return told
    return (
        ""
        if invoice.amount_due > 0
        else f"Nothing is due on {_name(invoice)[0].lower()}{_name(invoice)[1:]}."
    )


def _reinstate(invoice: Invoice) -> str:
    return "" if invoice.status == InvoiceStatus.WRITTEN_OFF else f"{_name(invoice)} is not written off."


def _void(invoice: Invoice) -> str:
    if told := _live(invoice):
        return told
    if invoice.amount_paid:
        return f"{_name(invoice)} has payments. Take them back first, or write a credit note."
    if invoice.amount_credited:
        return f"{_name(invoice)} has credit notes. Credit the rest instead."
    return ""


_RULES: dict[Action, Callable[[Invoice], str]] = {
    Action.ISSUE: _issue,
    Action.DISCARD: _discard,
    Action.PAY: _live,
    Action.CREDIT: _credit,
    Action.REFUND: _refund,
    Action.MOVE: _move,
    Action.REVERSE: _live,
    Action.WRITE_OFF: _write_off,
    Action.REINSTATE: _reinstate,
    Action.VOID: _void,
}


def is_settled(amount_due: Decimal) -> bool:
    """Tell whether an issued invoice counts as paid: exactly when nothing is due."""
    return amount_due <= 0
