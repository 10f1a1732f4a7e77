"""Issuing drafts by hand before their grace days end: each is drawn up once more, from everything received."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from billing.chunk_storing import store_together
from billing.close_reports import CloseTerms
from billing.collecting import lock, record_change
from billing.drafts import AnyDraft, ConsolidatedDraft, DrawnUp, DuePeriod, InvoiceKey
from billing.due_periods import periods_ending_in
from billing.errors import BillingError, FiguresChanged, KeptChanging, NoSubscription, NotInThisState
from billing.formatting import money
from billing.invoicing import draw_up
from billing.issuing import issue
from billing.lifecycle import Action, require_open
from billing.models import ChangeKind, CloseReview, Invoice, InvoiceKind
from billing.months import Month
from billing.scanning import flagged_line_ids, scan_changes
from metering.ledger import place_batches
from metering.periods import Period

TRIES = 5


def refreshed(invoice: Invoice, *, now: datetime) -> AnyDraft:
    """Compute a stored draft of a period as it would be issued now. Writes nothing.

    Raises NotInThisState, NoSubscription when its plan no longer covers the period, RatingFailed.
    """
    require_open(invoice, Action.ISSUE)
    return _drawn(invoice, now=now, watermark=None).documents[0]


def refreshed_many(invoices: Sequence[Invoice], *, now: datetime) -> dict[int, AnyDraft | BillingError]:
    """Compute many stored drafts of periods at once, by id; for one that cannot be drawn up, why. Writes nothing."""
    found: dict[int, AnyDraft | BillingError] = {}
    due: dict[InvoiceKey, tuple[int, DuePeriod]] = {}
    replaced: list[int] = []
    for invoice in invoices:
        if invoice.kind != InvoiceKind.ONE_OFF:
            try:
                for row in _drawn_from(invoice):
                    each = _due(row)
                    due[each.key] = invoice.pk, each
                    replaced.append(row.pk)
            except NoSubscription as refused:
                found[invoice.pk] = refused
    customers = {each.subscription.customer_id for _, each in due.values()}
    drawn = draw_up(
        [each for _, each in due.values()],
        now=now,
        watermark=None,
        changed_lines=flagged_line_ids(customers),
        replaced=replaced,
    )
    for document in drawn.documents:
        first = document.parts[0] if isinstance(document, ConsolidatedDraft) else document
        found[due[first.due.key][0]] = document
    return found | {due[each.key][0]: problem for each, problem in drawn.failures}


def issue_draft(invoice: Invoice, *, expected: Decimal | None = None, by: str, now: datetime) -> Invoice:
    """Draw a draft up for the last time and issue it. A one-off draft is issued as it stands.

    `expected` is the total somebody has seen and agreed to: FiguresChanged when it is another by now. Raises
    NotInThisState, also when somebody issued it meanwhile, and what `refreshed` raises.
    """
    require_open(invoice, Action.ISSUE)
    if invoice.kind == InvoiceKind.ONE_OFF:
        return _issue_one_off(invoice, expected=expected, by=by, now=now)
    month = Month.of(invoice.period_end - timedelta(days=1))
    customers = {row.customer_id for row in _drawn_from(invoice)}
    if CloseReview.objects.filter(customer__in=customers, month=month.first, held=True).exists():
        raise NotInThisState(f"It is unusual and waits for approval: look at the close of {month.name}.")
    scan_changes(now=now)
    for _ in range(TRIES):
        found = Invoice.objects.select_related("subscription__customer", "subscription__plan").get(
            pk=invoice.pk
        )
        require_open(found, Action.ISSUE)
        rows = _drawn_from(found)
        drawn = _drawn(found, now=now, watermark=place_batches())
        draft = drawn.documents[0]
        _agree(draft.total, expected, draft.currency)
        with transaction.atomic():
            terms = CloseTerms(month, now, 0, dry_run=False)
            stored = store_together(
                list({each.due.subscription.pk: each.due.subscription for each in drawn.drafts}.values()),
                {(row.subscription_id, row.period_start, row.kind): row for row in rows},
                drawn.drafts,
                None,
                terms,
                (),
                drawn.consolidated,
            )
            if stored is None:
                continue
            record_change(stored[0], ChangeKind.APPROVED, by=by, now=now)
        return Invoice.objects.get(pk=found.pk)
    raise KeptChanging("Its plan or its events kept changing while it was issued. Issue it again.")


@transaction.atomic
def discard_draft(invoice: Invoice) -> None:
    """Delete the draft of a one-off invoice. Raises NotInThisState for any other."""
    invoice = lock(invoice)
    require_open(invoice, Action.DISCARD)
    invoice.delete()


@transaction.atomic
def _issue_one_off(invoice: Invoice, *, expected: Decimal | None, by: str, now: datetime) -> Invoice:
    invoice = lock(invoice)
    require_open(invoice, Action.ISSUE)
    _agree(invoice.total, expected, invoice.currency)
    issue([invoice], now=now)
    record_change(invoice, ChangeKind.APPROVED, by=by, now=now)
    return Invoice.objects.get(pk=invoice.pk)


def _agree(total: Decimal, expected: Decimal | None, currency: str) -> None:
    if expected is not None and expected != total:
        raise FiguresChanged(
            f"Usage arrived meanwhile: the invoice is {money(total, currency)} now. Look at it and issue it again."
        )


def _drawn_from(invoice: Invoice) -> list[Invoice]:
    """Give the stored drafts that an invoice is drawn up from: itself, or the parts of a consolidated one."""
    if invoice.kind != InvoiceKind.CONSOLIDATED:
        return [invoice]
    return list(
        invoice.parts.select_related("subscription__customer__parent", "subscription__plan").order_by(
            "part_n"
        )
    )


def _drawn(invoice: Invoice, *, now: datetime, watermark: int | None) -> DrawnUp:
    rows = _drawn_from(invoice)
    drawn = draw_up(
        [_due(row) for row in rows],
        now=now,
        watermark=watermark,
        changed_lines=flagged_line_ids({row.customer_id for row in rows}),
        replaced=[row.pk for row in rows],
    )
    if drawn.failures:
        raise drawn.failures[0][1]
    if not drawn.documents:
        raise NoSubscription("Nothing is left to adjust on this draft. Close its month again.")
    if [document.customer.pk for document in drawn.documents] != [invoice.customer_id] or (
        invoice.kind == InvoiceKind.CONSOLIDATED
    ) != bool(drawn.consolidated):
        raise NoSubscription("Who is billed together has changed since. Close the month of this draft again.")
    return drawn


def _due(invoice: Invoice) -> DuePeriod:
    """Give the period of a stored draft as its plan has it now."""
    subscription = invoice.subscription
    assert subscription is not None  # held by invoice_subscription_unless_one_off
    if invoice.kind == InvoiceKind.PERIODIC:
        ending = periods_ending_in(subscription, first=invoice.period_start, last=invoice.period_end)
        due = next((each for each in ending if each.period.start_on == invoice.period_start), None)
    else:
        period = Period(invoice.period_start, invoice.period_end, invoice.zone)
        due = DuePeriod(subscription, period, invoice.kind)
    if due is None:
        raise NoSubscription(
            f"The plan of this draft no longer has a period from {invoice.period_start}. Close its month again."
        )
    return due
