"""`GET /api/v1/reconciliation/`: one answer from arrival to invoice."""

from __future__ import annotations

import pytest

from billing.closing import close_period
from billing.months import Month
from customers.models import Customer
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
from tests.integrator import Integrator


@pytest.fixture(autouse=True)
def story(db: None, fresh: None) -> None:
    make_subscription()
    send_tickets(3)
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    send(event("late"), event("bad", value="NaN"))


OCTOBER = {"from": "2026-10-01", "to": "2026-11-01"}


def test_a_month_in_one_answer(integrator: Integrator) -> None:
    status, answer = integrator.get("reconciliation/", **OCTOBER)
    assert status == 200
    assert answer["difference"] == 0
    assert answer["standings"] == {
        "accepted": 4, "billed": 3, "not_yet_billed": 1, "free": 0, "voided": 0, "waived": 0, "signals": 0,
        "reversed": 0, "repeated": 0, "unproven": 0, "voided_after_billing": 0, "reversed_after_billing": 0,
        "billed_twice": 0, "difference": 0,
    }  # fmt: skip
    assert [(each["meter"], each["billed"]) for each in answer["meters"]] == [("tickets_resolved", 3)]


def test_outcomes_that_do_not_count_are_told_apart(integrator: Integrator) -> None:
    make_meter("solved", once_per_subject="ever")
    make_customer("other")
    make_subscription(
        Customer.objects.get(code="other"), make_plan({**TICKETS, "meter": "solved"}, code="outcomes")
    )
    send(
        *(event(key, meter="solved", customer="other", subject=key[0]) for key in ("a", "a2", "b")),
        event(
            "r", meter="solved", customer="other", occurred_at="2026-10-09T00:00:00Z", reverses={"key": "b"}
        ),
    )
    answer = integrator.get("reconciliation/", customer="other", **OCTOBER)[1]
    counts = {name: count for name, count in answer["standings"].items() if count}
    assert counts == {
        "accepted": 4,
        "not_yet_billed": 1,
        "free": 3,
        "signals": 1,
        "reversed": 1,
        "repeated": 1,
    }
    assert answer["difference"] == 0


def test_arrivals_count_by_the_time_of_receipt(integrator: Integrator) -> None:
    answer = integrator.get("reconciliation/", **{"from": "2026-11-20", "to": "2026-11-21"})[1]
    assert answer["arrivals"] == {
        "received": 8, "accepted": 4, "duplicates": 3, "conflicts": 0, "unmatched": 0, "rejected": 1,
        "released": 0, "difference": 0,
    }  # fmt: skip
    assert [each["source"] for each in answer["sources"]] == ["api"]


def test_one_customer_and_each_customer(integrator: Integrator) -> None:
    make_customer("other")
    send(event("o", customer="other"))
    answer = integrator.get("reconciliation/", customer="acme", **OCTOBER)[1]
    assert (answer["customer"], answer["standings"]["accepted"]) == ("acme", 4)
    rows = integrator.get("reconciliation/", group_by="customer", **OCTOBER)[1]["meters"]
    assert [(each["customer"], each["accepted"]) for each in rows] == [("acme", 4), ("other", 1)]


def test_a_parameter_that_makes_no_sense_is_refused_by_name(integrator: Integrator) -> None:
    for parameters, name in (
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-01", "to": "2026-10-01"}, "from"),
        ({"customer": "nobody"}, "customer"),
        ({"group_by": "meter"}, "group_by"),
        ({"month": "2026-10"}, "month"),
    ):
        status, answer = integrator.get("reconciliation/", **parameters)
        assert 400 <= status < 500
        assert name in answer["error"]["fields"]


def test_a_key_that_may_only_send_events_reads_nothing() -> None:
    assert Integrator("ingest").get("reconciliation/")[0] == 403
