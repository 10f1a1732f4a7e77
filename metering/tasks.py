"""What the worker does by itself: `manage.py procrastinate worker`."""

from __future__ import annotations

from procrastinate.contrib.django import app

from metering.folding import fold_usage


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="fold_usage", pass_context=False)
def fold_usage_by_day(timestamp: int) -> None:
    """Bring usage by day up to date, each minute; a minute missed is caught up by the next."""
    fold_usage()
