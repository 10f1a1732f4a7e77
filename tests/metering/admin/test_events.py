"""Staff look at events, at what waits, and at conflicts; nothing is changed here."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from metering.models import Event, EventConflict, Workload, WorkloadName
from metering.tasks import release_unmatched_events
from metering.unmatched import Reason, waiting_by_reason
from tests.factories import NOW, event, make_customer, make_meter, make_subscription, send, send_tickets
from tests.staff import sign_in, text_of

EVENTS = "admin:metering_event_changelist"
NAMES = {
    "names-TOTAL_FORMS": "0",
    "names-INITIAL_FORMS": "0",
    "rules-TOTAL_FORMS": 0,
    "rules-INITIAL_FORMS": 0,
}
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def staff() -> Client:
    return sign_in()


def keys(answer: Any) -> list[str]:
    return sorted(row.key for row in answer.context["cl"].result_list)


@time_machine.travel(NOW, tick=False)
def test_events_are_found_by_key_customer_subject_and_meter(staff: Client) -> None:
    make_subscription()
    make_customer("globex")
    make_meter("api_calls")
    send(event("a", subject="ticket-1"), event("b", customer="globex"), event("c", meter="api_calls"))
    url = reverse(EVENTS)
    assert keys(staff.get(url)) == ["a", "b", "c"]
    assert keys(staff.get(url, {"q": "b"})) == ["b"]
    assert keys(staff.get(url, {"q": "globex"})) == ["b"]
    assert keys(staff.get(url, {"q": "ticket-1"})) == ["a"]
    assert keys(staff.get(url, {"meter": "api_calls"})) == ["c"]
    assert keys(staff.get(url, {"q": "nobody"})) == []


@time_machine.travel(NOW, tick=False)
def test_the_list_of_events_asks_no_query_per_row(staff: Client, django_assert_max_num_queries: Any) -> None:
    make_subscription()
    send_tickets(40)
    with django_assert_max_num_queries(9):
        assert len(keys(staff.get(reverse(EVENTS)))) == 40


def test_an_event_cannot_be_added_changed_or_deleted(staff: Client) -> None:
    make_subscription()
    send_tickets(1)
    pk = Event.objects.get().pk
    assert staff.post(reverse("admin:metering_event_add"), {"key": "x"}).status_code == 403
    assert staff.post(reverse("admin:metering_event_change", args=[pk]), {"key": "x"}).status_code == 403
    assert staff.post(reverse("admin:metering_event_delete", args=[pk]), {"post": "yes"}).status_code == 403
    assert Event.objects.get().key == "evt-0"
    assert "Events are never changed or deleted" in text_of(
        staff.get(reverse("admin:metering_event_change", args=[pk]))
    )


def test_an_event_is_voided_with_a_reason_that_stays(staff: Client) -> None:
    subscription = make_subscription()
    send_tickets(2)
    wrong = Event.objects.get(key="evt-0")
    page = reverse("admin:metering_event_void", args=[wrong.pk])
    assert "reason" in staff.post(page, {"reason": " "}).context["form"].errors
    assert Event.objects.filter(voided_batch_id=None).count() == 2
    shown = staff.post(page, {"reason": "Test run"}, follow=True)
    assert "Voided: this event no longer counts." in text_of(shown)
    assert [(each.what, each.by, each.reason) for each in shown.context["history"]] == [
        ("received", "api", ""),
        ("voided", "root", "Test run"),
    ]
    assert "was voided" in text_of(staff.post(page, {"reason": "Again"}))
    preview = reverse("admin:customers_customer_preview", args=[subscription.customer_id])
    assert staff.get(preview, {"period": "2026-10-01"}).context["total"] == "$2.00"


def test_each_unmatched_event_is_listed_under_what_it_waits_for() -> None:
    make_customer()
    make_meter("drafted", status="draft")
    send(
        event("1"),
        event("2", customer="nobody"),
        event("3", meter="drafted"),
        event("4", meter="tokens"),
    )
    make_meter("tokens", type="sum")
    assert {(w.reason, w.code, w.events) for w in waiting_by_reason()} == {
        (Reason.UNKNOWN_METER, "tickets_resolved", 2),
        (Reason.UNKNOWN_CUSTOMER, "nobody", 1),
        (Reason.DRAFT_METER, "drafted", 1),
        (Reason.REFUSED, "tokens", 1),
    }


def test_the_menu_counts_what_waits(staff: Client) -> None:
    send_tickets(2)
    page = staff.get(reverse("admin:index"))
    badges = {
        item["title"]: item.get("badge")
        for group in page.context["sidebar_navigation"]
        for item in group["items"]
    }
    assert badges["Unmatched events"] == 2


def test_a_conflict_shows_stored_and_offered_side_by_side(staff: Client) -> None:
    make_subscription()
    send(event("once", value="1"))
    send(event("once", value="5", occurred_at="2026-10-03T12:00:00+02:00"))
    conflict = EventConflict.objects.get()
    page = staff.get(reverse("admin:metering_eventconflict_change", args=[conflict.pk]))
    differing = [row["name"] for row in page.context["rows"] if row["differs"]]
    assert differing == ["value"]  # 12:00+02:00 is the same instant as 10:00Z
    row = next(row for row in page.context["rows"] if row["name"] == "value")
    assert (row["stored"], row["offered"]) == ("1", "5")


def test_a_new_workload_takes_the_name_that_events_used(staff: Client) -> None:
    make_subscription()
    send(event("w", workload="support_bot"))
    staff.post(
        reverse("admin:metering_workload_add"), {"name": "Support Bot", "code": "", "parent": ""} | NAMES
    )
    assert WorkloadName.objects.get().workload == Workload.objects.get(code="support_bot")


def test_a_workload_is_not_part_of_itself(staff: Client) -> None:
    upper = Workload.objects.create(code="upper", name="Upper")
    lower = Workload.objects.create(code="lower", name="Lower", parent=upper)
    page = reverse("admin:metering_workload_change", args=[upper.pk])
    answer = staff.post(page, {"name": "Upper", "parent": lower.pk} | NAMES)
    assert "is part of" in str(answer.context["adminform"].form.errors["parent"])
    upper.refresh_from_db()
    assert upper.parent is None


def test_the_worker_matches_what_came_while_its_customer_was_being_created() -> None:
    make_meter()
    send(event("raced"))
    make_customer()  # in a transaction that did not see the event
    release_unmatched_events(timestamp=0)
    assert Event.objects.get(key="raced").customer is not None
