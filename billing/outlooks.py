"""The coming invoices of a customer as they would be now, and what a change does to them.

`show_effect` makes the change, draws up the invoices with the functions that issue them, and takes it all back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction

from billing.drafts import DuePeriod, InvoiceDraft
from billing.due_periods import periods_ending_in, starts_due
from billing.models import (
    Invoice,
    InvoiceKind,
    InvoiceStatus,
    Subscription,
)
from billing.previewing import preview_due
from billing.subscription_periods import whole_period
from customers.models import Customer
from metering.periods import local_day


@dataclass(frozen=True, slots=True)
class Outlook:
    """The coming invoices of a customer, as they would be with what is known now, in the order they are due."""

    drafts: tuple[InvoiceDraft, ...]

    @property
    def total(self) -> Decimal:
        return sum((draft.total for draft in self.drafts), Decimal(0))


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does: the day it begins and the coming invoices before and after it."""

    effective_on: date
    currency: str
    before: Outlook
    after: Outlook

    @property
    def difference(self) -> Decimal:
        return self.after.total - self.before.total


def outlook(customer: Customer, *, now: datetime, until: date | None = None) -> Outlook:
    """Draw up the coming invoices: those at a start, of the last period, and of each with a day of today to `until`.

    Usage is what is committed now. Periods with an issued invoice are left out. Writes nothing; raises RatingFailed.
    """
    rows = list(
        Subscription.objects.filter(customer=customer)
        .select_related("customer", "plan")
        .order_by("start_on", "id")
    )
    rows = [row for row in rows if row.end_on is None or row.end_on > row.start_on]
    today = local_day(now, customer.timezone)
    horizon = max(today, until or today)
    due: list[DuePeriod] = []
    for row in rows:
        if row.start_on > horizon:
            continue
        first = whole_period(row, max(today, row.start_on)).start_on
        first = whole_period(row, max(first - timedelta(days=1), row.start_on)).start_on
        last = whole_period(row, max(horizon, row.start_on)).end_on
        due += periods_ending_in(row, first=first, last=last)
    ends = [each.period.end_on for each in due]
    due += starts_due(rows, now=now, until=max([horizon, *ends]))
    issued = set(
        Invoice.objects.filter(customer=customer)
        .exclude(status__in=(InvoiceStatus.DRAFT, InvoiceStatus.VOID))
        .values_list("subscription_id", "period_start", "kind")
    )
    drafts = preview_due([each for each in due if each.key not in issued], now=now)

    def place(draft: InvoiceDraft) -> tuple[date, bool]:
        return due_on(draft), draft.due.kind != InvoiceKind.AT_START

    return Outlook(tuple(sorted(drafts, key=place)))


def due_on(draft: InvoiceDraft) -> date:
    """Give the first day on which an invoice can be drawn up."""
    period = draft.due.period
    return period.start_on if draft.due.kind == InvoiceKind.AT_START else period.end_on


def show_effect(customer: Customer, change: Callable[[], date], *, now: datetime) -> Effect:
    """Make a change, draw up the coming invoices, and take everything back. `change` gives the day it begins.

    Raises what the change raises.
    """
    with transaction.atomic():
        sid = transaction.savepoint()
        day = change()
        after = outlook(customer, now=now, until=day)
        transaction.savepoint_rollback(sid)
    before = outlook(customer, now=now, until=day)
    return Effect(day, customer.currency, before, after)
