"""Closes with a record: who asked for one, how far it is, how it ended. Admin, command and schedule close by these.

A run whose process was killed stays where it was; any later close of the month does what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from billing.close_reports import ChunkResult, CloseReport
from billing.closing import OnChunk, close_period
from billing.drafts import customers_of
from billing.errors import BillingError, PeriodNotOver
from billing.holding import save_reviews
from billing.models import CloseEntrance, CloseRun, CloseState
from billing.months import Month
from billing.telling import tell_close


def ask_for_close(
    month: Month,
    *,
    grace_days: int,
    entrance: str,
    now: datetime,
    by: User | None = None,
    customer_codes: Sequence[str] = (),
    dry_run: bool = False,
) -> CloseRun:
    """Record that a month is to be closed, for all customers where none is named. `run_close` closes it."""
    return CloseRun.objects.create(
        month=month.first,
        dry_run=dry_run,
        grace_days=grace_days,
        entrance=entrance,
        started_by=by,
        asked_at=now,
        customer_codes=list(customer_codes),
    )


def run_close(
    run: CloseRun, *, closers: int | None = None, on_chunk: OnChunk | None = None
) -> CloseReport | None:
    """Close the month of a run and record its progress; None when it was refused, with the reason on the run.

    The work is shared by `closers` processes; where nobody says, by one for each processor once that is worth it.

    Running it again goes on where it stopped. Whatever else stops it is recorded and raised.
    """
    started = timezone.now()
    _update(run, state=CloseState.RUNNING, started_at=started, seen_at=started, finished_at=None, refusal="")

    def record(chunk: ChunkResult, report: CloseReport) -> None:
        if run.dry_run:  # a close has stored them with its drafts
            customers = {pk for draft in chunk.drafts for pk in customers_of(draft)}
            save_reviews(chunk.reviews, report.month, looked_at=customers, now=started)
        _update(run, seen_at=timezone.now(), **_counts(report))
        if on_chunk is not None:
            on_chunk(chunk, report)

    try:
        report = close_period(
            Month.of(run.month),
            now=started,
            grace_days=run.grace_days,
            customer_codes=run.customer_codes,
            dry_run=run.dry_run,
            closers=closers,
            on_chunk=record,
        )
    except BillingError as refused:
        # Each day's scheduled close may come before the month is over somewhere: the next one is in time.
        harmless = isinstance(refused, PeriodNotOver) and run.entrance == CloseEntrance.SCHEDULE
        _end(run, CloseState.DONE if harmless else CloseState.FAILED, refusal=refused.message)
        return None
    except Exception as problem:
        said = str(problem).partition("\n")[0] or type(problem).__name__
        _end(run, CloseState.FAILED, refusal=f"It stopped: {said} Close the month again.")
        raise
    except BaseException:
        _end(
            run, CloseState.FAILED, refusal="It was stopped. Close the month again: what is missing is added."
        )
        raise
    _end(run, CloseState.DONE, **_counts(report))
    return report


def _counts(report: CloseReport) -> dict[str, Any]:
    return {
        "total": report.total,
        "done": report.done,
        "issued": report.issued,
        "drafted": report.drafted,
        "held": report.held,
        "unchanged": report.unchanged,
        "not_over": report.not_over,
        "failed": len(report.failures),
        "amounts": {currency: f"{amount:f}" for currency, amount in sorted(report.totals.items())},
    }


@transaction.atomic
def _end(run: CloseRun, state: CloseState, **fields: Any) -> None:
    now = timezone.now()
    _update(run, state=state, finished_at=now, seen_at=now, **fields)
    if not run.dry_run:
        tell_close(run, now=now)


def _update(run: CloseRun, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(run, name, value)
    run.save(update_fields=list(fields))
