"""The page of checks: who may run them, and what it says."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from billing.closing import close_period
from billing.models import CheckRun, Invoice
from billing.months import Month
from billing.tasks import check, check_everything
from tests.factories import NOW, make_subscription, send_tickets
from tests.staff import messages_of, sign_in

pytestmark = pytest.mark.django_db(transaction=True)
RUN = "admin:billing_checkrun_run"
PAGE = "admin:billing_checkrun_changelist"


def text_of(response: Any) -> str:
    return " ".join(unescape(strip_tags(response.content.decode())).split())


def test_a_check_is_run_by_the_worker_and_shows_the_time_of_its_last_clean_run() -> None:
    staff = sign_in("Billing clerk")
    assert "no clean run yet" in text_of(staff.get(reverse(PAGE)))
    with time_machine.travel(NOW, tick=False):
        answer = staff.post(reverse(RUN, args=["audit"]), follow=True)
        assert "Audit is running" in messages_of(answer)
        again = staff.post(reverse(RUN, args=["audit"]), follow=True)
        assert "It is running already" in messages_of(again)
        run = CheckRun.objects.get()
        check(run_id=run.pk)
        page = text_of(staff.get(reverse(PAGE)))
    assert "last clean run 20 Nov 2026, 12:00 UTC" in page
    assert "All is right. 12 checked" in page
    assert "The numbers of invoices and credit notes have no gaps. Holds" in page
    assert "Asked for by" in text_of(staff.get(reverse("admin:billing_checkrun_change", args=[run.pk])))


def test_a_difference_is_named_and_an_alarm_on_the_dashboard() -> None:
    make_subscription()
    send_tickets(1)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    staff = sign_in("Read only")
    CheckRun.objects.create(
        kind="audit", asked_by="night", asked_at=NOW, started_at=NOW, finished_at=NOW, checked=9, differing=1,
        findings=[{"code": "x", "words": "A holds.", "differences": 3, "named": ["INV-1 <b>"]}],
    )  # fmt: skip
    page = staff.get(reverse(PAGE))
    assert "1 of 9 differ" in text_of(page)
    assert "3 wrong" in text_of(page)
    assert b"INV-1 &lt;b&gt;" in page.content
    assert b"Run now" not in page.content
    assert staff.post(reverse(RUN, args=["audit"])).status_code == 403
    assert CheckRun.objects.count() == 1
    assert "Audit: 1 of 9 differ." in text_of(staff.get(reverse("admin:index")))


def test_each_night_everything_is_checked(client: Client) -> None:
    make_subscription()
    check_everything(timestamp=0)
    assert {(run.kind, run.differing, run.failure) for run in CheckRun.objects.all()} == {
        ("audit", 0, ""),
        ("verification", 0, ""),
    }
    assert not Invoice.objects.exists()
