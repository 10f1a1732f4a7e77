"""Storing a chunk of drawn-up invoices in one transaction, unless somebody changed what they follow from meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError, transaction

from billing.close_reports import CloseTerms
from billing.drafts import ConsolidatedDraft, DuePeriod, InvoiceDraft, InvoiceKey
from billing.holding import Review, save_reviews
from billing.issuing import issue, issue_parts, issue_unwritten
from billing.line_settling import Settlement, settle_changes
from billing.models import Invoice, InvoiceKind, InvoiceStatus, Subscription
from billing.scanning import scanned_up_to
from billing.storing import new_invoices, store_consolidated, store_invoices, store_lines
from billing.telling import tell_issued
from customers.lookups import Ids
from customers.models import Customer

# Constraints that refuse what another closer stored meanwhile.
RACES = (
    "invoice_one_live_per_period",
    "invoice_periods_never_overlap",
    "invoiceline_adjusted_once",
    "adjustment_settled_once",
    "invoicediscount_used_once",
    "invoiceline_fee_once",
    "invoice_part_placed_once",
)


def store_together(
    subscriptions: Sequence[Subscription],
    found: dict[InvoiceKey, Invoice],
    drafts: Sequence[InvoiceDraft],
    reviews: Sequence[Review] | None,
    terms: CloseTerms,
    emptied: Sequence[Invoice] = (),
    consolidated: Sequence[ConsolidatedDraft] = (),
) -> list[Invoice] | None:
    """Write a chunk in one transaction; None, with nothing written, when it is no longer what was drawn up.

    `consolidated` are the invoices that drafts with a place on one are part of. Gives the invoices that can be sent:
    those that are no parts. The drafts of customers that are held are stored and not issued, nor what they are part of.
    Without `reviews` nothing is held or looked at.
    `emptied` are drafts at the start that have nothing to say any more: they go.
    """
    if not drafts and not emptied:
        return []
    held = {review.customer.pk for review in reviews or () if review.held}
    customers = {draft.due.subscription.customer_id for draft in drafts}
    now, grace_days = terms.now, terms.grace_days
    ids = [subscription.pk for subscription in subscriptions]

    def is_ripe(invoice: Invoice) -> bool:
        return (invoice.issue_after <= now or not grace_days) and invoice.customer_id not in held

    try:
        with transaction.atomic():
            locked = Subscription.objects.select_for_update().filter(id__among=Ids(ids)).order_by("id")
            agreed = {row[0]: row for row in locked.values_list(*AGREED)}
            if drafts and scanned_up_to() > min(draft.watermark for draft in drafts):
                return None
            live = live_invoices([draft.due for draft in drafts], lock=True)
            if agreed != {s.id: _agreement(s) for s in subscriptions} or any(
                _state(live.get(draft.due.key)) != _state(found.get(draft.due.key)) for draft in drafts
            ):
                return None
            payment_days = _payment_days(subscriptions)
            if payment_days is None:
                return None
            Invoice.objects.filter(
                pk__in=[invoice.pk for invoice in emptied], status=InvoiceStatus.DRAFT
            ).delete()
            rows = new_invoices(drafts, existing=live, grace_days=grace_days)
            store_lines(rows, drafts, existing=live)
            numbers: dict[int, int] = {}
            if not (live or emptied or consolidated):  # as they usually are: issued as they are written
                numbers = issue_unwritten(
                    [row for row in rows if is_ripe(row)], payment_days=payment_days, now=now
                )
            store_invoices(rows, drafts, existing=live)
            wholes = store_consolidated(consolidated, rows, drafts, before=[*live.values(), *emptied])
            if reviews is not None:
                save_reviews(reviews, terms.month, looked_at=customers, now=now)
            held_wholes = {row.part_of_id for row in rows if row.customer_id in held}
            invoices = [row for row in rows if row.part_of_id is None] + wholes
            ripe = [invoice for invoice in invoices if is_ripe(invoice) and invoice.pk not in held_wholes]
            at_once = [invoice for invoice in ripe if invoice.status != InvoiceStatus.DRAFT]
            if at_once:
                tell_issued(at_once, now=now)
            drawn = [invoice for invoice in ripe if invoice.status == InvoiceStatus.DRAFT]
            issue(drawn, now=now, sequences=[numbers[row.pk] for row in drawn] if numbers else None)
            issue_parts([invoice for invoice in ripe if invoice.kind == InvoiceKind.CONSOLIDATED])
            issued = {invoice.pk for invoice in ripe}
            settle_changes(
                [
                    Settlement(line, row.pk, draft.watermark)
                    for row, draft in zip(rows, drafts, strict=True)
                    if (row.part_of_id or row.pk) in issued
                    for line in draft.examined
                ]
            )
    except IntegrityError as refused:
        if not any(name in str(refused) for name in RACES):
            raise
        return None
    return invoices


def live_invoices(due: Sequence[DuePeriod], *, lock: bool = False) -> dict[InvoiceKey, Invoice]:
    rows = Invoice.objects.filter(subscription__among=Ids({each.subscription.pk for each in due})).exclude(
        status=InvoiceStatus.VOID
    )
    rows = rows.only("subscription", "period_start", "kind", "status", "drawn_up_at", "part_of")
    if due:
        rows = rows.filter(period_start__gte=min(each.period.start_on for each in due))
    if lock:
        rows = rows.select_for_update().order_by("id")
    return {(row.subscription_id, row.period_start, row.kind): row for row in rows}


def _state(invoice: Invoice | None) -> object:
    return None if invoice is None else (invoice.pk, invoice.status, invoice.drawn_up_at)


# What an invoice follows from, beside events: with its key first.
AGREED = (
    "id", "plan_id", "start_on", "end_on", "anchor", "anchored_on", "quantity", "overrides", "revision",
)  # fmt: skip


def _payment_days(subscriptions: Sequence[Subscription]) -> dict[int, int | None] | None:
    """Give the days to pay of each customer; None where somebody else pays for one of them by now."""
    known = {each.customer_id: (each.customer.parent_id, each.customer.bill_to) for each in subscriptions}
    rows = Customer.objects.filter(pk__among=Ids(known)).values_list(
        "pk", "parent_id", "bill_to", "payment_days"
    )
    days: dict[int, int | None] = {}
    for pk, parent, bill_to, payment_days in rows:
        if known[pk] != (parent, bill_to):
            return None
        days[pk] = payment_days
    return days


def _agreement(subscription: Subscription) -> object:
    return tuple(getattr(subscription, name) for name in AGREED)
