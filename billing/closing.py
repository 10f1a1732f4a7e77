"""Closing a month: one invoice per subscription and period, in chunks, safe to run again or twice at once.

Each chunk is drawn up first, up to a watermark, and then stored in one transaction that locks its subscriptions.
What another closer stored meanwhile is left alone; a killed closer leaves whole chunks or nothing of one.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Q

from billing.adjusting import (
    changed_line_ids,
    flagged_line_ids,
    scan_changes,
    scanned_up_to,
    settle_changes,
    without_home,
)
from billing.drafts import DuePeriod, InvoiceDraft, InvoiceKey
from billing.errors import PeriodNotOver, RatingFailed
from billing.invoicing import draw_up, periods_ending_in
from billing.issuing import issue, issue_after, store_drafts
from billing.models import ChangedLine, Invoice, InvoiceKind, InvoiceStatus, Subscription
from metering.ledger import place_batches
from metering.periods import month_period
from metering.releasing import release_unmatched

# Constraints that refuse what another closer stored meanwhile.
RACES = ("invoice_one_live_per_period", "invoiceline_adjusted_once")

CHUNK = 500
TRIES = 10
# The first time zone to reach a new month is UTC+14.
EARLIEST_ZONE = timedelta(hours=14)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month. `parse` reads "2026-10" and raises ValueError for anything else."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        first = date.fromisoformat(f"{text}-01")
        if text != f"{first.year:04d}-{first.month:02d}":
            raise ValueError(f"“{text}” is not a month; write it as 2026-10.")
        return cls(first.year, first.month)

    @property
    def first(self) -> date:
        return date(self.year, self.month, 1)

    @property
    def following(self) -> date:
        return month_period(self.year, self.month, "UTC").end_on

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def name(self) -> str:
        return f"{calendar.month_name[self.month]} {self.year}"


@dataclass(slots=True)
class CloseReport:
    """What a close did, or with `dry_run` would do. Totals are in major units, by currency."""

    month: Month
    dry_run: bool
    issued: int = 0
    drafted: int = 0
    unchanged: int = 0
    not_over: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)
    failures: list[tuple[DuePeriod, RatingFailed]] = field(default_factory=list)
    invoices: list[InvoiceDraft] = field(default_factory=list)

    def add_total(self, currency: str, amount: Decimal) -> None:
        self.totals[currency] = self.totals.get(currency, Decimal(0)) + amount


def close_period(
    month: Month,
    *,
    now: datetime,
    grace_days: int,
    customer_codes: Sequence[str] = (),
    dry_run: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> CloseReport:
    """Invoice every billing period that ends in a month. `grace_days` 0 issues at once; else drafts wait that long.

    Raises PeriodNotOver when the month is not over for anybody. Rerunning changes nothing that is issued; drafts are
    drawn up again and issued once their grace days are over. `on_progress` gets (subscriptions done, of how many).
    `dry_run` writes nothing.
    """
    if now + EARLIEST_ZONE < datetime(month.following.year, month.following.month, 1, tzinfo=UTC):
        raise PeriodNotOver(
            f"{month.name} is not over yet. It can be closed from {month.following} on.",
            fields={"month": "Choose a month that is over."},
        )
    if not dry_run:
        release_unmatched(now=now)
        scan_changes(now=now)
    report = CloseReport(month, dry_run)
    ids = _subscription_ids(month, customer_codes)
    for start in range(0, len(ids), CHUNK):
        _close_chunk(ids[start : start + CHUNK], month, report, now=now, grace_days=grace_days)
        if on_progress is not None:
            on_progress(min(start + CHUNK, len(ids)), len(ids))
    if report.not_over and not (report.issued or report.drafted or report.unchanged or report.failures):
        raise PeriodNotOver(
            f"{month.name} is not over yet in the time zone of any customer with a plan.",
            fields={"month": "Choose a month that is over."},
        )
    return report


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


def _subscription_ids(month: Month, customer_codes: Sequence[str]) -> list[int]:
    """Give the subscriptions that have a day in the month, and ended ones with changes still to settle."""
    changed = ChangedLine.objects.values("line__invoice__subscription")
    rows = Subscription.objects.filter(
        Q(end_on=None) | Q(end_on__gt=month.first) | Q(id__in=changed), start_on__lt=month.following
    )
    if customer_codes:
        rows = rows.filter(customer__code__in=customer_codes)
    return list(rows.order_by("customer_id", "id").values_list("id", flat=True))


def _close_chunk(
    ids: Sequence[int],
    month: Month,
    report: CloseReport,
    *,
    now: datetime,
    grace_days: int,
) -> None:
    for _ in range(TRIES):
        subscriptions = list(
            Subscription.objects.filter(id__in=ids)
            .select_related("customer", "plan")
            .order_by("customer_id", "id")
        )
        ending = [
            due
            for subscription in subscriptions
            for due in periods_ending_in(subscription, first=month.first, last=month.following)
        ]
        over = [due for due in ending if due.period.is_over(now)]
        over += [
            due
            for due in without_home(subscriptions, month.first, month.following)
            if due.period.is_over(now)
        ]
        found = _live_invoices(over)
        pending = [due for due in over if _is_open(found.get(due.key))]
        customers = {due.subscription.customer_id for due in pending}
        drawn = draw_up(
            pending,
            now=now,
            watermark=None if report.dry_run else place_batches(),
            changed_lines=changed_line_ids(customers) if report.dry_run else flagged_line_ids(customers),
            replaced=[invoice.pk for invoice in found.values() if invoice.status == InvoiceStatus.DRAFT],
        )
        stored = (
            []
            if report.dry_run
            else _store(subscriptions, found, drawn.drafts, now=now, grace_days=grace_days)
        )
        if stored is None:
            continue  # somebody changed these subscriptions or their invoices meanwhile: look again
        _report(report, drawn.drafts, stored, now=now, grace_days=grace_days)
        report.failures += drawn.failures
        report.unchanged += len(over) - len(pending)
        report.not_over += len(ending) - len(over)
        return
    raise RuntimeError(
        f"Subscriptions {ids[0]} to {ids[-1]} kept changing while they were invoiced. Run it again."
    )


def _store(
    subscriptions: Sequence[Subscription],
    found: dict[InvoiceKey, Invoice],
    drafts: Sequence[InvoiceDraft],
    *,
    now: datetime,
    grace_days: int,
) -> list[Invoice] | None:
    """Write a chunk in one transaction; None, with nothing written, when it is no longer what was drawn up."""
    if not drafts:
        return []
    ids = [subscription.pk for subscription in subscriptions]
    try:
        with transaction.atomic():
            locked = Subscription.objects.select_for_update(of=("self",)).filter(id__in=ids).order_by("id")
            agreed = {subscription.pk: _agreement(subscription) for subscription in locked}
            if scanned_up_to() > min(draft.watermark for draft in drafts):
                return None
            live = _live_invoices([draft.due for draft in drafts], lock=True)
            if agreed != {s.pk: _agreement(s) for s in subscriptions} or any(
                _state(live.get(draft.due.key)) != _state(found.get(draft.due.key)) for draft in drafts
            ):
                return None
            invoices = store_drafts(drafts, existing=live, grace_days=grace_days)
            ripe = [invoice for invoice in invoices if invoice.issue_after <= now or not grace_days]
            issue(ripe, now=now)
            issued = {invoice.pk for invoice in ripe}
            settle_changes(
                {
                    line: draft.watermark
                    for invoice, draft in zip(invoices, drafts, strict=True)
                    if invoice.pk in issued
                    for line in draft.examined
                }
            )
    except IntegrityError as refused:
        if not any(name in str(refused) for name in RACES):
            raise
        return None
    return invoices


def _report(
    report: CloseReport,
    drafts: Sequence[InvoiceDraft],
    stored: Sequence[Invoice],
    *,
    now: datetime,
    grace_days: int,
) -> None:
    report.invoices += drafts
    for draft in drafts:
        report.add_total(draft.currency, draft.total)
    if report.dry_run:
        issued = sum(
            1 for draft in drafts if not grace_days or issue_after(draft, grace_days=grace_days) <= now
        )
    else:
        issued = sum(1 for invoice in stored if invoice.status == InvoiceStatus.ISSUED)
    report.issued += issued
    report.drafted += len(drafts) - issued


def _live_invoices(due: Sequence[DuePeriod], *, lock: bool = False) -> dict[InvoiceKey, Invoice]:
    rows = Invoice.objects.filter(subscription__in={each.subscription.pk for each in due}).exclude(
        status=InvoiceStatus.VOID
    )
    if due:
        rows = rows.filter(period_start__gte=min(each.period.start_on for each in due))
    if lock:
        rows = rows.select_for_update().order_by("id")
    return {(row.subscription_id, row.period_start, row.kind): row for row in rows}


def _is_open(invoice: Invoice | None) -> bool:
    return invoice is None or invoice.status == InvoiceStatus.DRAFT


def _state(invoice: Invoice | None) -> object:
    return None if invoice is None else (invoice.pk, invoice.status, invoice.drawn_up_at)


def _agreement(subscription: Subscription) -> object:
    return (
        subscription.plan_id,
        subscription.start_on,
        subscription.end_on,
        subscription.anchor,
        subscription.anchored_on,
        subscription.quantity,
        subscription.overrides,
    )
