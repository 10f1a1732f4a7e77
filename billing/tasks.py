"""What the worker does by itself: `manage.py procrastinate worker`."""

from __future__ import annotations

from datetime import UTC, timedelta

from django.utils import timezone
from procrastinate.contrib.django import app

from billing.reconciling import reconcile_month


@app.periodic(cron="23 * * * *")
@app.task(queueing_lock="reconcile_months", pass_context=False)
def reconcile_months(timestamp: int) -> None:
    """Reconcile the running month and the one before, each hour, for the dashboard's alarm."""
    now = timezone.now()
    today = now.astimezone(UTC).date()
    reconcile_month(today.replace(day=1) - timedelta(days=1), now=now)
    reconcile_month(today, now=now)
