"""Closing a month: one invoice per subscription and period, in chunks, safe to run again or twice at once.

Closers that run at once share the chunks; what a killed one left undone is done by the next. See billing.chunking for
what happens to one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from django.db.models import BigIntegerField, Case, Exists, F, OuterRef, Q, QuerySet, When

from billing.chunking import close_chunk
from billing.claiming import claim
from billing.close_reports import ChunkResult, CloseReport, CloseTerms
from billing.drafts import DuePeriod
from billing.due_periods import periods_ending_in
from billing.errors import PeriodNotOver
from billing.models import ChangedLine, Invoice, InvoiceKind, InvoiceStatus, Rate, RateKind, Subscription
from billing.months import Month
from billing.processes import default_processes, share_with_processes
from billing.scanning import scan_changes
from customers.models import BillTo, Customer
from metering.releasing import release_unmatched

CHUNK = 1_000
# Below so many subscriptions, starting processes takes longer than it saves.
WORTH_PROCESSES = 2_000
# The first time zone to reach a new month is UTC+14.
EARLIEST_ZONE = timedelta(hours=14)

# Who pays for a subscription: the parent of a customer that is billed to it.
PAYER = Case(
    When(customer__bill_to=BillTo.PARENT, then=F("customer__parent")),
    default=F("customer"),
    output_field=BigIntegerField(),
)

OnChunk = Callable[[ChunkResult, CloseReport], None]


def close_period(
    month: Month,
    *,
    now: datetime,
    grace_days: int,
    customer_codes: Sequence[str] = (),
    dry_run: bool = False,
    closers: int | None = 1,
    on_chunk: OnChunk | None = None,
) -> CloseReport:
    """Invoice every billing period that ends in a month. `grace_days` 0 issues at once; else drafts wait that long.

    Raises PeriodNotOver when the month is not over for anybody. Rerunning changes nothing that is issued; drafts are
    drawn up again and issued once their grace days are over. A customer that cannot be billed is parked and in the
    report; it costs no other. `on_chunk` gets each chunk and the report so far; `closers` above 1 are as many
    processes with this one, which share the chunks and give no drafts; None: as many as there are processors, where it
    is worth it. `dry_run` writes nothing and shares nothing.
    """
    if now + EARLIEST_ZONE < datetime(month.following.year, month.following.month, 1, tzinfo=UTC):
        raise PeriodNotOver(
            f"{month.name} is not over yet. It can be closed from {month.following} on.",
            fields={"month": "Choose a month that is over."},
        )
    if not dry_run:
        release_unmatched(now=now)
        scan_changes(now=now)
    terms = CloseTerms(month, now, grace_days, dry_run)
    chunks = _chunks(month, customer_codes)
    report = CloseReport(month, dry_run, total=sum(map(len, chunks)))

    if closers is None:
        closers = default_processes() if report.total >= WORTH_PROCESSES else 1
    results = (
        ((chunk, close_chunk(chunk, terms)) for chunk in chunks)
        if dry_run
        else _share(chunks, terms, closers)
    )
    for chunk, result in results:
        report.add(result, subscriptions=len(chunk))
        if on_chunk is not None:
            on_chunk(result, report)
    if report.found_nothing_over:
        raise PeriodNotOver(
            f"{month.name} is not over yet in the time zone of any customer with a plan.",
            fields={"month": "Choose a month that is over."},
        )
    return report


def count_subscriptions(month: Month) -> int:
    """Give how many subscriptions a close of the month looks at."""
    return _subscriptions(month, ()).count()


def uninvoiced_before(month: Month, *, customer_codes: Sequence[str] = ()) -> list[DuePeriod]:
    """Give the periods that ended before a month and have no invoice, oldest first: they need a close of their own."""
    rows = Subscription.objects.filter(start_on__lt=month.first).select_related("customer", "plan")
    if customer_codes:
        rows = rows.filter(customer__code__in=customer_codes)
    invoiced = set(
        Invoice.objects.filter(
            subscription__in=rows.values("id"), period_start__lt=month.first, kind=InvoiceKind.PERIODIC
        )
        .exclude(status=InvoiceStatus.VOID)
        .values_list("subscription_id", "period_start")
    )
    missing = [
        due
        for subscription in rows
        for due in periods_ending_in(subscription, first=subscription.start_on, last=month.first)
        if (subscription.pk, due.period.start_on) not in invoiced
    ]
    return sorted(missing, key=lambda due: (due.period.end_on, due.subscription.pk))


def _share(
    chunks: Sequence[Sequence[int]], terms: CloseTerms, closers: int
) -> Iterator[tuple[Sequence[int], ChunkResult]]:
    """Close the chunks that no other closer has claimed, then those of the others: done, unless they were killed."""
    closers = min(closers, len(chunks))
    results: Iterator[tuple[int, ChunkResult | None]]
    if closers > 1:
        items = [(chunk, terms) for chunk in chunks]
        results = share_with_processes(close_apart, items, processes=closers)
    else:
        results = ((n, close_claimed(chunk, terms, wait=False)) for n, chunk in enumerate(chunks))
    later = []
    for place, result in results:
        if result is None:
            later.append(chunks[place])
        else:
            yield chunks[place], result
    for chunk in later:
        result = close_claimed(chunk, terms, wait=True)
        assert result is not None  # it waited for the claim
        yield chunk, result


def close_claimed(chunk: Sequence[int], terms: CloseTerms, *, wait: bool) -> ChunkResult | None:
    """Close a chunk once it is claimed; None when another closer has it and it is not to wait."""
    with claim(f"close {terms.month} {chunk[0]}", wait=wait) as mine:
        return close_chunk(chunk, terms) if mine else None


def close_apart(item: tuple[Sequence[int], CloseTerms]) -> ChunkResult | None:
    """Close a chunk as one of several processes; what it drew up stays there, the counts come back."""
    result = close_claimed(*item, wait=False)
    return None if result is None else result.without_drafts()


def _chunks(month: Month, customer_codes: Sequence[str]) -> list[list[int]]:
    """Give the subscriptions of the month in chunks that keep each customer whole, and those billed together."""
    chunks: list[list[int]] = []
    last = None
    rows = (
        _subscriptions(month, customer_codes)
        .annotate(payer=PAYER)
        .order_by("payer", "customer_id", "id")
        .values_list("payer", "id")
    )
    for payer, pk in rows.iterator(chunk_size=10_000):
        if not chunks or (len(chunks[-1]) >= CHUNK and payer != last):
            chunks.append([])
        chunks[-1].append(pk)
        last = payer
    return chunks


def _subscriptions(month: Month, customer_codes: Sequence[str]) -> QuerySet[Subscription]:
    """Give the subscriptions that have a day in the month, ended ones with changes still to settle, and those that
    began since and are invoiced at their start. Whoever is billed together with a customer named comes with it.
    """
    changed = ChangedLine.objects.values("line__invoice__subscription")
    begun_since = Q(
        Exists(
            Rate.objects.filter(plan=OuterRef("plan"), kind=RateKind.SUBSCRIPTION, terms__timing="at_start")
        ),
        start_on__lt=Month.of(month.following).following,
    )
    rows = Subscription.objects.filter(
        Q(end_on=None) | Q(end_on__gt=month.first) | Q(id__in=changed),
        Q(start_on__lt=month.following) | begun_since,
    )
    if customer_codes:
        payers = {customer.payer_id for customer in Customer.objects.filter(code__in=customer_codes)}
        rows = rows.annotate(payer=PAYER).filter(payer__in=payers)
    return rows
