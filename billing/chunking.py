"""Closing one chunk of customers: drawn up first, up to a watermark, then stored in one transaction.

What another closer stored meanwhile is left alone. A chunk that an error stops is halved until the customer that causes
it stands alone: that one is parked, the others are billed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import chain

from django.db import DatabaseError, InterfaceError, OperationalError

from billing.chunk_storing import live_invoices, store_together
from billing.close_reports import ChunkResult, CloseTerms, Failure
from billing.consolidating import is_billed_to_parent, shared_groups
from billing.drafts import DrawnUp, DuePeriod, customers_of
from billing.due_periods import periods_ending_in, starts_due
from billing.errors import BillingError, KeptChanging
from billing.holding import Review, review_drafts
from billing.invoice_rows import ends_grace
from billing.invoicing import draw_up
from billing.models import Invoice, InvoiceKind, InvoiceStatus, Plan, Subscription
from billing.parking import clear, park
from billing.placing import without_home
from billing.scanning import changed_line_ids, flagged_line_ids
from customers.lookups import Ids
from customers.models import Customer
from metering.ledger import place_batches

# PostgreSQL gave way to somebody else: a deadlock, or a transaction that could not be put in order.
GAVE_WAY = ("40P01", "40001")
TRIES = 10
log = logging.getLogger(__name__)


def close_chunk(subscription_ids: Sequence[int], terms: CloseTerms) -> ChunkResult:
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


def _parked(subscription_ids: Sequence[int], terms: CloseTerms, problem: Exception) -> ChunkResult:
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


def _close_together(ids: Sequence[int], terms: CloseTerms) -> ChunkResult:
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


def _counted(
    drawn: DrawnUp, stored: Sequence[Invoice], reviews: list[Review], terms: CloseTerms
) -> ChunkResult:
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


def _is_open(invoice: Invoice | None) -> bool:
    return invoice is None or invoice.status == InvoiceStatus.DRAFT
