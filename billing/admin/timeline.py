"""What was agreed with a customer, when and by whom, and the invoices that come next, as a page shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from billing.consolidating import is_billed_to_parent
from billing.drafts import InvoiceDraft
from billing.formatting import day, money, quantity_of
from billing.formatting import period as days_words
from billing.models import AgreementKind, InvoiceKind, Subscription, SubscriptionChange
from billing.outlooks import Effect, Outlook, due_on
from billing.undoing import undo_problem
from metering.periods import local_day

SHOWN = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was agreed. `undoable` is the change that may be taken back; `state` is planned or taken back."""

    on: date
    what: str
    by: str
    at: datetime | None
    reason: str
    state: str
    subscription: Subscription
    undoable: SubscriptionChange | None = None


@dataclass(frozen=True, slots=True)
class ComingLine:
    """A line in words. `days` are said where they are not those of the invoice."""

    description: str
    days: str
    amount: str


@dataclass(frozen=True, slots=True)
class ComingInvoice:
    """An invoice that will be drawn up, in words."""

    on: date
    title: str
    days: str
    lines: list[ComingLine]
    total: str


def coming_invoices(outlook: Outlook) -> list[ComingInvoice]:
    """Give the coming invoices in the order they are due."""
    return [
        ComingInvoice(
            on=due_on(draft),
            title=str(draft.due.subscription.plan)
            + (", at the start" if draft.due.kind == InvoiceKind.AT_START else "")
            + _paid_by(draft),
            days=days_words(draft.due.period.start_on, draft.due.period.end_on),
            lines=[
                ComingLine(
                    line.description,
                    ""
                    if line.period == draft.due.period
                    else days_words(line.period.start_on, line.period.end_on),
                    money(line.amount, draft.currency),
                )
                for line in draft.lines
            ],
            total=money(draft.total, draft.currency),
        )
        for draft in outlook.drafts
    ]


def _paid_by(draft: InvoiceDraft) -> str:
    parent = draft.customer.parent if is_billed_to_parent(draft.customer) else None
    return "" if parent is None else f", before tax, on the invoice of {parent.name}"


def effect_words(effect: Effect) -> dict[str, Any]:
    """Give what the page of a change shows: the difference, and the coming invoices before and after."""
    more = effect.difference
    if not more and not effect.before.drafts:
        says = "With the usage so far, there is nothing to bill yet."
    elif not more:
        says = "With the usage so far, the coming invoices come to the same."
    else:
        amount = money(abs(more), effect.currency)
        says = f"{amount} {'more' if more > 0 else 'less'} on the coming invoices"
    return {
        "on": effect.effective_on,
        "says": says,
        "columns": [
            (
                "Without the change",
                coming_invoices(effect.before),
                money(effect.before.total, effect.currency),
            ),
            ("With the change", coming_invoices(effect.after), money(effect.after.total, effect.currency)),
        ],
    }


def timeline(subscriptions: Iterable[Subscription], *, now: datetime) -> list[Entry]:
    """Give what was agreed about these subscriptions, the latest day first. Plans are loaded."""
    rows = {row.pk: row for row in subscriptions}
    begun = {
        row.id: row
        for row in Subscription.history.model.objects.filter(id__in=rows, history_type="+").select_related(
            "history_user"
        )
    }
    changes = list(
        SubscriptionChange.objects.filter(subscription__in=rows)
        .select_related("subscription__plan", "following__plan", "undone_by")
        .order_by("-id")
    )
    continued = {change.following_id for change in changes if change.following_id}
    entries = [_change(change, now=now) for change in changes if change.kind != AgreementKind.UNDO]
    for pk, row in rows.items():
        if pk not in continued:
            entries.append(_start(row, begun.get(pk), now=now))
        if row.trial_end_on is not None and (row.end_on is None or row.trial_end_on < row.end_on):
            free = " and usage is charged" if row.trial_usage_free else ""
            what = f"Trial of {row.plan} ends: fixed fees begin{free}"
            state = "planned" if row.trial_end_on > local_day(now, row.timezone) else ""
            entries.append(Entry(row.trial_end_on, what, "", None, "", state, row))
    return sorted(entries, key=lambda each: each.on, reverse=True)[:SHOWN]


def _start(row: Subscription, begun: Any, *, now: datetime) -> Entry:
    seats = "" if row.quantity == 1 else f", {quantity_of(row.quantity, 'seat')}"  # type: ignore[arg-type]
    user = getattr(begun, "history_user", None)
    by = (
        (user.get_full_name() or user.get_username())
        if user
        else getattr(begun, "history_change_reason", "") or ""
    )
    state = "planned" if row.start_on > local_day(now, row.timezone) else ""
    return Entry(row.start_on, f"{row.plan} begins{seats}", by, row.created_at, "", state, row)


def _change(change: SubscriptionChange, *, now: datetime) -> Entry:
    row = change.subscription
    undone = getattr(change, "undone_by", None)
    state, undoable = "", None
    if undone is not None:
        state = "taken back"
    else:
        if change.effective_on > local_day(now, row.timezone):
            state = "planned"
        undoable = None if undo_problem(change) else change
    by = change.made_by
    reason = change.reason
    if undone is not None:
        by = f"{by}; taken back by {undone.made_by or 'somebody'}"
        reason = "; ".join(filter(None, (reason, undone.reason)))
    return Entry(change.effective_on, what_happened(change), by, change.made_at, reason, state, row, undoable)


def what_happened(change: SubscriptionChange) -> str:
    """Say a change in a sentence."""
    plan = change.subscription.plan
    match change.kind:
        case AgreementKind.PLAN:
            assert change.following is not None
            return f"{plan} goes on as {change.following.plan}"
        case AgreementKind.REACTIVATE:
            assert change.following is not None
            return f"{change.following.plan} begins again"
        case AgreementKind.QUANTITY:
            return f"{plan} has {change.quantity} seats"
        case AgreementKind.PAUSE:
            until = f"until before {day(change.until_on)}" if change.until_on else "until it is resumed"
            return f"{plan} is paused {until}"
        case AgreementKind.RESUME:
            return f"{plan} is resumed"
        case AgreementKind.CANCEL:
            return f"{plan} ends before this day"
    return change.get_kind_display()
