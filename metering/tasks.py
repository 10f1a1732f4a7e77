"""What the worker does by itself: `manage.py procrastinate worker`."""

from __future__ import annotations

from django.utils import timezone
from procrastinate.contrib.django import app

from metering.folding import fold_usage
from metering.releasing import release_unmatched
from metering.settling_ahead import settle_outcomes


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="fold_usage", pass_context=False)
def fold_usage_by_day(timestamp: int) -> None:
    """Bring usage by day, and the outcomes settled ahead, up to date; a minute missed is caught up by the next."""
    fold_usage()
    settle_outcomes()


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="release_unmatched", pass_context=False)
def release_unmatched_events(timestamp: int) -> None:
    """Match events that came while their meter or customer was being created: creating one matches those before."""
    release_unmatched(now=timezone.now())
