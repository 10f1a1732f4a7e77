"""What the worker does by itself: `manage.py procrastinate worker`."""

from __future__ import annotations

from datetime import UTC, timedelta

from django.conf import settings
from django.utils import timezone
from procrastinate.contrib.django import app

from billing.alerting import send_alerts
from billing.budgeting import check_budgets
from billing.checking import ask_for_check, run_check
from billing.close_runs import ask_for_close, run_close
from billing.crediting import expire_credits
from billing.deciding import find_late_usage
from billing.delivering import prune_messages, send_webhooks
from billing.mailing import queue_issued, send_notices, send_waiting
from billing.models import CheckKind, CheckRun, CloseEntrance, CloseRun, CloseState
from billing.months import Month
from billing.notifying import SEND_TASK
from billing.reconciling import reconcile_month
from billing.recurring import grant_due
from billing.reminding import remind
from billing.telling import tell_overdue
from customers.repeating import forget_answers


@app.periodic(cron="23 * * * *")
@app.task(queueing_lock="reconcile_months", pass_context=False)
def reconcile_months(timestamp: int) -> None:
    """Reconcile the running month and the one before, each hour, for the dashboard's alarm."""
    now = timezone.now()
    today = now.astimezone(UTC).date()
    reconcile_month(today.replace(day=1) - timedelta(days=1), now=now)
    reconcile_month(today, now=now)


@app.task(name="close_month")
def close_month(run_id: int) -> None:
    """Run a close that was asked for in the admin or by the schedule."""
    run_close(CloseRun.objects.get(pk=run_id))


def close_in_background(run: CloseRun) -> None:
    """Give a recorded close to the worker, in the transaction of the caller."""
    close_month.defer(run_id=run.pk)


@app.periodic(cron="*/5 * * * *")
@app.task(queueing_lock="resume_closes", pass_context=False)
def resume_closes(timestamp: int) -> None:
    """Go on with closes whose worker was stopped in the middle."""
    now = timezone.now()
    for run in CloseRun.objects.filter(state=CloseState.RUNNING).exclude(entrance=CloseEntrance.COMMAND):
        if run.is_silent(now):
            run_close(run)


@app.periodic(cron="*/5 * * * *")
@app.task(queueing_lock="find_late_usage", pass_context=False)
def look_for_late_usage(timestamp: int) -> None:
    """Find closed periods whose events changed, and what that comes to, for the page of late usage."""
    find_late_usage(now=timezone.now())


@app.task(queueing_lock="close_last_month", pass_context=False)
def close_last_month(timestamp: int) -> None:
    """Close the month before, each day at CLOSE_DAILY_AT: drafts whose grace days are over are issued."""
    now = timezone.now()
    month = Month.of(now.astimezone(UTC).date()).previous
    run_close(ask_for_close(month, grace_days=settings.GRACE_DAYS, entrance=CloseEntrance.SCHEDULE, now=now))


if settings.CLOSE_DAILY_AT is not None:
    hour, minute = settings.CLOSE_DAILY_AT
    app.periodic(cron=f"{minute} {hour} * * *")(close_last_month)


@app.task(name="run_check")
def check(run_id: int) -> None:
    """Run an audit or a verification that was asked for in the admin."""
    run_check(CheckRun.objects.get(pk=run_id))


def check_in_background(run: CheckRun) -> None:
    """Give a recorded check to the worker, in the transaction of the caller."""
    check.defer(run_id=run.pk)


@app.periodic(cron="17 3 * * *")
@app.task(queueing_lock="check_everything", pass_context=False)
def check_everything(timestamp: int) -> None:
    """Audit everything and verify every invoice, each night."""
    for kind in CheckKind:
        run_check(ask_for_check(kind, by="schedule", now=timezone.now()))


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="send_mails", pass_context=False)
def send_mails(timestamp: int) -> None:
    """Send the documents that wait, each minute; with SEND_INVOICES also what was issued since."""
    now = timezone.now()
    if settings.SEND_INVOICES:
        queue_issued(now=now)
    send_waiting(now=now)
    send_notices(now=now)


@app.periodic(cron="* * * * *")
@app.task(name=SEND_TASK, queueing_lock=SEND_TASK, pass_context=False)
def send_what_webhooks_tell(timestamp: int) -> None:
    """Send webhooks that wait: at once when something is announced, and each minute what is to be tried again."""
    send_webhooks()


@app.periodic(cron="37 * * * *")
@app.task(queueing_lock="look_after_webhooks", pass_context=False)
def look_after_webhooks(timestamp: int) -> None:
    """Announce invoices that became overdue, and delete what was told long ago, each hour."""
    now = timezone.now()
    tell_overdue(now=now)
    prune_messages(now=now)


@app.periodic(cron="57 * * * *")
@app.task(queueing_lock="forget_old_answers", pass_context=False)
def forget_old_answers(timestamp: int) -> None:
    """Forget what the API answered to writes so long ago that nobody sends them again, each hour."""
    forget_answers(now=timezone.now())


@app.periodic(cron="7 * * * *")
@app.task(queueing_lock="look_after_credits", pass_context=False)
def look_after_credits(timestamp: int) -> None:
    """Look after credits each hour: grant recurring ones, write off and carry over what expired, mail who runs low."""
    now = timezone.now()
    grant_due(now=now)
    expire_credits(now=now)
    send_alerts(now=now)


@app.periodic(cron="47 * * * *")
@app.task(queueing_lock="check_budgets", pass_context=False)
def look_at_budgets(timestamp: int) -> None:
    """Work out where budgets stand and raise their alarms, each hour."""
    check_budgets(now=timezone.now())


@app.periodic(cron="*/5 * * * *")
@app.task(queueing_lock="look_at_limits", pass_context=False)
def look_at_limits(timestamp: int) -> None:
    """Tell customers what part of their limits is used, each part once per billing period."""
    remind(now=timezone.now())
