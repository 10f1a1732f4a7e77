"""Changing subscriptions over HTTP: the effect first, then the change, then its trace."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
import time_machine

from billing.models import Plan, Subscription, SubscriptionChange
from tests.factories import make_customer, make_plan, make_subscription
from tests.integrator import Integrator

pytestmark = pytest.mark.django_db
MID_JUNE = datetime(2026, 6, 16, 12, tzinfo=UTC)


def fee(amount: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "subscription", "label": "Base", "amount": amount, "timing": "at_start"} | fields


@pytest.fixture
def running() -> Subscription:
    """Acme pays $100.00 at the start of each month from 1 June; today is the 16th."""
    make_plan(fee("300.00"), code="large", name="Large")
    small = make_plan(fee("100.00"), code="small", name="Small")
    return make_subscription(make_customer(), small, start_on=date(2026, 6, 1))


def everything() -> Any:
    return list(Subscription.objects.values()), list(SubscriptionChange.objects.values())


@pytest.fixture(autouse=True)
def _in_june(integrator: Integrator) -> Any:
    with time_machine.travel(MID_JUNE, tick=False):
        yield


def test_an_upgrade_is_shown_with_its_money_and_then_made(
    integrator: Integrator, running: Subscription
) -> None:
    before = everything()
    body = {"plan": "large", "when": "now", "preview": True}
    status, shown = integrator.post(f"subscriptions/{running.pk}/change/", body)
    assert (status, shown["preview"], shown["effective_on"]) == (200, True, "2026-06-16")
    # Not invoiced yet: June's 100.00 becomes 50.00 + 150.00, and July's 100.00 becomes 300.00.
    assert shown["difference"] == "300.00"
    assert [line["amount"] for invoice in shown["after"] for line in invoice["lines"]] == [
        "150.00", "50.00", "300.00"
    ]  # fmt: skip
    assert everything() == before

    body = {"plan": "large", "when": "now", "reason": "grew"}
    status, made = integrator.post(f"subscriptions/{running.pk}/change/", body)
    assert (status, made["preview"], made["after"]) == (200, False, made["after"])
    following = Subscription.objects.get(plan=Plan.objects.get(code="large"))
    assert made["subscription"] == following.pk
    assert integrator.get(f"subscriptions/{following.pk}/")[1]["continues"] == running.pk
    status, changes = integrator.get(f"subscriptions/{running.pk}/changes/")
    assert [(each["kind"], each["effective_on"], each["reason"]) for each in changes] == [
        ("plan", "2026-06-16", "grew")
    ]
    assert changes[0]["made_by"].startswith("API key ")


def test_seats_pause_resume_cancel_undo_and_reactivate(integrator: Integrator, running: Subscription) -> None:
    path = f"subscriptions/{running.pk}/"
    assert integrator.post(path + "quantity/", {"quantity": 8})[0] == 200
    assert integrator.get(path)[1]["quantity"] == 8
    assert integrator.post(path + "pause/", {"when": "2026-06-20", "until": "2026-06-25"})[0] == 200
    assert integrator.post(path + "resume/", {"when": "2026-06-22"})[0] == 200
    status, shown = integrator.post(path + "cancel/", {"when": "period_end", "preview": True})
    # July's fee, on the invoice of June, and August's, on the invoice of July.
    assert (status, shown["effective_on"], shown["difference"]) == (200, "2026-07-01", "-200.00")
    assert integrator.post(path + "cancel/", {"when": "period_end"})[0] == 200
    assert integrator.get(path)[1]["end_on"] == "2026-07-01"
    assert integrator.post(path + "undo/", {"reason": "stays"})[0] == 200
    assert integrator.get(path)[1]["end_on"] is None
    assert integrator.post(path + "cancel/", {"when": "now"})[0] == 200
    status, again = integrator.post(path + "reactivate/", {"when": "2026-06-21"})
    assert (status, again["effective_on"]) == (200, "2026-06-21")
    assert integrator.get(f"subscriptions/{again['subscription']}/")[1]["quantity"] == 8
    kinds = [each["kind"] for each in integrator.get(path + "changes/")[1]]
    assert kinds == ["quantity", "pause", "resume", "cancel", "undo", "cancel", "reactivate"]


@pytest.mark.parametrize(
    ("action", "body", "status", "named"),
    [
        ("change", {}, 400, "plan"),
        ("change", {"plan": "none"}, 400, "plan"),
        ("change", {"plan": "small"}, 409, None),
        ("change", {"plan": "large", "when": "soon"}, 400, "when"),
        ("change", {"plan": "large", "when": "2026-02-30"}, 400, "when"),
        ("change", {"plan": "large", "when": "9999-12-31"}, 400, "when"),
        ("change", {"plan": "large", "when": 5}, 400, "when"),
        ("change", {"plan": "large", "on": "2026-06-20"}, 400, "on"),
        ("quantity", {"quantity": -1}, 400, "quantity"),
        ("quantity", {"quantity": 1}, 409, "quantity"),
        ("quantity", {"quantity": 2**31}, 400, "quantity"),
        ("quantity", {"quantity": 2, "when": "2026-05-31"}, 400, "when"),
        ("quantity", {"quantity": 2, "reason": "x" * 401}, 400, "reason"),
        ("pause", {"when": "2026-06-20", "until": "2026-06-20"}, 400, "until"),
        ("resume", {}, 409, "when"),
        ("cancel", {"when": "2026-06-01"}, 400, "end_on"),
        ("reactivate", {}, 409, "when"),
        ("undo", {}, 409, "change"),
        ("undo", {"change": 0}, 400, "change"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_and_writes_nothing(
    integrator: Integrator,
    running: Subscription,
    action: str,
    body: dict[str, Any],
    status: int,
    named: str | None,
) -> None:
    before = everything()
    for preview in ({}, {"preview": True}):
        found, answer = integrator.post(f"subscriptions/{running.pk}/{action}/", body | preview)
        assert found == status, answer
        assert named is None or named in answer["error"]["fields"], answer
    assert everything() == before


def test_a_trial_is_asked_for_in_days(integrator: Integrator, running: Subscription) -> None:
    make_customer("new")
    sent = {"customer": "new", "plan": "large", "start_on": "2026-06-16", "trial_days": 14}
    status, made = integrator.post("subscriptions/", sent)
    assert (status, made["trial_end_on"]) == (201, "2026-06-30")
    status, coming = integrator.get(f"subscriptions/{made['id']}/coming/")
    # The trial ends on the 30th: one of June's 30 days, then July, with the usage of June.
    assert [line["amount"] for invoice in coming for line in invoice["lines"]] == ["10.00", "300.00"]


def test_a_key_that_may_only_read_changes_nothing(running: Subscription) -> None:
    reader = Integrator("read")
    assert reader.post(f"subscriptions/{running.pk}/cancel/", {"when": "now"})[0] == 403
    assert reader.get(f"subscriptions/{running.pk}/changes/")[0] == 200
    assert SubscriptionChange.objects.count() == 0
