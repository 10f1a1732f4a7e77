"""Writes under an Idempotency-Key: sent again after a lost answer, done once, and answered as the first time."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.db import OperationalError
from django.test import Client

from billing.models import CreditGrant, UsageLimit
from customers.api.repeating import RepeatableWrites
from customers.models import Customer, StoredAnswer
from customers.repeating import KEPT, forget_answers
from tests.at_once import Running, at_once
from tests.billing.test_collecting import bill
from tests.factories import NOW, make_customer, make_meter, make_subscription
from tests.integrator import API, Integrator
from tests.stories.processes import killed_at

GRANT = {"customer": "acme", "kind": "prepaid", "name": "Prepaid 2027", "amount": "1000.00"}


def raw(integrator: Integrator, route: str, body: Any, key: str, **headers: str) -> Any:
    return integrator.client.post(
        API + route,
        json.dumps(body),
        content_type="application/json",
        headers={"Idempotency-Key": key} | headers,
    )


def test_a_grant_that_is_sent_again_is_granted_once_and_answered_alike(integrator: Integrator) -> None:
    make_customer()
    first, again = (raw(integrator, "credit-grants/", GRANT, "grant-1") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert CreditGrant.objects.count() == 1


def test_the_order_of_fields_their_packing_and_a_missing_slash_are_no_difference(
    integrator: Integrator,
) -> None:
    make_customer()
    raw(integrator, "credit-grants/", GRANT, "grant-1")
    turned = dict(reversed(GRANT.items()))
    assert raw(integrator, "credit-grants", turned, "grant-1").headers["Idempotent-Replayed"] == "true"
    assert CreditGrant.objects.count() == 1


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("credit-grants/", GRANT | {"amount": "1000.01"}),
        ("credit-grants/?", {**GRANT, "name": "Other"}),
        ("customers/", {"code": "other", "name": "Other"}),
        ("recurring-grants/", GRANT),
    ],
)
def test_a_key_that_stands_for_another_request_is_a_conflict(
    integrator: Integrator, route: str, body: dict[str, str]
) -> None:
    make_customer()
    raw(integrator, "credit-grants/", GRANT, "grant-1")
    refused = raw(integrator, route, body, "grant-1")
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "key_taken"
    assert list(refused.json()["error"]["fields"]) == ["Idempotency-Key"]
    assert CreditGrant.objects.count() == 1


def test_a_key_of_a_change_deletes_nothing(integrator: Integrator) -> None:
    """The same address and body, with another method."""
    make_subscription()
    body = {"customer": "acme", "meter": "tickets_resolved", "quantity": "500", "kind": "hard"}
    limit = raw(integrator, "usage-limits/", body, "limit-" + "1" * 194).json()
    send, path = integrator.client.generic, f"{API}usage-limits/{limit['id']}/"
    statuses = [
        send(
            method, path, '{"quantity": "5"}', "application/json", headers={"Idempotency-Key": "change-1"}
        ).status_code
        for method in ("PATCH", "DELETE")
    ]
    assert statuses == [200, 409]
    assert UsageLimit.objects.get().quantity == 5


def test_what_was_refused_is_not_remembered_and_may_be_corrected_under_its_key(
    integrator: Integrator,
) -> None:
    assert raw(integrator, "credit-grants/", GRANT, "grant-1").status_code == 400  # there is no Acme yet
    assert not StoredAnswer.objects.exists()
    make_customer()
    assert raw(integrator, "credit-grants/", GRANT, "grant-1").status_code == 201


def test_keys_of_another_source_are_others(integrator: Integrator) -> None:
    make_customer()
    raw(integrator, "credit-grants/", GRANT, "grant-1")
    other = Integrator("manage", source="crm")
    theirs, again = (raw(other, "credit-grants/", GRANT, "grant-1") for _ in range(2))
    assert "Idempotent-Replayed" not in theirs.headers
    assert (again.headers["Idempotent-Replayed"], again.content) == ("true", theirs.content)
    replaced = Integrator("manage")  # a key that replaces the first shares its source
    assert raw(replaced, "credit-grants/", GRANT, "grant-1").headers["Idempotent-Replayed"] == "true"
    assert CreditGrant.objects.count() == 2


def test_a_key_without_the_scope_is_told_nothing(integrator: Integrator) -> None:
    make_customer()
    raw(integrator, "credit-grants/", GRANT, "grant-1")
    assert raw(Integrator("read"), "credit-grants/", GRANT, "grant-1").status_code == 403


@pytest.mark.parametrize("key", ["", " ", "k" * 201, "a\tb", "a\x7fb"])
def test_a_key_that_is_none_is_refused_and_nothing_is_done(integrator: Integrator, key: str) -> None:
    make_customer()
    refused = raw(integrator, "credit-grants/", GRANT, key)
    assert refused.status_code == 400
    assert list(refused.json()["error"]["fields"]) == ["Idempotency-Key"]
    assert not CreditGrant.objects.exists()


def test_answers_are_forgotten_after_a_week_and_not_before(integrator: Integrator) -> None:
    make_customer()
    raw(integrator, "credit-grants/", GRANT, "grant-1")
    assert timedelta(hours=24) <= KEPT
    assert forget_answers(now=NOW + KEPT) == 0
    with time_machine.travel(NOW + KEPT + timedelta(seconds=1), tick=False):
        assert forget_answers(now=NOW + KEPT + timedelta(seconds=1)) == 1
        assert "Idempotent-Replayed" not in raw(integrator, "credit-grants/", GRANT, "grant-1").headers


def test_each_change_of_money_and_state_is_made_once(integrator: Integrator) -> None:
    """Requests that would do the same a second time: with a key they do not."""
    number = bill("10.00").number
    subscription = make_subscription(Customer.objects.get())
    integrator.post("coupons/", {"code": "ten", "name": "10 % off", "kind": "percent", "value": "10"})
    changed = f"subscriptions/{subscription.pk}/"
    sent: list[tuple[str, Any]] = [
        (f"invoices/{number}/payments/", {"amount": "4.00", "received_on": "2026-11-20"}),
        (f"invoices/{number}/credit-notes/", {"reason": "Goodwill", "amount": "1.00"}),
        ("invoices/", {"customer": "acme", "lines": [{"description": "Consulting", "unit_amount": "9.00"}]}),
        ("credit-grants/", GRANT),
        ("recurring-grants/", GRANT | {"interval": "month", "start_on": "2026-12-01"}),
        ("customer-coupons/", {"customer": "acme", "coupon": "ten"}),
        (f"{changed}quantity/", {"quantity": 3, "when": "now"}),
        ("webhook-endpoints/", {"url": "https://hooks.example.com/billing"}),
        ("cost-rates/", {"kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "0.10",
                         "currency": "USD"}),
    ]  # fmt: skip
    for n, (route, body) in enumerate(sent):
        first = raw(integrator, route, body, f"key-{n}")
        assert first.status_code in (200, 201), (route, first.content)
        rows = count_rows()
        again = raw(integrator, route, body, f"key-{n}")
        assert (again.status_code, again.content) == (first.status_code, first.content), route
        assert count_rows() == rows, route


def count_rows() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in apps.get_models() if model._meta.managed}


def test_the_secret_of_a_webhook_is_stored_nowhere_and_told_again(integrator: Integrator) -> None:
    body = {"url": "https://hooks.example.com/billing"}
    first = raw(integrator, "webhook-endpoints/", body, "hook-1").json()
    assert first["secret"].startswith("whsec_")
    assert first["secret"] not in StoredAnswer.objects.get().body
    assert raw(integrator, "webhook-endpoints/", body, "hook-1").json() == first
    rotated = raw(integrator, f"webhook-endpoints/{first['id']}/rotate-secret/", {}, "rotate-1").json()
    again = raw(integrator, f"webhook-endpoints/{first['id']}/rotate-secret/", {}, "rotate-1").json()
    assert rotated["secret"] == again["secret"] != first["secret"]
    assert integrator.delete(f"webhook-endpoints/{first['id']}/") == 204
    assert raw(integrator, "webhook-endpoints/", body, "hook-1").json()["secret"] is None


def test_previews_are_computed_anew_under_the_same_key(integrator: Integrator) -> None:
    make_meter()
    rate = {"kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "2.00"}
    for quantity, amount in (("120", "240.00"), ("50", "100.00")):
        answer = raw(integrator, "rates/preview/", {"rate": rate, "quantity": quantity}, "same").json()
        assert answer["rounded"] == amount
    assert not StoredAnswer.objects.exists()


def test_the_description_tells_the_header_of_every_write_that_takes_it(client: Client) -> None:
    paths = client.get("/api/schema/", headers={"Accept": "application/json"}).json()["paths"]
    told = {
        (method, path.removeprefix("/api/v1/"))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ()))
    }
    assert ("post", "credit-grants/") in told
    assert ("patch", "subscriptions/{id}/") in told
    assert ("delete", "budgets/{id}/") in told
    writes = {
        (method, path.removeprefix("/api/v1/"))
        for path, operations in paths.items()
        for method in operations
        if method != "get"
    }
    by_themselves = {
        *(f"entitlements/{{customer}}/{{meter}}/{each}/" for each in ("reserve", "settle", "release")),
        *(f"events/{{key}}/{each}/" for each in ("void", "amend")),
    }
    previews = {
        "rates/preview/",
        "invoices/preview/",
        "invoices/{number}/credit-notes/preview/",
        "plans/{code}/simulate/",
    }
    assert writes - told == {("post", route) for route in by_themselves | previews}


@pytest.mark.django_db(transaction=True)
def test_the_same_request_from_eight_at_once_is_done_once_and_all_get_the_answer(fresh: None) -> None:
    make_customer()
    integrator = Integrator("manage")
    answers = at_once(*[partial(raw, integrator, "credit-grants/", GRANT, "grant-1")] * 8)
    assert {(each.status_code, each.content) for each in answers} == {(201, answers[0].content)}
    assert sum("Idempotent-Replayed" in each.headers for each in answers) == 7
    assert CreditGrant.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_that_waits_does_the_work_when_the_first_fails_before_its_commit(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first holds the key while its connection is lost: nothing of it stays, and the second is done instead."""
    make_customer()
    integrator = Integrator("manage")
    holds, second_came = threading.Event(), threading.Event()
    render = RepeatableWrites._as_text
    tries: list[int] = []

    def lose_the_first(self: Any, body: Any) -> str:
        tries.append(1)
        if len(tries) == 1:
            holds.set()
            assert second_came.wait(30)
            raise OperationalError("the connection was lost")
        return render(self, body)

    monkeypatch.setattr(RepeatableWrites, "_as_text", lose_the_first)
    first = Running(raw, integrator, "credit-grants/", GRANT, "grant-1")
    assert holds.wait(30)
    second = Running(raw, integrator, "credit-grants/", GRANT, "grant-1")
    second_came.set()
    refused, done = first.result(), second.result()
    assert refused.status_code == 503
    assert done.status_code == 201
    assert CreditGrant.objects.count() == 1
    assert raw(integrator, "credit-grants/", GRANT, "grant-1").content == done.content


@pytest.mark.django_db(transaction=True)
def test_one_that_is_killed_at_any_statement_left_nothing_and_is_done_when_it_is_sent_again(
    fresh: None,
) -> None:
    make_customer()
    integrator = Integrator("manage")

    def grant() -> Any:
        return raw(integrator, "credit-grants/", GRANT, "grant-1")

    killed = statement = 0
    while killed_at(statement := statement + 1, grant, before=bool(statement % 2)):
        killed += 1
        assert not StoredAnswer.objects.exists()
        assert not CreditGrant.objects.exists()
    assert killed > 5
    answer = grant()  # the child came to its end, and its answer was lost
    assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")
    assert CreditGrant.objects.count() == 1
