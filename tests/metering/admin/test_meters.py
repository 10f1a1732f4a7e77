"""Staff create meters and see usage arrive."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from metering.measuring import measure_series
from metering.models import Event, Meter
from metering.periods import Interval
from tests.factories import NOW, event, make_customer, make_meter, make_subscription, send, send_tickets
from tests.staff import messages_of, sign_in, text_of

ADD = "admin:metering_meter_add"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def staff() -> Client:
    return sign_in()


def fields(**changes: Any) -> dict[str, Any]:
    named = {"label": "Tickets Resolved", "code": "", "type": "count", "unit": "ticket", "dimensions": ""}
    return (
        named
        | {"filters": "{}", "factor": "1", "divisor": "1", "rounding_digits": "0"}
        | {"once_per_subject": "never"}
        | changes
    )


def test_a_meter_gets_its_code_from_its_label(staff: Client) -> None:
    answer = staff.post(reverse(ADD), fields(dimensions="channel, region"), follow=True)
    meter = Meter.objects.get()
    assert (meter.code, meter.dimensions, meter.status) == (
        "tickets_resolved",
        ["channel", "region"],
        "active",
    )
    assert answer.redirect_chain[-1][0] == reverse("admin:metering_meter_change", args=[meter.pk])
    assert "Create a plan on Pricing" in messages_of(answer)
    assert "No events yet" in text_of(answer)
    assert "tickets_resolved" in answer.context["curl"]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"label": ""}, "label", "required"),
        ({"label": "結果"}, "code", "Write a code"),
        ({"code": "two words"}, "code", "no spaces"),
        ({"dimensions": "channel, channel"}, "dimensions", "named twice"),
        ({"dimensions": "9th floor"}, "dimensions", "Dimension names"),
        ({"type": "median"}, "type", "valid choice"),
        ({"type": "percentile"}, "percentile", "Give the percentile"),
        ({"window": "day"}, "window", "Only a maximum"),
        ({"filters": "[1]"}, "filters", "Filters are an object"),
        ({"divisor": "0"}, "divisor", "above 0"),
    ],
)
def test_a_bad_meter_is_refused_at_the_field(staff: Client, changes: Any, field: str, words: str) -> None:
    answer = staff.post(reverse(ADD), fields(**changes))
    assert words in str(answer.context["adminform"].form.errors[field])
    assert not Meter.objects.exists()


def test_a_second_meter_with_the_same_code_is_refused(staff: Client) -> None:
    make_meter()
    answer = staff.post(reverse(ADD), fields())
    assert "already exists" in str(answer.context["adminform"].form.errors["code"])
    assert Meter.objects.count() == 1


@time_machine.travel(NOW, tick=False)
def test_a_new_meter_counts_the_events_that_waited_for_it(staff: Client) -> None:
    make_customer()
    send_tickets(3)
    assert Event.objects.filter(meter=None).count() == 3
    waiting = staff.get(reverse("admin:metering_event_unmatched"))
    assert "There is no meter “tickets_resolved”." in text_of(waiting)
    assert f"{reverse(ADD)}?code=tickets_resolved" in waiting.content.decode()
    answer = staff.post(reverse(ADD), fields(), follow=True)
    assert "3 events were waiting for this meter and count now." in messages_of(answer)
    assert Event.objects.filter(meter=None).count() == 0


def test_the_form_takes_the_code_from_the_page_of_unmatched_events(staff: Client) -> None:
    form = staff.get(f"{reverse(ADD)}?code=calls_made").context["adminform"].form
    assert (form["code"].value(), form["label"].value()) == ("calls_made", "Calls Made")


def test_code_and_type_of_a_meter_in_use_are_read_only_and_say_why(staff: Client) -> None:
    meter = make_subscription().plan.rates.get().meter
    assert meter is not None
    send_tickets(1)
    page = reverse("admin:metering_meter_change", args=[meter.pk])
    shown = staff.get(page)
    assert "This cannot be changed any more: it has events." in text_of(shown)
    assert {"code", "type"}.isdisjoint(shown.context["adminform"].form.fields)
    staff.post(page, fields(label="Solved", code="other", type="sum", status="active"))
    meter.refresh_from_db()
    assert (meter.label, meter.code, meter.type) == ("Solved", "tickets_resolved", "count")


@time_machine.travel(NOW, tick=False)
def test_a_meters_page_shows_the_last_30_days_and_the_latest_events(staff: Client) -> None:
    make_subscription()
    send(*(event(f"n-{n}", occurred_at="2026-11-03T10:00:00Z") for n in range(4)))
    send(event("old"))
    page = staff.get(reverse("admin:metering_meter_change", args=[Meter.objects.get().pk]))
    assert page.context["usage_total"] == 4
    assert len(page.context["latest_events"]) == 5


def test_meters_are_never_deleted_here(staff: Client) -> None:
    meter = make_meter()
    assert (
        staff.post(reverse("admin:metering_meter_delete", args=[meter.pk]), {"post": "yes"}).status_code
        == 403
    )
    assert Meter.objects.exists()


def test_a_meters_page_names_the_dimensions_that_arrive_undeclared(staff: Client) -> None:
    meter = make_meter(dimensions=["channel"])
    make_customer()
    send(event("a", dimensions={"channel": "email", "region": "eu"}))
    with time_machine.travel(NOW):
        page = text_of(staff.get(reverse("admin:metering_meter_change", args=[meter.pk])))
    assert "Recent events also carry region, which the meter does not declare" in page


@pytest.mark.parametrize(
    "definition",
    [
        {},
        {"type": "sum"},
        {"once_per_subject": "period"},
        {"type": "unique"},
        {"type": "unique", "value_dimension": "email", "dimensions": ["email"]},
        {"type": "unique", "value_dimension": "plan", "dimensions": ["plan"], "filters": {"plan": ["pro"]}},
        {"filters": {"channel": ["email", "chat"]}, "dimensions": ["channel"]},
    ],
)
def test_the_command_on_the_page_of_a_meter_sends_an_event_that_is_taken_and_counts(
    staff: Client, definition: dict[str, Any]
) -> None:
    meter = make_meter(**definition)
    make_customer()
    curl = staff.get(reverse("admin:metering_meter_change", args=[meter.pk])).context["curl"]
    sent = json.loads(curl[curl.index("{") : curl.rindex("}") + 1])
    now = datetime.fromisoformat(sent["occurred_at"])
    assert [each.status for each in send(sent, now=now).results] == ["accepted"]
    series = measure_series(
        meter, start=now - timedelta(days=1), end=now + timedelta(days=1), interval=Interval.DAY, zone="UTC"
    )
    assert sum(each.total for each in series) == 1
