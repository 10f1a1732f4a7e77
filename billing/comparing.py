"""Reading what drafts are compared with: the invoices before them, what the portal showed, usage nobody prices.

A few queries for a whole chunk of customers, whatever their number.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from django.conf import settings
from django.db import connection
from django.db.models import Q

from billing.drafts import InvoiceDraft
from billing.findings import Bill, Finding, Limits, Shown, compare, line_name
from billing.models import (
    FindingKind,
    InvoiceKind,
    InvoiceLine,
    LineKind,
    PlanStatus,
    PortalTotal,
    Rate,
    Subscription,
)
from billing.months import Month
from customers.lookups import Ids
from metering.aggregation import pairs_with_events
from metering.columns import plain_array
from metering.models import Meter
from metering.periods import month_period

COMPARED = (LineKind.USAGE, LineKind.SUBSCRIPTION)
BEFORE = """
SELECT DISTINCT ON (due.place) due.place, invoice.id, invoice.total, invoice.period_end - invoice.period_start,
       invoice.subtotal - invoice.discount, invoice.part_of_id IS NOT NULL
FROM unnest(%s::int[], %s::bigint[], %s::date[]) AS due (place, subscription_id, start_on)
CROSS JOIN LATERAL (
    SELECT id, total, period_start, period_end, subtotal, discount, part_of_id FROM billing_invoice
    WHERE subscription_id = due.subscription_id AND kind = 'periodic' AND status <> 'void' AND status <> 'draft'
          AND period_start < due.start_on
    ORDER BY period_start DESC LIMIT 1
) invoice
ORDER BY due.place, invoice.period_start DESC, invoice.id
"""


def limits() -> Limits:
    """Give the limits of the settings."""
    return Limits(settings.CLOSE_JUMP_FACTOR, settings.CLOSE_JUMP_AMOUNT, frozenset(settings.CLOSE_HOLDS))


def find_unusual(drafts: Sequence[InvoiceDraft], month: Month) -> dict[int, list[Finding]]:
    """Give what is unusual about drafts, by customer; those with nothing unusual are left out."""
    compared = [draft for draft in drafts if draft.due.kind == InvoiceKind.PERIODIC]
    if not compared:
        return {}
    before, billed_meters = _before(compared)
    shown = _shown(compared)
    within = limits()
    found: dict[int, list[Finding]] = {}
    for place, draft in enumerate(compared):
        due = draft.due
        now, then = _comparable(draft, before.get(place))
        findings = compare(now, then, _shown_of(draft, shown), within)
        if findings:
            found.setdefault(due.subscription.customer_id, []).extend(findings)
    for customer, findings in _unpriced(compared, month, billed_meters, within).items():
        found.setdefault(customer, []).extend(findings)
    return found


@dataclass(frozen=True, slots=True)
class Before:
    """The invoice before a draft. `net` is its total before tax, all that a part of a consolidated invoice has."""

    bill: Bill
    net: Decimal
    is_part: bool


def _comparable(draft: InvoiceDraft, before: Before | None) -> tuple[Bill, Bill | None]:
    """Give both totals with tax, or both without where one of them is a part."""
    if before is None:
        return Bill(draft.total, draft.due.period.days, {}), None  # its lines have nothing beside them
    now = _bill(draft)
    if draft.part_n is None and not before.is_part:
        return now, before.bill
    net = draft.subtotal - draft.discount
    return replace(now, total=net), replace(before.bill, total=before.net)


def _shown_of(draft: InvoiceDraft, shown: Mapping[tuple[int, date], Shown]) -> Shown | None:
    """Give what the portal showed; nothing of a payer's own part, which it showed with tax."""
    if draft.part_n is not None and draft.customer.payer_id == draft.customer.pk:
        return None
    return shown.get((draft.due.subscription.pk, draft.due.period.start_on))


def _bill(draft: InvoiceDraft) -> Bill:
    lines: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for line in draft.lines:
        if line.kind in COMPARED:
            _add(lines, line_name(line.kind, line.description), line.quantity, line.amount)
    return Bill(draft.total, draft.due.period.days, lines)


def _add(
    lines: dict[tuple[str, str], tuple[Decimal, Decimal]],
    name: tuple[str, str],
    quantity: Decimal,
    amount: Decimal,
) -> None:
    was = lines.get(name, (Decimal(0), Decimal(0)))
    lines[name] = was[0] + quantity, was[1] + amount


def _before(drafts: Sequence[InvoiceDraft]) -> tuple[dict[int, Before], set[tuple[int, int]]]:
    """Give the invoice before each draft, by place, and which meters those billed, as (customer, meter)."""
    pairs = [
        (place, draft.due.subscription.pk, draft.due.period.start_on) for place, draft in enumerate(drafts)
    ]
    pairs += _predecessors(drafts)
    with connection.cursor() as cursor:
        columns = ([str(each) for each in column] for column in zip(*pairs, strict=True))
        cursor.execute(BEFORE, [plain_array(column) for column in columns])
        rows = cursor.fetchall()
    lines: dict[int, dict[tuple[str, str], tuple[Decimal, Decimal]]] = {row[1]: {} for row in rows}
    customer_of = {row[1]: drafts[row[0]].due.subscription.customer_id for row in rows}
    meters: set[tuple[int, int]] = set()
    stored = InvoiceLine.objects.filter(invoice__among=Ids(lines), kind__in=COMPARED).values_list(
        "invoice_id", "kind", "description", "meter_id", "quantity", "amount"
    )
    for invoice, kind, description, meter, quantity, amount in stored:
        _add(lines[invoice], line_name(kind, description), quantity, amount)
        if meter is not None:
            meters.add((customer_of[invoice], meter))
    before = {
        place: Before(Bill(total, days, lines[pk]), net, is_part)
        for place, pk, total, days, net, is_part in rows
    }
    return before, meters


def _predecessors(drafts: Sequence[InvoiceDraft]) -> list[tuple[int, int, date]]:
    """Give the subscriptions that ended where one begins: the first invoice of a plan follows the last of another."""
    first = {
        (draft.due.subscription.customer_id, draft.due.period.start_on): place
        for place, draft in enumerate(drafts)
        if draft.due.period.start_on == draft.due.subscription.start_on
    }
    if not first:
        return []
    ended = Subscription.objects.filter(
        customer__among=Ids({customer for customer, _ in first}), end_on__in={start for _, start in first}
    ).values_list("customer_id", "end_on", "id")
    return [
        (first[customer, end_on], pk, end_on)
        for customer, end_on, pk in ended
        if end_on and (customer, end_on) in first
    ]


def _shown(drafts: Sequence[InvoiceDraft]) -> dict[tuple[int, date], Shown]:
    rows = PortalTotal.objects.filter(
        subscription__among=Ids({draft.due.subscription.pk for draft in drafts}),
        period_start__in={draft.due.period.start_on for draft in drafts},
    )
    return {
        (subscription, start): Shown(total, final)
        for subscription, start, total, final in rows.values_list(
            "subscription_id", "period_start", "total", "final"
        )
    }


def _unpriced(
    drafts: Sequence[InvoiceDraft], month: Month, billed: Collection[tuple[int, int]], within: Limits
) -> dict[int, list[Finding]]:
    """Find usage in the month of meters that other customers pay for and no plan of this one prices.

    A meter that no active plan prices is one that nobody is to pay for.
    """
    customers = {draft.due.subscription.customer_id for draft in drafts}
    priced = set(
        Rate.objects.filter(plan__status=PlanStatus.ACTIVE, meter__isnull=False).values_list(
            "meter_id", flat=True
        )
    ) | {meter for _, meter in billed}
    having = Subscription.objects.filter(
        Q(end_on=None) | Q(end_on__gt=month.first),
        customer__among=Ids(customers),
        start_on__lt=month.following,
    )
    covered = set(having.order_by().values_list("customer_id", "plan__rates__meter").distinct())
    asked = [
        (customer, meter) for customer in customers for meter in priced if (customer, meter) not in covered
    ]
    if not asked:
        return {}
    period = month_period(month.year, month.month, "UTC")
    used = pairs_with_events(asked, start=period.start, end=period.end)
    labels = dict(Meter.objects.filter(pk__in={meter for _, meter in used}).values_list("pk", "label"))
    found: dict[int, list[Finding]] = {}
    for customer, meter in sorted(used):
        kind = FindingKind.LOST_PRICE if (customer, meter) in billed else FindingKind.MISSING_PRICE
        findings = found.setdefault(customer, [])
        findings.append(Finding(kind, labels[meter], None, None, holds=kind in within.holds))
    return found
