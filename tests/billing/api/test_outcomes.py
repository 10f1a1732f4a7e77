"""`GET outcomes/`: the state of each outcome, with the reason and the invoice."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from billing.closing import close_period
from billing.months import Month
from tests.factories import event, make_customer, make_meter, make_subscription, send
from tests.integrator import Integrator

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def outcomes() -> None:
    """One of each state at NOW, of a meter with a window of 24 hours that counts each ticket once."""
    calls = make_meter("calls")
    make_meter(once_per_subject="ever", verification_hours=Decimal(24), evidence_meter=calls)
    make_subscription(make_customer())
    send(
        *(event(f"call-{n}", meter="calls", subject=f"ticket-{n}") for n in (1, 2, 3)),
        event("a", subject="ticket-1", dimensions={"kind": "lead"}),
        event("again", subject="ticket-1", occurred_at="2026-10-09T10:00:00Z"),
        event("b", subject="ticket-2"),
        event("r", occurred_at="2026-10-03T12:00:00Z", reverses={"subject": "ticket-2"}),
        event("c", subject="ticket-3", occurred_at="2026-11-20T00:00:00Z"),
        event("d", subject="ticket-4"),
    )


def states(answer: Any) -> dict[str, str]:
    return {row["key"]: row["state"] for row in answer["results"]}


@time_machine.travel(NOW, tick=False)
def test_each_outcome_has_its_state_its_reason_and_its_invoice(
    integrator: Integrator, outcomes: None
) -> None:
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    status, answer = integrator.get("outcomes/")
    assert status == 200
    assert states(answer) == {
        "a": "settled",
        "again": "repeated",
        "b": "reversed",
        "c": "pending",
        "d": "unproven",
    }
    by_key = {row["key"]: row for row in answer["results"]}
    assert by_key["a"] == {
        "key": "a",
        "subject": "ticket-1",
        "meter": "tickets_resolved",
        "customer": "acme",
        "kind": "lead",
        "state": "settled",
        "occurred_at": "2026-10-03T10:00:00Z",
        "settles_at": "2026-10-04T10:00:00Z",
        "reason": "Held until 2026-10-04 10:00 UTC.",
        "invoice": "INV-2026-000001",
    }
    assert {row["invoice"] for row in answer["results"] if row["key"] != "a"} == {None}
    assert by_key["c"]["reason"] == "Pending until 2026-11-21 00:00 UTC, unless it is reversed before."
    assert by_key["b"]["reason"] == "Reversed at 2026-10-03 12:00 UTC, before it settled."


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("state=pending", {"c"}),
        ("state=reversed", {"b"}),
        ("subject=ticket-1", {"a", "again"}),
        ("customer=acme&meter=tickets_resolved&state=settled", {"a"}),
    ],
)
def test_filters_keep_what_they_name(
    integrator: Integrator, outcomes: None, asked: str, found: set[str]
) -> None:
    assert states(integrator.get(f"outcomes/?{asked}")[1]).keys() == found


@time_machine.travel(NOW, tick=False)
def test_pages_go_on_where_the_last_one_ended(integrator: Integrator, outcomes: None) -> None:
    keys, address = [], "outcomes/?page_size=2"
    while address:
        answer = integrator.get(address)[1]
        keys += [row["key"] for row in answer["results"]]
        address = (answer["next"] or "").partition("/api/v1/")[2]
    assert sorted(keys) == ["a", "again", "b", "c", "d"]
    assert keys[0] == "c"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ("customer=nobody", "customer"),
        ("meter=nothing", "meter"),
        ("state=maybe", "state"),
        ("cursor=2026", "cursor"),
        ("cursor=2026-10-03T10:00:00Z~x", "cursor"),
        ("page_size=0", "page_size"),
        ("colour=red", "colour"),
    ],
)
def test_what_cannot_be_asked_is_named(integrator: Integrator, asked: str, field: str) -> None:
    status, answer = integrator.get(f"outcomes/?{asked}")
    assert (status, list(answer["error"]["fields"])) == (400, [field])


@time_machine.travel(NOW, tick=False)
def test_a_page_takes_the_same_queries_whatever_its_length(
    integrator: Integrator, outcomes: None, django_assert_max_num_queries: Any
) -> None:
    integrator.get("outcomes/")
    send(*(event(f"more-{n}", subject=f"ticket-{n % 20}") for n in range(100, 180)))
    with django_assert_max_num_queries(12):
        assert len(integrator.get("outcomes/?page_size=80")[1]["results"]) == 80
