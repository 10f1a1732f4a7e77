"""The checks: the audit's equations and the verification of invoices, with the time of the last clean run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone

from billing.checking import ask_for_check, last_runs
from billing.models import CheckKind, CheckRun
from billing.tasks import check_in_background
from customers.staff_pages import ReadOnlyAdmin, require

RUNS_SHOWN = 15
# A check that is silent so long was stopped; another may be asked for.
STOPPED = timedelta(hours=6)
NO_WORKER = timedelta(seconds=30)
ABOUT = {
    CheckKind.AUDIT: "Asks whether everything that is stored still adds up: events, lines, invoices, customers.",
    CheckKind.VERIFICATION: "Computes every issued invoice again from its raw events and frozen terms, by a second, "
    "plain way of counting, and compares to the cent.",
}


@admin.register(CheckRun)
class CheckRunAdmin(ReadOnlyAdmin):
    """Its list is one page: each check with its last run, and the runs before."""

    change_form_template = "admin/billing/checkrun/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("", wrap(self.checks_view), name="billing_checkrun_changelist"),
            path("run/<slug:kind>/", wrap(self.run_view), name="billing_checkrun_run"),
        ]
        return [*own, *super().get_urls()]

    def checks_view(self, request: HttpRequest) -> HttpResponse:
        require(request, "billing.view_checkrun")
        now = timezone.now()
        runs = CheckRun.objects.all()[:RUNS_SHOWN]
        return self.page(
            request,
            "admin/billing/checkrun/checks.html",
            title="Checks",
            checks=[_card(kind, now) for kind in ABOUT],
            runs=runs,
            may_run=request.user.has_perm("billing.run_checks"),
        )

    def run_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        """Give a check to the worker; it changes nothing, so there is nothing to confirm."""
        require(request, "billing.run_checks")
        if request.method != "POST" or kind not in list(ABOUT):
            raise Http404
        now = timezone.now()
        if _is_going_on(last_runs(CheckKind(kind)).latest, now):
            messages.info(request, "It is running already.")
        else:
            with transaction.atomic():
                check_in_background(ask_for_check(CheckKind(kind), by=request.user.get_username(), now=now))
            messages.success(request, f"{CheckKind(kind).label} is running. This page shows what it finds.")
        return redirect("admin:billing_checkrun_changelist")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return []

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        context |= {"run": kwargs["obj"]}
        return super().render_change_form(request, context, *args, **kwargs)


def _card(kind: CheckKind, now: Any) -> dict[str, Any]:
    runs = last_runs(kind)
    going_on = _is_going_on(runs.latest, now)
    latest = runs.latest
    waits = going_on and latest is not None and latest.started_at is None
    return {
        "kind": kind,
        "label": kind.label,
        "about": ABOUT[kind],
        "run": runs.finished,
        "clean": runs.clean,
        "going_on": latest if going_on else None,
        "no_worker": waits and latest is not None and now - latest.asked_at > NO_WORKER,
    }


def _is_going_on(run: CheckRun | None, now: Any) -> bool:
    return run is not None and run.finished_at is None and now - run.asked_at < STOPPED
