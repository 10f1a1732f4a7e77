"""The running billing period: what was used and what it costs so far, by the function that makes the invoice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db.models import Prefetch, Q

from billing.consolidating import is_billed_to_parent
from billing.documents import InvoiceDocument, invoice_document
from billing.drafts import DuePeriod, InvoiceDraft
from billing.due_periods import periods_ending_in, starts_due
from billing.formatting import money, quantity_of
from billing.invoicing import draw_up
from billing.models import Invoice, InvoiceKind, InvoiceStatus, Rate, Subscription, SubscriptionChange
from billing.overriding import agreed_prices
from billing.portal.planned import plan_notes
from billing.previewing import draw_preview, with_credits
from billing.subscription_periods import whole_period
from billing.totals import TotalRow, total_rows
from customers.models import BillTo, Customer
from metering.models import Meter
from metering.periods import Period, clip, local_day

RECENT = timedelta(days=62)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunningBill:
    """One subscription's running period. `document` and `draft` are None while its usage cannot be priced.

    `prices` are what this customer agreed to, each with a name and a sentence.
    """

    due: DuePeriod
    prices: Sequence[tuple[str, str]]
    meters: Sequence[Meter]
    document: InvoiceDocument | None
    draft: InvoiceDraft | None
    notes: Sequence[str] = ()

    @property
    def subscription(self) -> Subscription:
        return self.due.subscription

    @property
    def period(self) -> Period:
        return self.due.period

    @property
    def paid_by(self) -> str:
        """Name the parent that pays; empty where the customer does."""
        customer = self.subscription.customer
        return customer.parent.name if customer.parent and is_billed_to_parent(customer) else ""

    @property
    def totals(self) -> list[TotalRow]:
        """What makes the total of the lines; empty where the total is simply their sum."""
        rows = total_rows(self.draft) if self.draft is not None else []
        return rows if len(rows) > 1 else []


def customer_bills(customer: Customer, *, now: datetime) -> tuple[list[RunningBill], list[InvoiceDraft]]:
    """Give what each subscription that covers today costs so far, and the bills in preparation, the latest first.

    In preparation are recent periods that are over, as long as no invoice is issued for them. All are drawn up at once,
    as the close does: what one invoice takes of a coupon, a credit or an adjustment is not shown on another. Writes
    nothing.
    """
    today = local_day(now, customer.timezone)
    subscriptions = _recent_subscriptions(customer, today=today)
    running = []
    for each in subscriptions:
        if each.end_on is None or each.end_on > today:
            covered = clip(whole_period(each, today), start_on=each.start_on, end_on=each.end_on)
            assert covered is not None  # it covers today
            running.append(DuePeriod(each, covered))
    over = _not_invoiced(customer, subscriptions, today=today)
    if not running and not over:
        return [], []
    starts = starts_due([each.subscription for each in running], now=now)
    drawn = draw_preview([*starts, *running, *over], now=now)
    for failed, problem in drawn.failures:
        log.error("A bill of %s cannot be shown: %s", failed.subscription, problem)
    periodic = [draft for draft in drawn.drafts if draft.due.kind == InvoiceKind.PERIODIC]
    periodic.sort(key=lambda draft: (draft.due.period.end_on, draft.due.subscription.pk))
    drafts = {draft.due.key: draft for draft in with_credits(periodic, now=now, in_turn=True)}
    in_preparation = [drafts[each.key] for each in over if each.key in drafts]
    return (
        [_running_bill(each, drafts.get(each.key), now=now) for each in running],
        sorted(in_preparation, key=lambda draft: draft.due.period.end_on, reverse=True),
    )


def _recent_subscriptions(customer: Customer, *, today: date) -> list[Subscription]:
    """Give the subscriptions that cover today or ended in the last months, with all that the overview says of them."""
    return list(
        Subscription.objects.filter(
            Q(end_on=None) | Q(end_on__gt=today - RECENT), customer=customer, start_on__lte=today
        )
        .select_related("plan", "customer__parent")
        .prefetch_related(
            Prefetch("plan__rates", Rate.objects.select_related("meter")),
            Prefetch("changes", SubscriptionChange.objects.select_related("following__plan").order_by("pk")),
        )
        .order_by("start_on", "pk")
    )


def _not_invoiced(
    customer: Customer, subscriptions: Sequence[Subscription], *, today: date
) -> list[DuePeriod]:
    since = today - RECENT
    ended = [
        due
        for subscription in subscriptions
        for due in periods_ending_in(subscription, first=since, last=today)
    ]
    if not ended:
        return []
    invoiced = set(
        Invoice.objects.filter(customer=customer, period_end__gt=since, kind=InvoiceKind.PERIODIC)
        .exclude(status=InvoiceStatus.DRAFT)
        .values_list("subscription_id", "period_start")
    )
    return [due for due in ended if (due.subscription.pk, due.period.start_on) not in invoiced]


@dataclass(frozen=True, slots=True)
class ChildLine:
    """What a child used so far, in words."""

    description: str
    quantity_words: str


@dataclass(frozen=True, slots=True)
class ChildBill:
    """The running period of a customer that this one pays for; `total` is before tax. `problem`: not priced now."""

    due: DuePeriod
    lines: Sequence[ChildLine]
    total: str
    draft: InvoiceDraft | None

    @property
    def customer(self) -> Customer:
        return self.due.subscription.customer

    @property
    def period(self) -> Period:
        return self.due.period

    @property
    def problem(self) -> bool:
        return self.draft is None


@dataclass(frozen=True, slots=True)
class FamilySum:
    """What one consolidated invoice comes to so far, before tax. `own`: plans of the parent itself are on it."""

    from_day: date
    total: str
    own: bool


def family_sums(bills: Sequence[RunningBill], children: Sequence[ChildBill]) -> list[FamilySum]:
    """Add up what goes on each consolidated invoice of a parent; what cannot be priced now leaves its sum out."""
    sums = []
    for group in sorted({child.due.group for child in children}, key=lambda group: group[-1]):
        parts = [child.draft for child in children if child.due.group == group]
        own = [bill.draft for bill in bills if bill.due.group == group]
        drafts = [draft for draft in [*own, *parts] if draft is not None]
        if len(drafts) == len(own) + len(parts):
            net = sum((draft.subtotal - draft.discount for draft in drafts), Decimal(0))
            sums.append(FamilySum(drafts[0].due.period.end_on, money(net, drafts[0].currency), bool(own)))
    return sums


def children_bills(customer: Customer, *, now: datetime) -> list[ChildBill]:
    """Give what the customers that are billed to this one cost so far, by name, all drawn up at once."""
    today = local_day(now, customer.timezone)
    rows = (
        Subscription.objects.filter(
            Q(end_on=None) | Q(end_on__gt=today),
            customer__parent=customer,
            customer__bill_to=BillTo.PARENT,
            start_on__lte=today,
        )
        .select_related("plan", "customer__parent")
        .order_by("customer__name", "customer_id", "start_on", "pk")
    )
    due = [
        DuePeriod(row, covered)
        for row in rows
        if (covered := clip(whole_period(row, today), start_on=row.start_on, end_on=row.end_on))
    ]
    drafts = {draft.due.key: draft for draft in draw_up(due, now=now, watermark=None).drafts} if due else {}
    return [_child(each, drafts.get(each.key)) for each in due]


def _child(due: DuePeriod, draft: InvoiceDraft | None) -> ChildBill:
    if draft is None:
        return ChildBill(due, (), "", None)
    lines = [
        ChildLine(line.description, quantity_of(line.quantity, line.unit) if line.meter else "")
        for line in draft.lines
    ]
    return ChildBill(due, lines, money(draft.total, draft.currency), draft)


def _running_bill(due: DuePeriod, draft: InvoiceDraft | None, *, now: datetime) -> RunningBill:
    subscription = due.subscription
    meters = {rate.meter.pk: rate.meter for rate in subscription.plan.rates.all() if rate.meter is not None}
    return RunningBill(
        due=due,
        prices=agreed_prices(subscription),
        meters=list(meters.values()),
        document=invoice_document(draft) if draft else None,
        draft=draft,
        notes=plan_notes(subscription, today=local_day(now, subscription.timezone)),
    )
