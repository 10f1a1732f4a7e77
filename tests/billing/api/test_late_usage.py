"""Late usage over HTTP: found by filter, decided with the amount that was seen, all of it or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from billing.closing import close_period
from billing.deciding import find_late_usage
from billing.models import AdjustmentWaiver, ChangedLine, CreditNote
from billing.months import Month
from metering.correcting import void_event
from metering.models import Event
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.integrator import Integrator


@pytest.fixture(autouse=True)
def _late(db: None, fresh: None) -> None:
    """Acme has 4 late tickets, $8.00; two of Globex's are void, $4.00 to pay back."""
    for code in ("acme", "globex"):
        make_subscription(make_customer(code))
    send_tickets(10)
    send_tickets(10, first=100, customer="globex")
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    send_tickets(4, first=200)
    for key in ("evt-100", "evt-101"):
        void_event(Event.objects.get(key=key), reason="reopened", by="clerk", now=NOW)
    find_late_usage(now=NOW)


def listed(integrator: Integrator, **filters: Any) -> list[tuple[str, str, str, str]]:
    status, answer = integrator.get("late-usage/", **filters)
    assert status == 200, answer
    return [(each["customer"], each["quantity"], each["amount"], each["state"]) for each in answer["results"]]


def seen(integrator: Integrator, customer: str) -> list[dict[str, Any]]:
    rows = integrator.get("late-usage/", customer=customer)[1]["results"]
    return [{"id": each["id"], "amount": each["amount"]} for each in rows]


def test_late_usage_is_listed_the_largest_first_and_by_filter(integrator: Integrator) -> None:
    acme, globex = ("acme", "4", "8.00", "next_invoice"), ("globex", "-2", "-4.00", "next_invoice")
    assert listed(integrator) == [acme, globex]
    assert listed(integrator, direction="return") == [globex]
    assert listed(integrator, customer="acme", direction="bill") == [acme]
    assert listed(integrator, invoice="INV-2026-000002") == [globex]
    assert listed(integrator, waiting="true") == []
    assert listed(integrator, waiting="False") == [acme, globex]
    assert integrator.get("late-usage/", waiting="maybe")[1]["error"]["fields"] == {
        "waiting": ["Send true or false."]
    }
    first = integrator.get("late-usage/", page_size=1)[1]
    assert len(first["results"]) == 1
    assert "page=2" in first["next"]
    assert {"n", "meter", "period_start", "period_end", "unit", "currency"} <= first["results"][0].keys()


def test_what_goes_back_is_credited_once(integrator: Integrator) -> None:
    body = {"decision": "credit", "lines": seen(integrator, "globex"), "reason": "Reopened."}
    assert integrator.post("late-usage/decide/", body) == (
        200,
        {"decision": "credit", "lines": 1, "credit_notes": ["CN-2026-000001"]},
    )
    assert integrator.post("late-usage/decide/", body)[0] == 409
    assert [str(note.total) for note in CreditNote.objects.all()] == ["4.0000"]
    assert AdjustmentWaiver.objects.get().who.startswith("API key integration")


def test_a_waiver_keeps_the_key_that_decided_it(integrator: Integrator) -> None:
    body = {"decision": "waive", "lines": seen(integrator, "acme"), "reason": "Agreed."}
    assert integrator.post("late-usage/decide/", body)[0] == 200
    waiver = AdjustmentWaiver.objects.get()
    assert (waiver.waived_by, waiver.credit_note, str(waiver.amount)) == (None, None, "8.0000")
    assert waiver.who.startswith("API key integration")


def test_what_waits_is_billed_by_a_decision(integrator: Integrator, settings: Any) -> None:
    settings.ADJUSTMENT_REVIEW_FROM = 5
    assert listed(integrator, waiting="true") == [("acme", "4", "8.00", "waiting")]
    assert (
        integrator.post("late-usage/decide/", {"decision": "bill", "lines": seen(integrator, "acme")})[0]
        == 200
    )
    assert listed(integrator, waiting="true") == []
    send_tickets(1, first=300)
    assert integrator.post("late-usage/look/", {}) == (200, {"computed": 1})
    assert listed(integrator, waiting="true") == [("acme", "5", "10.00", "waiting")]


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"decision": "forget"}, 400, "decision"),
        ({"lines": []}, 400, "lines"),
        ({"lines": [{"id": 1}]}, 400, "lines.0.amount"),
        ({"lines": [{"id": 1, "amount": "1"}] * 2}, 400, "lines"),
        ({"reason": ""}, 400, "reason"),
        ({"reason": None}, 400, "reason"),
        ({"reasons": "x"}, 400, "reasons"),
        ({"decision": "bill"}, 400, "reason"),
        ({"lines": [{"id": 2**62, "amount": "-4.00"}]}, 409, None),
    ],
)
def test_a_decision_that_makes_no_sense_decides_nothing(
    integrator: Integrator, change: dict[str, Any], status: int, field: str | None
) -> None:
    body = {"decision": "credit", "lines": seen(integrator, "globex"), "reason": "x"} | change
    answered, answer = integrator.post("late-usage/decide/", body)
    assert answered == status, answer
    assert field is None or any(name.startswith(field) for name in answer["error"]["fields"]), answer
    assert not CreditNote.objects.exists()
    assert not ChangedLine.objects.exclude(bill_up_to=None).exists()


def test_another_amount_than_was_seen_decides_nothing(integrator: Integrator) -> None:
    [line] = seen(integrator, "acme")
    for decision, more in (("bill", {}), ("waive", {"reason": "x"}), ("credit", {"reason": "x"})):
        body = {"decision": decision, "lines": [line | {"amount": "7.99"}]} | more
        assert integrator.post("late-usage/decide/", body)[1]["error"]["code"] == "effect_changed"
    assert ChangedLine.objects.filter(bill_up_to=None).count() == 2


def test_a_key_that_reads_decides_nothing_and_one_that_sends_events_sees_nothing() -> None:
    reader = Integrator("read")
    lines = seen(reader, "globex")
    body = {"decision": "credit", "lines": lines, "reason": "x"}
    assert reader.post("late-usage/decide/", body)[0] == 403
    assert reader.post("late-usage/look/", {})[0] == 403
    assert Integrator("ingest").get("late-usage/")[0] == 403


@pytest.mark.parametrize("body", ["1", "0", "[]", "[1]", '"x"', "true", "null"])
def test_where_there_is_nothing_to_send_any_body_but_an_empty_one_is_refused(
    integrator: Integrator, body: str
) -> None:
    status, answer = integrator.send("late-usage/look/", body)
    assert (status, list(answer["error"]["fields"])) == (400, ["_"])
    assert integrator.send("late-usage/look/", "{}")[0] == 200
    assert integrator.send("late-usage/look/", "")[0] == 200
