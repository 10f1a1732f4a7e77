"""Credits granted anew in every period: set up, granted when a period begins, stopped.

The worker looks each hour, and every issue of invoices looks first, so a close misses none. Whoever is late grants what
is missing as if on time. That a period has its credit once is held by the database (creditgrant_once_per_period).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet

from billing.crediting import DEFAULT_PRIORITY, CreditTerms, check_terms, first_entry, write_entries
from billing.errors import InvalidCredit, RecurrenceStopped
from billing.models import CreditGrant, CreditKind, GrantInterval, RecurringGrant
from customers.lookups import Ids
from customers.models import Customer
from metering.periods import Anchor, Interval, Period, local_day

AT_ONCE = 500
LATEST = date(2100, 1, 1)


@dataclass(frozen=True, slots=True)
class RecurringTerms:
    """What is granted in every period; see RecurringGrant for what each means. `start_on` None: today."""

    amount: Decimal
    currency: str
    name: str
    interval: str = GrantInterval.MONTH.value
    kind: str = CreditKind.PROMOTIONAL.value
    priority: int = DEFAULT_PRIORITY
    start_on: date | None = None
    end_on: date | None = None
    expires: bool = True
    rollover_limit: Decimal | None = None


@transaction.atomic
def grant_regularly(customer: Customer, terms: RecurringTerms, *, by: str, now: datetime) -> RecurringGrant:
    """Set up a recurring grant, and grant what is due by now. Raises InvalidCredit naming every wrong field."""
    today = local_day(now, customer.timezone)
    start_on = terms.start_on or today
    _check(terms, start_on=start_on, today=today, now=now)
    row = RecurringGrant.objects.create(
        customer=customer,
        name=terms.name,
        kind=terms.kind,
        amount=terms.amount,
        currency=terms.currency,
        priority=terms.priority,
        interval=terms.interval,
        start_on=start_on,
        end_on=terms.end_on,
        zone=customer.timezone,
        expires=terms.expires,
        rollover_limit=terms.rollover_limit,
        next_on=start_on,
        next_at=Period(start_on, start_on, customer.timezone).start,
        created_at=now,
        created_by=by,
    )
    _grant([row], now=now)
    return row


@transaction.atomic
def stop_granting(row: RecurringGrant, *, by: str, now: datetime) -> RecurringGrant:
    """Grant nothing more from the next period on; what was granted stays. Raises RecurrenceStopped."""
    row = RecurringGrant.objects.select_for_update().get(pk=row.pk)
    if row.stopped_at is not None:
        raise RecurrenceStopped(f"“{row.name}” is stopped already.")
    _grant([row], now=now)
    row.stopped_at, row.stopped_by = now, by
    row.save(update_fields=["stopped_at", "stopped_by"])
    return row


def grant_due(*, now: datetime, customer_ids: Collection[int] | None = None) -> int:
    """Grant the credits of all periods that have begun, some customers' or everybody's; give how many.

    In transactions of some hundred recurring grants each, or in the caller's. Rerunning adds nothing.
    """
    granted = 0
    due = list(_due(now, customer_ids).values_list("pk", flat=True))
    for first in range(0, len(due), AT_ONCE):
        with transaction.atomic():
            rows = _due(now, customer_ids).filter(pk__in=due[first : first + AT_ONCE])
            granted += _grant(list(rows.select_for_update()), now=now)
    return granted


def customers_due(customer_ids: Collection[int], *, now: datetime) -> set[int]:
    """Give the customers that the next `grant_due` would grant something."""
    return set(_due(now, customer_ids).values_list("customer_id", flat=True))


def not_yet_granted(customer_ids: Collection[int], *, now: datetime) -> list[CreditGrant]:
    """Give, unsaved, the credits that the next `grant_due` would grant, filled. One query; writes nothing."""
    found = []
    for row in _due(now, customer_ids):
        for period in _periods(row, now):
            grant = _credit(row, period, now=now)
            grant.balance = grant.amount
            found.append(grant)
    return found


def _due(now: datetime, customer_ids: Collection[int] | None) -> QuerySet[RecurringGrant]:
    rows = RecurringGrant.objects.filter(stopped_at=None, next_at__lte=now)
    return (rows if customer_ids is None else rows.filter(customer__among=Ids(customer_ids))).order_by("id")


def _grant(rows: Sequence[RecurringGrant], *, now: datetime) -> int:
    """Grant what is due of locked rows, and move them on."""
    fresh = []
    for row in rows:
        for period in _periods(row, now):
            fresh.append(_credit(row, period, now=now))
            row.next_on, row.next_at = period.end_on, period.end
        if row.end_on is not None and row.next_on >= row.end_on and row.stopped_at is None:
            row.stopped_at = now
    CreditGrant.objects.bulk_create(fresh)
    write_entries([first_entry(grant) for grant in fresh])
    RecurringGrant.objects.bulk_update(rows, ["next_on", "next_at", "stopped_at"])
    return len(fresh)


def _periods(row: RecurringGrant, now: datetime) -> list[Period]:
    """Give the periods that have begun and have no credit yet, in order."""
    found = []
    period = period_from(row, row.next_on)
    while period.start <= now and (row.end_on is None or period.start_on < row.end_on):
        found.append(period)
        period = period_from(row, period.end_on)
    return found


def period_from(row: RecurringGrant, start_on: date) -> Period:
    """Give the period of a recurring grant that begins on a day."""
    anchor, interval = Anchor.on(row.start_on), Interval(row.interval)
    index = anchor.index_of(interval, start_on)
    return Period(start_on, anchor.boundary(interval, index + 1), row.zone)


def _credit(row: RecurringGrant, period: Period, *, now: datetime) -> CreditGrant:
    rolls = row.rollover_limit is not None
    return CreditGrant(
        customer_id=row.customer_id,
        currency=row.currency,
        kind=row.kind,
        name=row.name,
        amount=row.amount,
        priority=row.priority,
        effective_at=period.start,
        expires_at=period.end if row.expires else None,
        rollover_limit=row.rollover_limit,
        rollover_until=period_from(row, period.end_on).end if rolls else None,
        recurring=row,
        recurring_on=period.start_on,
        granted_at=now,
        granted_by="",
    )


def _check(terms: RecurringTerms, *, start_on: date, today: date, now: datetime) -> None:
    problems: dict[str, str] = {}
    try:
        check_terms(
            CreditTerms(
                amount=terms.amount,
                currency=terms.currency,
                name=terms.name,
                kind=terms.kind,
                priority=terms.priority,
                expires_at=now + timedelta(days=1) if terms.expires else None,
                rollover_limit=terms.rollover_limit,
            ),
            now=now,
        )
    except InvalidCredit as refused:
        problems |= refused.fields
    if terms.interval not in GrantInterval.values:
        problems["interval"] = "Choose month, quarter or year."
    if not today.replace(day=1) <= start_on < LATEST:
        problems["start_on"] = f"Choose a day from {today.replace(day=1)} on, the beginning of this month."
    elif terms.end_on is not None and not start_on < terms.end_on < LATEST:
        problems["end_on"] = "Choose a day after the first."
    if problems:
        raise InvalidCredit(next(iter(problems.values())), fields=problems)
