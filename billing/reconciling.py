"""Reconciliation: what arrived = what became of it, and what was accepted = billed + not yet billed + free + voided.

An event is billed when it lies in the period and meter of an issued invoice's usage line of its customer, and was
placed up to that invoice's watermark, or up to that of an invoice which settled the line later. It
is free of charge when no subscription prices its meter on its day, or staff waived what it would cost; voided when a
correction took it back; else not yet billed. Draft and void invoices bill and settle nothing. An outcome is billed in
the period in which it settles (billing.standing_outcomes).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from billing.models import ReconciliationRun
from billing.segments import segments_between
from billing.standing_outcomes import standing_outcomes
from customers.models import Customer
from metering.arrivals import Intake, Mismatch, count_arrivals, count_arrivals_of, find_mismatches
from metering.models import Event, Meter
from metering.periods import month_period
from metering.standings import Standing, Standings, count_standings, events_standing


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Every count of `[start, end)`. `arrivals` go by the time of receipt, `standings` by the time events occurred.

    `mismatched_rows` compares the ledger with the stored rows of every batch received in that time, of all customers.
    `difference` is 0 when every event is accounted for exactly once; anything else is an alarm.
    """

    start: datetime
    end: datetime
    customer: Customer | None
    arrivals: tuple[Intake, ...]
    mismatched_rows: int
    mismatches: tuple[Mismatch, ...]
    standings: tuple[Standings, ...]

    @property
    def arrived(self) -> Intake:
        """The arrivals of all sources together."""
        return _together(self.arrivals, known=self.customer is None)

    def standing(self, name: str) -> int:
        """Give one count over all meters: `accepted`, `billed`, `voided_after_billing` and so on."""
        return sum(int(getattr(each, name)) for each in self.standings)

    @property
    def taken_back(self) -> int:
        """How many events an invoice counted and a later one has still to take back."""
        return self.standing("voided_after_billing") + self.standing("reversed_after_billing")

    @property
    def uncounted(self) -> dict[str, int]:
        """Of the events free of charge those that do not count as outcomes, by why; without what is 0."""
        names = ("signals", "reversed", "repeated", "unproven")
        return {name: count for name in names if (count := self.standing(name))}

    @property
    def difference(self) -> int:
        return (
            self.mismatched_rows
            + sum(abs(each.difference) for each in self.arrivals)
            + sum(abs(each.difference) for each in self.standings)
        )


def reconcile(
    start: datetime, end: datetime, *, customer: Customer | None = None, by_customer: bool = False
) -> Reconciliation:
    """Account for every event of `[start, end)`, of all customers or of one. Writes nothing.

    `by_customer` gives the standings of each customer and meter, else of each meter. One statement counts all
    standings, so they are of one moment.
    """
    arrivals = count_arrivals(start, end) if customer is None else count_arrivals_of(customer, start, end)
    mismatched, mismatches = find_mismatches(start, end)
    standings = count_standings(
        segments_between(start, end, customer=customer),
        standing_outcomes(start, end, customer=customer),
        start=start,
        end=end,
        customer_id=customer.pk if customer else None,
        by_customer=by_customer,
    )
    return Reconciliation(
        start, end, customer, tuple(arrivals), mismatched, tuple(mismatches), tuple(standings)
    )


def reconcile_month(day: date, *, now: datetime) -> Reconciliation:
    """Reconcile the calendar month of a day, in UTC, over all customers, and keep how it came out for the alarm."""
    period = month_period(day.year, day.month, "UTC")
    found = reconcile(period.start, period.end)
    outcome = {"ran_at": now, "difference": found.difference}
    if not found.difference:
        outcome["clean_at"] = now
    ReconciliationRun.objects.update_or_create(start=period.start, end=period.end, defaults=outcome)
    return found


def alarms() -> list[ReconciliationRun]:
    """Give the months whose last reconciliation found a difference, the newest first."""
    return list(ReconciliationRun.objects.exclude(difference=0).order_by("-start"))


def events_of(
    standing: Standing,
    *,
    meter: Meter,
    start: datetime,
    end: datetime,
    customer: Customer | None = None,
    after: Event | None = None,
    limit: int = 100,
) -> list[Event]:
    """Give the events behind one count, oldest first; `after` is the last one of the page before."""
    return events_standing(
        segments_between(start, end, customer=customer, meter=meter),
        standing_outcomes(start, end, customer=customer, meter=meter),
        standing,
        meter=meter,
        start=start,
        end=end,
        customer_id=customer.pk if customer else None,
        after=None if after is None else (after.occurred_at, after.pk),
        limit=limit,
    )


def _together(arrivals: Iterable[Intake], *, known: bool) -> Intake:
    rows = list(arrivals)

    def total(name: str) -> int:
        return sum(getattr(each, name) or 0 for each in rows)

    return Intake(
        source=None,
        received=total("received") if known else None,
        accepted=total("accepted"),
        duplicates=total("duplicates") if known else None,
        conflicts=total("conflicts"),
        unmatched=total("unmatched"),
        rejected=total("rejected") if known else None,
        released=total("released"),
    )
