"""The one mechanism for everything late: what changed in closed periods becomes a line on the next invoice.

A scan finds issued usage lines whose events changed after the invoice's watermark. When the customer's next invoice is
drawn up, each such line is measured and rated again with its frozen terms; what was not settled yet is the adjustment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Max, Q, QuerySet

from billing.drafts import DraftLine, DuePeriod
from billing.line_settling import reopen_voided
from billing.lines import MeasureKey, rate_measure, read_frozen
from billing.models import (
    BILLED,
    AdjustmentScan,
    AdjustmentWaiver,
    ChangedLine,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    Subscription,
)
from billing.rating import Step, UsageRate, round_amount
from billing.rating.exact import ZERO, exactly
from billing.rating.money import currency_digits, round_fraction
from metering.aggregation import Span
from metering.changes import UsageChange, usage_changes
from metering.ledger import place_batches
from metering.measuring import NOTHING, Measure, measure
from metering.models import Meter
from metering.periods import Period

FLAG = """
INSERT INTO billing_changedline (line_id, position, found_at)
SELECT line.id, max(change.position), %s
FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bigint[])
     AS change (customer_id, meter_id, first, last, position)
JOIN billing_invoice invoice ON invoice.customer_id = change.customer_id
     AND invoice.status IN ('issued', 'paid', 'written_off')
     AND invoice.ends_at > change.first AND invoice.watermark < change.position
JOIN billing_invoiceline line ON line.invoice_id = invoice.id AND line.kind = 'usage'
JOIN metering_meter meter ON meter.id = line.meter_id
     AND (meter.id = change.meter_id OR meter.evidence_meter_id = change.meter_id)
WHERE invoice.starts_at <= change.last OR meter.type = 'weighted_sum' OR meter.once_per_subject <> 'never'
   OR meter.verification_hours IS NOT NULL OR meter.evidence_meter_id IS NOT NULL
GROUP BY line.id
ON CONFLICT (line_id) DO UPDATE SET position = greatest(billing_changedline.position, excluded.position)
"""


# Meters on which earlier events matter to later periods.
CARRIES = (
    Q(meter__type="weighted_sum")
    | ~Q(meter__once_per_subject="never")
    | Q(meter__verification_hours__isnull=False)
    | Q(meter__evidence_meter__isnull=False)
)


@dataclass(frozen=True, slots=True)
class Settled:
    """What was billed, adjusted or waived for one line so far, and the number of the next adjustment."""

    quantity: Decimal
    amount: Decimal
    next_n: int


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What one changed line comes to now. `difference` is in major units, rounded as its line was.

    `amount` is after `discount`: what coupons took off the line goes with it, in proportion.
    """

    line: InvoiceLine
    settled: Settled
    quantity: Decimal
    amount: Decimal
    discount: Decimal = ZERO

    @property
    def difference(self) -> Decimal:
        return self.amount - self.settled.amount


def scan_changes(*, now: datetime) -> int:
    """Flag the issued lines whose events changed since the last scan; give the position scanned up to."""
    with transaction.atomic():
        AdjustmentScan.objects.get_or_create(singleton=True)
        scan = AdjustmentScan.objects.select_for_update().get()
        until = place_batches()
        last_end = _issued().aggregate(last=Max("ends_at"))["last"]
        if last_end is not None and until > scan.position:
            _flag(usage_changes(after=scan.position, until=until, before=last_end), now=now)
        reopen_voided(position=until, now=now)
        scan.position = until
        scan.save(update_fields=["position"])
    return until


def flagged_line_ids(customer_ids: Collection[int]) -> set[int]:
    """Give the changed lines of some customers that a scan has found."""
    flagged = ChangedLine.objects.filter(line__invoice__customer__in=customer_ids)
    return set(flagged.values_list("line_id", flat=True))


def changed_line_ids(customer_ids: Collection[int]) -> set[int]:
    """Give the changed lines of some customers, flagged or not yet scanned. Writes nothing."""
    found = flagged_line_ids(customer_ids)
    last_end = _issued().filter(customer__in=customer_ids).aggregate(last=Max("ends_at"))["last"]
    if last_end is None:
        return found
    scanned = AdjustmentScan.objects.values_list("position", flat=True).first() or 0
    for change in usage_changes(after=scanned, until=None, before=last_end, customer_ids=customer_ids):
        lines = InvoiceLine.objects.filter(
            Q(invoice__starts_at__lte=change.last_occurred_at) | CARRIES,
            Q(meter=change.meter_id) | Q(meter__evidence_meter=change.meter_id),
            kind=LineKind.USAGE,
            invoice__customer=change.customer_id,
            invoice__status__in=BILLED,
            invoice__ends_at__gt=change.first_occurred_at,
        )
        found |= set(lines.values_list("id", flat=True))
    return found


def compute_adjustments(
    line_ids: Collection[int], *, watermark: int | None, without_drafts: Collection[int] = ()
) -> list[Adjustment]:
    """Measure and rate changed lines again, with their frozen terms; also those that come to no difference.

    `without_drafts` are stored drafts about to be replaced: what they carry is not settled.
    """
    lines = list(
        InvoiceLine.objects.filter(id__in=line_ids)
        .select_related("invoice__subscription", "meter", "rate")
        .order_by("invoice__ends_at", "invoice_id", "n")
    )
    if not lines:
        return []
    settled = _settled(lines, without_drafts=without_drafts)
    rates = {line.pk: read_frozen(_meter_of(line).pk, line.terms) for line in lines}
    measures = _measures(lines, rates, watermark)
    return [_adjustment(line, settled[line.pk], rates[line.pk][0], measures[line.pk]) for line in lines]


def home_of(line: InvoiceLine, subscriptions: Iterable[Subscription]) -> Subscription | None:
    """Give the subscription on whose next invoice an adjustment goes; None when the customer has none left.

    It is the line's own while that goes on, else the customer's oldest that does, in the same currency.
    """
    invoice = line.invoice
    own: list[Subscription] = []
    others: list[Subscription] = []
    for subscription in subscriptions:
        if subscription.end_on is not None and subscription.end_on <= invoice.period_end:
            continue
        if subscription.pk == invoice.subscription_id:
            own.append(subscription)
        elif subscription.plan.currency == invoice.currency:
            others.append(subscription)
    others.sort(key=lambda subscription: (subscription.start_on, subscription.pk))
    return next(iter([*own, *others]), None)


def released(adjustments: Sequence[Adjustment]) -> list[Adjustment]:
    """Leave out what waits for a decision of staff: differences from the size of the setting on, not yet decided."""
    limit = settings.ADJUSTMENT_REVIEW_FROM
    if limit is None:
        return list(adjustments)
    large = [each.line.pk for each in adjustments if abs(each.difference) >= limit]
    decided = set(
        ChangedLine.objects.filter(line__in=large, bill_up_to__gte=F("position")).values_list(
            "line_id", flat=True
        )
    )
    return [each for each in adjustments if abs(each.difference) < limit or each.line.pk in decided]


def place_adjustments(
    adjustments: Sequence[Adjustment], due: Sequence[DuePeriod]
) -> dict[int, list[Adjustment]]:
    """Say on which of the invoices being drawn up each adjustment goes, by place in `due`; others wait."""
    adjustments = released(adjustments)
    if not adjustments:
        return {}
    subscriptions: dict[int, list[Subscription]] = {}
    customers = {each.subscription.customer_id for each in due}
    for row in Subscription.objects.filter(customer__in=customers).select_related("plan"):
        subscriptions.setdefault(row.customer_id, []).append(row)
    first: dict[tuple[int | None, str], tuple[date, int]] = {}
    placed: dict[int, list[Adjustment]] = {}
    for adjustment in adjustments:
        invoice = adjustment.line.invoice
        home = home_of(adjustment.line, subscriptions.get(invoice.customer_id, ()))
        kind = InvoiceKind.PERIODIC if home else InvoiceKind.ADJUSTMENT
        subscription_id = home.pk if home else invoice.subscription_id
        if (subscription_id, kind) not in first:
            open_places = [
                (each.period.end_on, place)
                for place, each in enumerate(due)
                if (each.subscription.pk, each.kind) == (subscription_id, kind)
            ]
            if not open_places:
                continue
            first[subscription_id, kind] = min(open_places)
        end_on, place = first[subscription_id, kind]
        if kind == InvoiceKind.ADJUSTMENT or end_on > invoice.period_end:
            placed.setdefault(place, []).append(adjustment)
    return placed


def without_home(ended: Iterable[Subscription], month_first: date, month_following: date) -> list[DuePeriod]:
    """Give an invoice of its own to each ended subscription with changed lines that no other invoice will carry."""
    by_id = {each.pk: each for each in ended if each.end_on is not None}
    changed = ChangedLine.objects.filter(line__invoice__subscription__in=by_id).select_related(
        "line__invoice"
    )
    lines = [change.line for change in changed if change.line.invoice.period_end <= month_following]
    subscriptions: dict[int, list[Subscription]] = {}
    customers = {line.invoice.customer_id for line in lines}
    for row in Subscription.objects.filter(customer__in=customers).select_related("plan"):
        subscriptions.setdefault(row.customer_id, []).append(row)
    homeless = {
        line.invoice.subscription_id
        for line in lines
        if line.invoice.subscription_id is not None
        and home_of(line, subscriptions[line.invoice.customer_id]) is None
    }
    return [
        DuePeriod(by_id[pk], Period(month_first, month_following, by_id[pk].timezone), InvoiceKind.ADJUSTMENT)
        for pk in sorted(homeless)
    ]


def adjustment_line(adjustment: Adjustment, *, n: int) -> DraftLine:
    """Give the invoice line of a difference, with the original invoice and period named."""
    line, settled = adjustment.line, adjustment.settled
    invoice = line.invoice
    period = Period(line.period_start, line.period_end, invoice.zone)
    measured = Step("Measured now", "now", adjustment.quantity, None, adjustment.amount + adjustment.discount)
    discounted = Step("Discount of the line", "discount", None, None, -adjustment.discount)
    before = Step("Billed before", "before", settled.quantity, None, -settled.amount)
    steps = (measured, discounted, before) if adjustment.discount else (measured, before)
    return DraftLine(
        n=n,
        kind=LineKind.ADJUSTMENT,
        description=f"Adjustment of {line.description}, invoice {invoice.number}",
        rate_id=line.rate_id,
        meter=line.meter,
        unit=line.unit,
        quantity=adjustment.quantity - settled.quantity,
        events=0,
        unit_amount=None,
        amount=adjustment.difference,
        terms=line.terms,
        working=steps,
        period=period,
        adjusts_id=line.pk,
        adjustment_n=settled.next_n,
        tax_category=line.tax_category,
    )


def scanned_up_to() -> int:
    """Lock the scan for sharing until the end of the transaction and give its position."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT position FROM billing_adjustmentscan FOR SHARE")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def _issued() -> QuerySet[Invoice]:
    return Invoice.objects.filter(status__in=BILLED)


def _flag(changes: Sequence[UsageChange], *, now: datetime) -> None:
    if not changes:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            FLAG,
            [
                now,
                [change.customer_id for change in changes],
                [change.meter_id for change in changes],
                [change.first_occurred_at for change in changes],
                [change.last_occurred_at for change in changes],
                [change.position for change in changes],
            ],
        )


def _settled(lines: Sequence[InvoiceLine], *, without_drafts: Collection[int]) -> dict[int, Settled]:
    """Give what stands of each line so far; of a line whose invoice is void, what adjusted it is all that does."""
    void = {line.pk for line in lines if line.invoice.status == InvoiceStatus.VOID}
    sums = {
        line.pk: Settled(ZERO, ZERO, 1)
        if line.pk in void
        else Settled(line.quantity, line.amount - line.discount, 1)
        for line in lines
    }
    earlier = InvoiceLine.objects.filter(adjusts__in=lines).exclude(invoice__in=without_drafts)
    for of, n, quantity, amount, status in earlier.values_list(
        "adjusts_id", "adjustment_n", "quantity", "amount", "invoice__status"
    ):
        assert n is not None  # held by invoiceline_adjustment_names_line
        taken_back = status == InvoiceStatus.VOID
        sums[of] = _added(sums[of], n, ZERO if taken_back else quantity, ZERO if taken_back else amount)
    for of, n, quantity, amount in AdjustmentWaiver.objects.filter(line__in=lines).values_list(
        "line_id", "adjustment_n", "quantity", "amount"
    ):
        waived_nothing = of in void
        sums[of] = _added(
            sums[of], n, ZERO if waived_nothing else quantity, ZERO if waived_nothing else amount
        )
    return sums


@exactly
def _added(sums: Settled, n: int, quantity: Decimal, amount: Decimal) -> Settled:
    return Settled(sums.quantity + quantity, sums.amount + amount, max(sums.next_n, n + 1))


def _measures(
    lines: Sequence[InvoiceLine], rates: Mapping[int, tuple[UsageRate, MeasureKey]], watermark: int | None
) -> dict[int, Measure]:
    """Measure every line again, all lines of a meter and grouping in one query."""
    spans: dict[MeasureKey, list[Span]] = {}
    meters: dict[MeasureKey, Meter] = {}
    for line in lines:
        key = rates[line.pk][1]
        meters[key] = _meter_of(line)
        period = Period(line.period_start, line.period_end, line.invoice.zone)
        spans.setdefault(key, []).append(
            Span(line.pk, line.invoice.customer_id, period.start, period.end, period.zone)
        )
    found: dict[int, Measure] = {line.pk: NOTHING for line in lines}
    for key, meter in meters.items():
        found |= measure(meter, spans[key], group_by=key[1], with_values=key[2], as_of=watermark)
    return found


def _adjustment(line: InvoiceLine, settled: Settled, terms: UsageRate, measured: Measure) -> Adjustment:
    if line.invoice.status == InvoiceStatus.VOID:
        return Adjustment(line, settled, ZERO, ZERO)
    rated = rate_measure(terms, measured)
    digits = currency_digits(line.invoice.currency)
    amount = round_amount(rated.amount, digits)
    discount = _discount_share(line, amount, digits=digits)
    return Adjustment(line, settled, measured.quantity, amount - discount, discount)


def _discount_share(line: InvoiceLine, amount: Decimal, *, digits: int) -> Decimal:
    """Give the discount of a line that comes to another amount now, in the proportion it was billed with."""
    if not line.discount:
        return ZERO
    return round_fraction(Fraction(line.discount) * Fraction(amount) / Fraction(line.amount), digits)


def _meter_of(line: InvoiceLine) -> Meter:
    assert line.meter is not None  # only usage lines are flagged
    return line.meter
