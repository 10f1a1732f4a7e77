"""A close started in the admin: at once where it is small, by the worker with its progress shown where it is not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.urls import reverse
from procrastinate.contrib.django.models import ProcrastinateJob

from billing import tasks
from billing.admin import close_page, closes
from billing.models import CloseRun, CloseState, Invoice, ParkedCustomer
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.staff import sign_in, text_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_story_time")]
CLOSE = "admin:billing_invoice_close"
OCTOBER = date(2026, 10, 1)


@pytest.fixture
def _story_time() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """One subscription is as many as a page computes."""
    monkeypatch.setattr(closes, "CLOSED_AT_ONCE", 0)
    monkeypatch.setattr(close_page, "SHOWN_AT_ONCE", 0)


def run_url(run: CloseRun) -> str:
    return reverse("admin:billing_closerun_change", args=[run.pk])


def work() -> None:
    """Do what the worker would."""
    for job in ProcrastinateJob.objects.filter(task_name="close_month", status="todo"):
        tasks.close_month(**job.args)


def make_run(**fields: Any) -> CloseRun:
    return CloseRun.objects.create(
        **({"month": OCTOBER, "grace_days": 0, "entrance": "admin", "asked_at": NOW} | fields)
    )


def test_an_invoice_says_who_closed_its_month() -> None:
    make_subscription()
    send_tickets(2)
    staff = sign_in()
    staff.post(reverse(CLOSE), {"month": "2026-10", "sure": "on"})
    page = staff.get(reverse("admin:billing_invoice_change", args=[Invoice.objects.get().pk]))
    assert [step["by"] for step in page.context["timeline"]] == ["root (close of October 2026)"] * 2


def test_a_small_close_is_done_when_the_page_answers() -> None:
    make_subscription()
    send_tickets(120)
    page = sign_in("Billing clerk").post(reverse(CLOSE), {"month": "2026-10", "sure": "on"}, follow=True)
    assert page.context["title"] == "October 2026 is closed"
    assert (page.context["run"].issued, page.context["totals"], page.context["who"]) == (
        1,
        ["$240.00"],
        "billing-clerk",
    )
    assert not ProcrastinateJob.objects.filter(task_name="close_month").exists()


@pytest.mark.usefixtures("_large")
def test_a_large_close_waits_for_the_worker_and_shows_its_progress() -> None:
    make_subscription()
    send_tickets(120)
    clerk = sign_in("Billing clerk")
    assert "Dry run" in text_of(clerk.get(reverse(CLOSE)))
    page = clerk.post(reverse(CLOSE), {"month": "2026-10", "sure": "on"}, follow=True)
    run = CloseRun.objects.get()
    assert (run.state, Invoice.objects.count()) == (CloseState.WAITING, 0)
    assert 'data-live="2"' in text_of(page)
    work()
    page = clerk.get(run_url(run))
    assert (page.context["run"].state, page.context["run"].issued) == (CloseState.DONE, 1)
    assert (page.context["pace"].percent, "data-live" in text_of(page)) == (100, False)


@pytest.mark.usefixtures("_large")
def test_a_dry_run_by_the_worker_needs_no_confirmation_and_writes_no_invoice() -> None:
    make_subscription()
    send_tickets(120)
    clerk = sign_in("Billing clerk")
    clerk.post(reverse(CLOSE), {"month": "2026-10", "look": "1"})
    work()
    page = clerk.get(run_url(CloseRun.objects.get()))
    assert (page.context["title"], page.context["totals"]) == ("Dry run of October 2026", ["$240.00"])
    assert not Invoice.objects.exists()


@pytest.mark.usefixtures("_large")
def test_a_large_close_without_the_confirmation_or_the_right_starts_nothing() -> None:
    make_subscription()
    page = sign_in("Billing clerk").post(reverse(CLOSE), {"month": "2026-10"})
    assert "sure" in page.context["form"].errors
    assert sign_in("Read only").post(reverse(CLOSE), {"month": "2026-10", "sure": "on"}).status_code == 403
    assert (CloseRun.objects.count(), ProcrastinateJob.objects.filter(task_name="close_month").count()) == (
        0,
        0,
    )


def test_a_run_without_a_worker_and_one_that_fell_silent_say_what_to_do() -> None:
    reader = sign_in("Read only")
    waiting = make_run(asked_at=NOW - timedelta(seconds=30))
    assert "manage.py procrastinate worker" in text_of(reader.get(run_url(waiting)))
    silent = make_run(
        state="running", started_at=NOW - timedelta(hours=1), seen_at=NOW - timedelta(minutes=6)
    )
    assert "No progress since 11:54 UTC" in text_of(reader.get(run_url(silent)))


def test_a_close_whose_worker_was_stopped_is_gone_on_with() -> None:
    make_subscription()
    stopped = make_run(state="running", started_at=NOW, seen_at=NOW - timedelta(minutes=6))
    alive = make_run(state="running", started_at=NOW, seen_at=NOW - timedelta(minutes=1))
    tasks.resume_closes(0)
    stopped.refresh_from_db()
    alive.refresh_from_db()
    assert (stopped.state, stopped.issued, alive.state) == (CloseState.DONE, 1, CloseState.RUNNING)


def test_a_close_that_stops_on_an_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    make_subscription()
    run = make_run()

    def fail(**options: Any) -> None:
        raise OSError("The disk is full.")

    monkeypatch.setattr("billing.closing.scan_changes", fail)
    with pytest.raises(OSError, match="disk"):
        tasks.close_month(run.pk)
    page = sign_in().get(run_url(run))
    assert "Not finished. It stopped: The disk is full. Close the month again." in text_of(page).replace(
        "</strong>", ""
    ).replace("<strong>", "")


def test_the_schedule_closes_the_month_before_and_issues_after_the_grace_days() -> None:
    make_subscription()
    send_tickets(1)
    for day, states in ((2, ["draft"]), (3, ["issued"]), (4, ["issued"])):
        with time_machine.travel(datetime(2026, 11, day, 4, 30, tzinfo=UTC), tick=False):
            tasks.close_last_month(0)
        assert list(Invoice.objects.values_list("status", flat=True)) == states
    assert set(CloseRun.objects.values_list("entrance", "state", "month")) == {("schedule", "done", OCTOBER)}


def test_the_schedule_is_no_failure_where_the_month_goes_on() -> None:
    make_subscription(make_customer(timezone="Pacific/Pago_Pago"))
    with time_machine.travel(datetime(2026, 11, 1, 4, 30, tzinfo=UTC), tick=False):
        tasks.close_last_month(0)
        run = CloseRun.objects.get()
        assert run.state == CloseState.DONE
        assert "is not over yet" in text_of(sign_in().get(run_url(run)))


def test_a_close_by_command_is_listed_with_its_customers(capsys: pytest.CaptureFixture[str]) -> None:
    make_subscription()
    call_command("close_invoices", "--month", "2026-10", "--customer", "acme")
    run = CloseRun.objects.get()
    assert (run.entrance, run.customer_codes, run.issued, run.done) == ("command", ["acme"], 1, 1)
    reader = sign_in("Read only")
    assert "for acme only" in text_of(reader.get(run_url(run)))
    assert "October 2026" in text_of(reader.get(reverse("admin:billing_closerun_changelist")))


def test_the_lists_ask_no_query_per_row(django_assert_max_num_queries: Any) -> None:
    staff = sign_in()
    for n in range(20):
        make_run()
        ParkedCustomer.objects.create(
            customer=make_customer(f"c{n}"),
            month=OCTOBER,
            code="x",
            reason="No price.",
            parked_at=NOW,
            tried_at=NOW,
        )
    for name in ("billing_closerun_changelist", "billing_parkedcustomer_changelist"):
        with django_assert_max_num_queries(10):
            assert len(staff.get(reverse(f"admin:{name}")).context["cl"].result_list) == 20
    assert "needs you" in text_of(staff.get(run_url(make_run(state="done", finished_at=NOW))))
