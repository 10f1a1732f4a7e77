"""The reconciliation page, the events behind its numbers, and the alarm on the dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import time_machine
from django.db import connection
from django.urls import reverse

from billing.closing import close_period
from billing.models import ReconciliationRun
from billing.months import Month
from tests.factories import (
    NOW,
    TICKETS,
    event,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)
from tests.staff import sign_in, text_of

PAGE = "admin:billing_reconciliationrun_changelist"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def story() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        make_subscription()
        send_tickets(3)
        close_period(Month(2026, 10), now=NOW, grace_days=0)
        send(event("late"))
        yield


def test_each_number_of_a_month_leads_to_its_events() -> None:
    staff = sign_in("Read only")
    page = staff.get(reverse(PAGE), {"month": "2026-10"})
    assert "No difference." in text_of(page)
    links = re.findall(r'href="([^"]*reconciliation[^"]*events/[^"]*)"', page.content.decode())
    pages = [staff.get(link.replace("&amp;", "&")).content.decode() for link in links]
    keys = [sorted(re.findall(r">\s*(evt-\d|late)\s*<", each)) for each in pages]
    assert keys == [["evt-0", "evt-1", "evt-2"], ["late"]]


def test_outcomes_that_do_not_count_are_named_as_what_they_are() -> None:
    make_meter("solved", once_per_subject="ever")
    send(
        *(event(key, meter="solved", subject=key[0]) for key in ("a", "a2", "b", "c")),
        *(
            event(f"r{key}", meter="solved", occurred_at="2026-10-09T00:00:00Z", reverses={"key": key})
            for key in ("b", "c")
        ),
    )
    make_subscription(make_customer("other"), make_plan({**TICKETS, "meter": "solved"}, code="outcomes"))
    send(
        event("x", meter="solved", customer="other", subject="x"),
        event("x2", meter="solved", customer="other", subject="x"),
    )
    page = text_of(sign_in().get(reverse(PAGE), {"month": "2026-10"}))
    assert "No difference." in page
    assert "among them 2 reversals and confirmations, 1 outcome whose subject counts already." in page


def test_one_customer_has_no_figures_of_repeated_events() -> None:
    page = sign_in("Billing clerk").get(reverse(PAGE), {"month": "2026-11", "customer": "acme"})
    assert "How many events of one customer were repeated" in text_of(page)
    assert "Duplicates" not in text_of(page)


def test_a_customer_is_found_by_name_and_nobody_is_told_instead_of_shown_as_all() -> None:
    staff = sign_in("Billing clerk")
    named = staff.get(reverse(PAGE), {"month": "2026-11", "customer": "Acme"})
    assert named.context["asked"].customer.code == "acme"
    nobody = staff.get(reverse(PAGE), {"month": "2026-11", "customer": "nobody"})
    assert nobody.status_code == 400
    assert "There is no customer with the name or code “nobody”." in text_of(nobody)
    assert "No difference." not in text_of(nobody)


def test_a_difference_is_an_alarm_on_the_page_and_the_dashboard_until_it_is_gone() -> None:
    staff = sign_in()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL reckoner.prune = 'on'")
        cursor.execute("DELETE FROM metering_event WHERE key = 'evt-0'")
    assert "not accounted for" not in text_of(staff.get(reverse("admin:index")))
    page = text_of(staff.get(reverse(PAGE), {"month": "2026-11"}))
    assert "1 event is not accounted for." in page
    assert "Batches whose rows do not agree with the ledger" in page
    assert "1 event of November 2026 is not accounted for." in text_of(staff.get(reverse("admin:index")))
    ReconciliationRun.objects.update(difference=0)
    assert "not accounted for" not in text_of(staff.get(reverse("admin:index")))


@pytest.mark.parametrize("value", ["\x00", "9" * 20, "9999-12", "0001-01", "NaN", "'\"<b>", "2026-10-01"])
def test_odd_input_is_answered(value: str) -> None:
    staff = sign_in()
    for parameters in ({"month": value}, {"customer": value}):
        assert staff.get(reverse(PAGE), parameters).status_code in (200, 400)
    events = reverse("admin:billing_reconciliation_events")
    good = {"meter": "tickets_resolved", "standing": "billed", "month": "2026-10"}
    for name in ("meter", "standing", "after", "month", "customer"):
        assert staff.get(events, good | {name: value}).status_code in (200, 404)


def test_the_page_asks_as_often_for_one_meter_as_for_many(django_assert_max_num_queries: object) -> None:
    staff = sign_in()
    with django_assert_max_num_queries(28):  # type: ignore[operator]
        staff.get(reverse(PAGE), {"month": "2026-10"})


def test_who_may_not_see_invoices_sees_no_reconciliation() -> None:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.create_user("new", is_staff=True))
    assert client.get(reverse(PAGE)).status_code == 403
