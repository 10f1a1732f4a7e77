"""Closes and their progress, and the customers that could not be billed."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from billing.admin.close_page import CLOSED_AT_ONCE, CloseForm
from billing.close_runs import ask_for_close, run_close
from billing.closing import count_subscriptions
from billing.formatting import money
from billing.models import CloseEntrance, CloseRun, CloseState, ParkedCustomer
from billing.months import Month
from billing.pace import Pace, duration_words
from billing.tasks import close_in_background
from customers.staff_pages import ReadOnlyAdmin

STATE_COLOURS = {
    CloseState.WAITING: "warning",
    CloseState.RUNNING: "info",
    CloseState.DONE: "success",
    CloseState.FAILED: "danger",
}
PARKED_SHOWN = 20
# The worker takes a close within a second; after so long there is none.
NO_WORKER_SECONDS = 20


def start_close(request: HttpRequest, form: CloseForm, *, now: datetime) -> CloseRun:
    """Close the month of a valid form: at once where it is small, else by the worker."""
    run = ask_for_close(
        form.chosen,
        grace_days=form.grace_days,
        entrance=CloseEntrance.ADMIN,
        now=now,
        by=request.user if isinstance(request.user, User) else None,
        dry_run="look" in request.POST,
    )
    if count_subscriptions(form.chosen) > CLOSED_AT_ONCE:
        close_in_background(run)
    else:
        run_close(run)
    return run


@admin.register(CloseRun)
class CloseRunAdmin(ReadOnlyAdmin):
    purpose = "Every time a month was closed: who asked for it, how far it is, and what came of it."
    empty_title = "No month was closed yet"
    empty_text = "Open Invoices and choose “Close a month”."
    change_form_template = "admin/billing/closerun/change_form.html"
    list_display = ("month_name", "state_badge", "asked_at", "who", "progress", "issued", "failed")
    list_filter = ("state", "entrance", "dry_run")
    list_select_related = ("started_by",)
    date_hierarchy = None

    @display(description="Month", ordering="month")
    def month_name(self, run: CloseRun) -> str:
        return f"{Month.of(run.month).name}{' (dry run)' if run.dry_run else ''}"

    @display(description="State", ordering="state", label=STATE_COLOURS)
    def state_badge(self, run: CloseRun) -> tuple[str, str]:
        return run.state, run.get_state_display()

    @display(description="Asked by", ordering="started_by")
    def who(self, run: CloseRun) -> str:
        return _who(run)

    @display(description="Progress")
    def progress(self, run: CloseRun) -> str:
        return f"{run.done:,} of {run.total:,}"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return []

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        run: CloseRun = kwargs["obj"]
        context |= run_page(run, now=timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)


def run_page(run: CloseRun, *, now: datetime) -> dict[str, Any]:
    """Give what a person wants to know of a close, while it runs and afterwards."""
    month = Month.of(run.month)
    started = run.started_at or run.asked_at
    until = run.finished_at or run.seen_at or now
    pace = Pace(run.done, run.total, (until - started).total_seconds())
    parked = ParkedCustomer.objects.filter(month=run.month, cleared_at=None).select_related("customer")
    titles = {
        CloseState.DONE: f"{month.name} is closed",
        CloseState.FAILED: f"Closing {month.name} failed",
        CloseState.RUNNING: f"Closing {month.name}",
        CloseState.WAITING: f"Closing {month.name}",
    }
    title = titles[CloseState(run.state)]
    if run.dry_run:
        title = f"Dry run of {month.name}"
    elif run.state == CloseState.DONE and run.refusal:
        title = f"{month.name} is not over yet"
    return {
        "title": title,
        "run": run,
        "month": month,
        "who": _who(run),
        "pace": pace,
        "took": duration_words(pace.seconds),
        "left": None if pace.seconds_left is None else duration_words(pace.seconds_left),
        "rate": None if pace.rate is None else f"{pace.rate:,.0f}",
        "totals": [money(Decimal(amount), currency) for currency, amount in run.amounts.items()],
        "silent": run.is_silent(now),
        "no_worker": run.state == CloseState.WAITING
        and (now - run.asked_at).total_seconds() > NO_WORKER_SECONDS,
        "parked": [] if run.dry_run else list(parked[:PARKED_SHOWN]),
        "parked_count": 0 if run.dry_run else parked.count(),
    }


def _who(run: CloseRun) -> str:
    if run.started_by is None:
        return run.get_entrance_display()
    return run.started_by.get_full_name() or run.started_by.get_username()


class ParkedFilter(admin.SimpleListFilter):
    """Those that wait, unless the billed ones are asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Not billed"), ("billed", "Billed since")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "waiting":
            return queryset.filter(cleared_at=None)
        return queryset.exclude(cleared_at=None) if self.value() == "billed" else queryset


@admin.register(ParkedCustomer)
class ParkedCustomerAdmin(ReadOnlyAdmin):
    purpose = (
        "Customers whose month could not be billed, with the reason. Correct the cause, then close the month again: "
        "only what is missing is added, and the customer leaves this list by itself."
    )
    empty_title = "Every customer was billed"
    empty_text = (
        "A customer that a close cannot bill is listed here with the reason; it never stops the others."
    )
    list_display = ("customer_name", "month_name", "state_badge", "why", "parked_at", "tries")
    list_filter = (ParkedFilter, "code")
    list_select_related = ("customer",)
    search_fields = ("customer__name", "customer__code", "reason")
    search_help_text = "Customer or reason"
    change_form_template = "admin/billing/parkedcustomer/change_form.html"

    @display(description="Customer", ordering="customer__name")
    def customer_name(self, parked: ParkedCustomer) -> str:
        return parked.customer.name

    @display(description="Month", ordering="month")
    def month_name(self, parked: ParkedCustomer) -> str:
        return Month.of(parked.month).name

    @display(
        description="State", ordering="cleared_at", label={"Not billed": "danger", "Billed since": "success"}
    )
    def state_badge(self, parked: ParkedCustomer) -> str:
        return "Billed since" if parked.cleared_at else "Not billed"

    @display(description="Why")
    def why(self, parked: ParkedCustomer) -> str:
        return parked.reason

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return []

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        parked: ParkedCustomer = kwargs["obj"]
        context |= {"parked": parked, "month": Month.of(parked.month), "title": str(parked)}
        return super().render_change_form(request, context, *args, **kwargs)
