"""What the coming invoices would say, from everything committed. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from billing.drafts import DrawnUp, DuePeriod, InvoiceDraft
from billing.due_periods import starts_due
from billing.errors import NoSubscription
from billing.invoicing import draw_up
from billing.models import Invoice, InvoiceKind, InvoiceStatus, Subscription
from billing.scanning import changed_line_ids
from billing.spending import Owed, planned_credits
from billing.subscription_periods import whole_period
from metering.periods import Period, clip, local_day


def preview_invoice(
    subscription: Subscription, *, period: Period | None = None, now: datetime
) -> InvoiceDraft:
    """Compute the invoice of a period, the running one when none is named, from everything committed. Writes nothing.

    Raises NoSubscription when the subscription covers no day of it and RatingFailed when usage cannot be priced.
    """
    whole = period or whole_period(subscription, local_day(now, subscription.timezone))
    covered = clip(whole, start_on=subscription.start_on, end_on=subscription.end_on)
    if covered is None:
        raise NoSubscription(
            f"{subscription} does not cover {whole.start_on} to {whole.end_on}.",
            fields={"period": "Choose a period the subscription covers."},
        )
    due = [*starts_due([subscription], now=now), DuePeriod(subscription, covered)]
    return next(draft for draft in preview_due(due, now=now) if draft.due.kind == InvoiceKind.PERIODIC)


def preview_due(due: Sequence[DuePeriod], *, now: datetime) -> list[InvoiceDraft]:
    """Compute invoices of one customer from everything committed. Writes nothing. Raises RatingFailed."""
    drawn = draw_preview(due, now=now)
    if drawn.failures:
        raise drawn.failures[0][1]
    return with_credits(drawn.drafts, now=now)


def draw_preview(due: Sequence[DuePeriod], *, now: datetime) -> DrawnUp:
    """Compute invoices from everything committed, in place of stored drafts and before credits. Writes nothing."""
    customers = {each.subscription.customer_id for each in due}
    keys = {each.key for each in due}
    stored = Invoice.objects.filter(
        subscription__in={each.subscription.pk for each in due}, status=InvoiceStatus.DRAFT
    )
    replaced = [row.pk for row in stored if (row.subscription_id, row.period_start, row.kind) in keys]
    return draw_up(due, now=now, watermark=None, changed_lines=changed_line_ids(customers), replaced=replaced)


def with_credits(
    drafts: Sequence[InvoiceDraft], *, now: datetime, in_turn: bool = False
) -> list[InvoiceDraft]:
    """Add the credits that each draft would use if it were the one issued now; none to parts. Writes nothing.

    `in_turn`: if they were all issued now, in this order, so that none takes what another took.
    """
    own = [draft for draft in drafts if draft.part_n is None]
    owed = [Owed(draft.due.subscription.customer_id, draft.currency, draft.total) for draft in own]
    planned = planned_credits(owed, now=now, in_turn=in_turn)
    by_key = {draft.due.key: each for draft, each in zip(own, planned, strict=True)}
    return [
        draft
        if (each := by_key.get(draft.due.key)) is None
        else replace(draft, credits_applied=each.applied, credits=each.credits)
        for draft in drafts
    ]
