"""Closing one chunk of customers: drawn up first, up to a watermark, then stored in one transaction.

What another closer stored meanwhile is left alone. A chunk that an error stops is halved until the customer that causes
it stands alone: that one is parked, the others are billed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, transaction

from billing.close_reports import ChunkResult, Failure
from billing.consolidating import is_billed_to_parent, shared_groups
from billing.drafts import ConsolidatedDraft, DrawnUp, DuePeriod, InvoiceDraft, InvoiceKey, customers_of
from billing.due_periods import periods_ending_in, starts_due
from billing.errors import BillingError, KeptChanging
from billing.holding import Review, review_drafts, save_reviews
from billing.invoice_rows import ends_grace
from billing.invoicing import draw_up
from billing.issuing import issue, issue_parts, issue_unwritten
from billing.line_settling import Settlement, settle_changes
from billing.models import Invoice, InvoiceKind, InvoiceStatus, Plan, Subscription
from billing.months import Month
from billing.parking import clear, park
from billing.placing import without_home
from billing.scanning import changed_line_ids, flagged_line_ids, scanned_up_to
from billing.storing import new_invoices, store_consolidated, store_invoices, store_lines
from billing.telling import tell_issued
from customers.lookups import Ids
from customers.models import Customer
from metering.ledger import place_batches

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
# PostgreSQL gave way to somebody else: a deadlock, or a transaction that could not be put in order.
GAVE_WAY = ("40P01", "40001")
TRIES = 10
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a month is closed. `grace_days` 0 issues at once; `dry_run` writes nothing."""

    month: Month
    now: datetime
    grace_days: int
    dry_run: bool


def close_chunk(subscription_ids: Sequence[int], terms: Terms) -> ChunkResult:
    """Bill some customers, each whole or not at all; those billed together all or none.

    The subscriptions of one customer, or of customers billed to the same parent, must not be in two chunks.

    Raises OperationalError when the database itself is not there; an error of one customer parks that one.
    """
    try:
        return _close_together(subscription_ids, terms)
    except (OperationalError, InterfaceError):
        raise
    except (
        Exception
    ) as problem:  # whatever it is, it is one customer's until the chunk is that customer alone
        halves = _halves(subscription_ids)
        if len(halves) == 1:
            return _parked(subscription_ids, terms, problem)
        log.warning("A chunk of %d subscriptions is halved: %s", len(subscription_ids), problem)
        whole = ChunkResult()
        for half in halves:
            whole.add(close_chunk(half, terms))
        return whole


def _halves(subscription_ids: Sequence[int]) -> list[list[int]]:
    """Give two halves of a chunk, customers billed together kept whole; one when they are all of it."""
    by_payer: dict[int, list[int]] = {}
    rows = Subscription.objects.filter(id__in=subscription_ids).select_related("customer")
    for row in rows.order_by("customer_id", "id"):
        by_payer.setdefault(row.customer.payer_id, []).append(row.pk)
    groups = list(by_payer.values())
    middle = len(groups) // 2
    halves = [list(chain.from_iterable(part)) for part in (groups[:middle], groups[middle:])]
    return [half for half in halves if half]


def _parked(subscription_ids: Sequence[int], terms: Terms, problem: Exception) -> ChunkResult:
    subscription = Subscription.objects.select_related("customer__parent").filter(id__in=subscription_ids)[0]
    customer = subscription.customer
    if is_billed_to_parent(customer) and customer.parent is not None:
        customer = customer.parent
    if isinstance(problem, BillingError):
        failure = Failure(customer, problem.code, problem.message)
    elif isinstance(problem, DatabaseError):
        said = str(problem).partition("\n")[0]
        failure = Failure(customer, "database_refused", f"{customer.name}: the database refused it: {said}")
        log.error("%s was not billed.", customer, exc_info=problem)
    else:
        said = f"{type(problem).__name__}: {problem}"
        failure = Failure(customer, "program_error", f"{customer.name}: the program failed ({said}).")
        log.error("%s was not billed.", customer, exc_info=problem)
    if not terms.dry_run:
        park([failure], terms.month, now=terms.now)
    return ChunkResult(failures=[failure])


def _close_together(ids: Sequence[int], terms: Terms) -> ChunkResult:
    month, now = terms.month, terms.now
    for _ in range(TRIES):
        subscriptions = list(
            Subscription.objects.filter(id__among=Ids(ids))
            .select_related("customer")
            .defer("created_at", "customer__created_at")  # instants take long to read
            .order_by("customer_id", "id")
        )
        plans = Plan.objects.in_bulk({subscription.plan_id for subscription in subscriptions})
        for subscription in subscriptions:  # one object for all that have it
            subscription.plan = plans[subscription.plan_id]
        ending = [
            due
            for subscription in subscriptions
            for due in periods_ending_in(subscription, first=month.first, last=month.following)
        ]
        over = [due for due in ending if due.period.is_over(now)]
        if shared := shared_groups(ending):
            # A consolidated invoice waits until its periods are over in every time zone.
            waiting = shared & {due.group for due in ending if not due.period.is_over(now)}
            over = [due for due in over if due.group not in waiting]
        not_over = len(ending) - len(over)
        over += [due for due in starts_due(subscriptions, now=now) if month.bills_start(due.period.start_on)]
        over += [
            due
            for due in without_home(subscriptions, month.first, month.following)
            if due.period.is_over(now)
        ]
        found = live_invoices(over)
        pending = [due for due in over if _is_open(found.get(due.key))]
        if not pending:
            if not terms.dry_run:
                clear(_with_payers(due.subscription.customer for due in over), month, now=now)
            return ChunkResult(unchanged=len(over), not_over=not_over)
        customers = {due.subscription.customer_id for due in pending}
        drawn = draw_up(
            pending,
            now=now,
            watermark=None if terms.dry_run else place_batches(),
            changed_lines=changed_line_ids(customers) if terms.dry_run else flagged_line_ids(customers),
            replaced=[invoice.pk for invoice in found.values() if invoice.status == InvoiceStatus.DRAFT],
        )
        failures = _first_per_customer(drawn.failures)
        failed = {failure.customer.payer_id for failure in failures}
        drafts = [draft for draft in drawn.drafts if draft.customer.payer_id not in failed]
        consolidated = [whole for whole in drawn.consolidated if whole.customer.pk not in failed]
        reviews = review_drafts(drafts, month)
        drawn_keys = {draft.due.key for draft in drafts}
        emptied = [
            found[due.key]
            for due in pending
            if due.kind == InvoiceKind.AT_START
            and due.key in found
            and due.key not in drawn_keys
            and due.subscription.customer.payer_id not in failed
        ]
        try:
            stored = (
                []
                if terms.dry_run
                else store_together(subscriptions, found, drafts, reviews, terms, emptied, consolidated)
            )
        except OperationalError as refused:
            if getattr(refused.__cause__, "sqlstate", None) not in GAVE_WAY:
                raise
            continue
        if stored is None:
            continue  # somebody changed these subscriptions or their invoices meanwhile: look again
        if not terms.dry_run:
            park(failures, month, now=now)
            billed = [due.subscription.customer for due in over]
            billed = [customer for customer in billed if customer.payer_id not in failed]
            clear(_with_payers(billed), month, now=now)
        result = _counted(DrawnUp(drafts, consolidated), stored, reviews, terms)
        result.failures += failures
        result.unchanged += len(over) - len(pending)
        result.not_over += not_over
        return result
    raise KeptChanging("Its plans or invoices kept changing while it was invoiced. Close the month again.")


def _with_payers(customers: Iterable[Customer]) -> set[int]:
    return {pk for customer in customers for pk in (customer.pk, customer.payer_id)}


def _first_per_customer(failures: Sequence[tuple[DuePeriod, BillingError]]) -> list[Failure]:
    """Name each customer with its first failure, and the parent whose consolidated invoice waits for it."""
    first: dict[int, Failure] = {}
    waiting: dict[int, Failure] = {}
    for due, problem in failures:
        customer = due.subscription.customer
        first.setdefault(customer.pk, Failure(customer, problem.code, problem.message))
        parent = customer.parent
        if parent is not None and is_billed_to_parent(customer):
            message = f"Its consolidated invoice waits for {customer.name}. {problem.message}"
            waiting.setdefault(parent.pk, Failure(parent, problem.code, message))
    return list((waiting | first).values())


def store_together(
    subscriptions: Sequence[Subscription],
    found: dict[InvoiceKey, Invoice],
    drafts: Sequence[InvoiceDraft],
    reviews: Sequence[Review] | None,
    terms: Terms,
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


def _counted(drawn: DrawnUp, stored: Sequence[Invoice], reviews: list[Review], terms: Terms) -> ChunkResult:
    grace = terms.grace_days
    held = {review.customer.pk for review in reviews if review.held}
    documents = drawn.documents
    ripe = [each for each in documents if not grace or ends_grace(each, grace_days=grace) <= terms.now]
    waiting = sum(1 for each in ripe if not held.isdisjoint(customers_of(each)))
    issued = len(ripe) - waiting
    assert terms.dry_run or issued == sum(1 for each in stored if each.status != InvoiceStatus.DRAFT)
    result = ChunkResult(
        drafts=documents, reviews=reviews, issued=issued, drafted=len(documents) - len(ripe), held=waiting
    )
    for each in documents:
        result.count_total(each.total, each.currency)
    return result


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


def _is_open(invoice: Invoice | None) -> bool:
    return invoice is None or invoice.status == InvoiceStatus.DRAFT


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
