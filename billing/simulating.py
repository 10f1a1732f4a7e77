"""What if: the real past usage of customers at the prices of any version, beside what their invoices came to.

The baseline is the issued invoices themselves. What they would have been is drawn up by the function that makes
invoices, up to the same events as each of them, inside a read-only transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import QuerySet

from billing.continuing import as_if
from billing.drafts import DuePeriod
from billing.invoicing import price_periods
from billing.models import Invoice, InvoiceStatus, LineKind, Plan, RateKind, Subscription
from billing.subscription_periods import anchor_of
from customers.models import Customer
from metering.periods import Period, clip, periods_between

CHUNK = 2_000
# What a plan makes by itself. Other lines, such as adjustments, stay as they were on both sides.
PLAN_KINDS = frozenset(
    {
        LineKind.USAGE,
        LineKind.SUBSCRIPTION,
        LineKind.ONE_TIME,
        LineKind.INCLUDED_SPEND,
        LineKind.MINIMUM,
        LineKind.SERVICE_FEE,
    }
)


@dataclass(slots=True)
class Outcome:
    """One customer, or one month: what the invoices came to and what they would have been."""

    then: Decimal = Decimal(0)
    now: Decimal = Decimal(0)

    @property
    def difference(self) -> Decimal:
        return self.now - self.then

    @property
    def percent(self) -> Decimal | None:
        """The change in percent, to one decimal; None where nothing was charged before."""
        if not self.then:
            return None
        return (self.difference * 100 / self.then).quantize(Decimal("0.1"))


@dataclass(slots=True)
class CustomerOutcome:
    """One customer's side by side. `months` are by the month a period ends in; amounts as on invoices."""

    customer: Customer
    whole: Outcome = field(default_factory=Outcome)
    months: dict[date, Outcome] = field(default_factory=dict)

    @property
    def worst_month(self) -> tuple[date, Outcome] | None:
        """The month whose bill would have risen most; None where none would have."""
        risen = [(month, each) for month, each in self.months.items() if each.difference > 0]
        return max(risen, key=lambda each: each[1].difference, default=None)


@dataclass(slots=True)
class Simulation:
    """The whole result. Customers who could not be priced are in `failures` and in none of the sums."""

    plan: Plan
    first: date
    last: date
    whole: Outcome = field(default_factory=Outcome)
    months: dict[date, Outcome] = field(default_factory=dict)
    customers: list[CustomerOutcome] = field(default_factory=list)
    failures: list[tuple[Customer, str]] = field(default_factory=list)

    @property
    def dearer(self) -> list[CustomerOutcome]:
        """Customers who would have paid more, those with the worst shock first."""
        found = [each for each in self.customers if each.whole.difference > 0]
        return sorted(found, key=lambda each: (-each.whole.difference, each.customer.code))

    @property
    def cheaper(self) -> list[CustomerOutcome]:
        found = [each for each in self.customers if each.whole.difference < 0]
        return sorted(found, key=lambda each: (each.whole.difference, each.customer.code))


@dataclass(frozen=True, slots=True)
class _Due:
    """A period to be priced, with the events it may see and the customer it belongs to."""

    due: DuePeriod
    watermark: int
    customer_id: int


def simulate(
    plan: Plan,
    *,
    first: date,
    last: date,
    now: datetime,
    customers: Collection[str] = (),
    instead_of: Collection[str] = (),
) -> Simulation:
    """Price the usage of issued invoices whose period ends in `(first, last]` by a version. Writes nothing.

    `customers` are codes, empty for all. `instead_of` are codes of the plans it takes the place of; empty: the same
    code, or where nobody was invoiced by that, every plan that bills one of its meters. Invoices in other currencies
    are left out.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        invoices = list(_invoices(plan, first, last, customers, instead_of))
        return _compare(Simulation(plan, first, last), invoices, now=now)


def count_invoices(plan: Plan, *, first: date, last: date, customers: Collection[str] = ()) -> int:
    """Tell how many invoices `simulate` would price again, before it does."""
    return _invoices(plan, first, last, customers, ()).order_by().count()


def _invoices(
    plan: Plan, first: date, last: date, customers: Collection[str], instead_of: Collection[str]
) -> QuerySet[Invoice]:
    rows = (
        Invoice.objects.filter(period_end__gt=first, period_end__lte=last, currency=plan.currency)
        .exclude(status__in=[InvoiceStatus.DRAFT, InvoiceStatus.VOID])
        .exclude(subscription=None)
        .select_related("customer", "subscription__plan", "subscription__customer")
        .prefetch_related("lines")
        .order_by("customer__code", "subscription_id", "period_start")
    )
    if customers:
        rows = rows.filter(customer__code__in=customers)
    if instead_of:
        return rows.filter(plan_code__in=instead_of)
    if rows.filter(plan_code=plan.code).exists():
        return rows.filter(plan_code=plan.code)
    meters = plan.rates.filter(kind=RateKind.USAGE).values("meter")
    return rows.filter(subscription__in=Subscription.objects.filter(coverages__meter__in=meters))


def _compare(result: Simulation, invoices: Sequence[Invoice], *, now: datetime) -> Simulation:
    outcomes: dict[int, CustomerOutcome] = {}
    runs: list[list[Invoice]] = []
    for invoice in invoices:
        outcome = outcomes.setdefault(invoice.customer_id, CustomerOutcome(invoice.customer))
        kept = sum((line.amount for line in invoice.lines.all() if line.kind not in PLAN_KINDS), Decimal(0))
        _add(outcome, _month(invoice.period_end), then=invoice.subtotal, now=kept)
        last = runs[-1][-1] if runs else None
        if last and (last.subscription_id, last.period_end) == (
            invoice.subscription_id,
            invoice.period_start,
        ):
            runs[-1].append(invoice)
        else:
            runs.append([invoice])
    failed: dict[int, str] = {}
    for each, amount, problem in _priced([due for run in runs for due in _due(run, result.plan)], now=now):
        if amount is None:
            failed.setdefault(each.customer_id, problem)
        else:
            _add(outcomes[each.customer_id], _month(each.due.period.end_on), now=amount)
    for pk, outcome in outcomes.items():
        if pk in failed:
            result.failures.append((outcome.customer, failed[pk]))
            continue
        result.customers.append(outcome)
        _sum(result.whole, outcome.whole)
        for month, part in outcome.months.items():
            _sum(result.months.setdefault(month, Outcome()), part)
    result.months = dict(sorted(result.months.items()))
    return result


def _due(run: Sequence[Invoice], plan: Plan) -> Iterable[_Due]:
    """Give the periods of the plan in the days of invoices that touch, each with the events they counted."""
    billed = run[0].subscription
    assert billed is not None  # one-off invoices are left out
    subscription = as_if(billed, plan)
    first, last = run[0].period_start, run[-1].period_end
    for whole in periods_between(
        first, last, anchor=anchor_of(subscription), interval=plan.invoice_interval, zone=run[0].zone
    ):
        part = clip(whole, start_on=first, end_on=last)
        assert part is not None  # it shares a day with them
        watermark = max(each.watermark for each in run if _share(each, part))
        yield _Due(DuePeriod(subscription, part, agreed_by=billed.pk), watermark, run[0].customer_id)


def _share(invoice: Invoice, period: Period) -> bool:
    return invoice.period_start < period.end_on and period.start_on < invoice.period_end


def _priced(due: Sequence[_Due], *, now: datetime) -> Iterable[tuple[_Due, Decimal | None, str]]:
    """Draw up the periods of each watermark together: one query per meter for up to 2,000 of them."""
    by_watermark: dict[int, list[_Due]] = {}
    for each in due:
        by_watermark.setdefault(each.watermark, []).append(each)
    for watermark, group in by_watermark.items():
        for start in range(0, len(group), CHUNK):
            part = group[start : start + CHUNK]
            by_id = {id(each.due): each for each in part}
            drawn = price_periods([each.due for each in part], now=now, watermark=watermark)
            for draft in drawn.drafts:
                yield by_id[id(draft.due)], draft.subtotal, ""
            for failed, problem in drawn.failures:
                yield by_id[id(failed)], None, problem.message


def _month(period_end: date) -> date:
    """Give the first day of the month that holds the last day of a period."""
    return (period_end - timedelta(days=1)).replace(day=1)


def _add(outcome: CustomerOutcome, month: date, *, then: Decimal = Decimal(0), now: Decimal) -> None:
    part = Outcome(then, now)
    _sum(outcome.whole, part)
    _sum(outcome.months.setdefault(month, Outcome()), part)


def _sum(whole: Outcome, part: Outcome) -> None:
    whole.then += part.then
    whole.now += part.now


def last_months(count: int, *, now: datetime) -> tuple[date, date]:
    """Give the days `first` and `last` of the last whole calendar months in UTC, as `simulate` takes them."""
    last = now.astimezone(UTC).date().replace(day=1)
    position = last.year * 12 + last.month - 1 - count
    return date(position // 12, position % 12 + 1, 1), last
