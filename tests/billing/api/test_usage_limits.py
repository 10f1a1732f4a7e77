"""Staff's systems set limits over HTTP: the checks of the form, the same again is no change, the history stays."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.errors import LimitExists
from billing.models import LimitSetter, UsageLimit
from billing.restricting import LimitTerms, add_limit, set_limit
from customers.models import Customer
from metering.models import Meter
from tests.at_once import at_once
from tests.factories import event, make_customer, make_meter, make_subscription, send
from tests.integrator import Integrator
from tests.staff import sign_in, text_of

pytestmark = pytest.mark.django_db
ROUTE = "usage-limits/"
UNITS: dict[str, Any] = {"customer": "acme", "meter": "tickets_resolved", "quantity": "10"}


@pytest.fixture
def acme(integrator: Integrator) -> Customer:
    return make_subscription(make_customer()).customer


def test_a_limit_is_set_read_changed_and_taken_away(integrator: Integrator, acme: Customer) -> None:
    send(*(event(f"e{n}", occurred_at="2026-11-03T10:00:00Z") for n in range(4)))
    status, made = integrator.post(ROUTE, UNITS)
    assert status == 201
    assert made == {
        "id": made["id"], "customer": "acme", "meter": "tickets_resolved", "set_by": "staff", "quantity": "10",
        "amount": None, "kind": "hard", "remind_at": [50, 80, 100],
        "standing": {
            "used": "4", "reserved": "0", "remaining": "6", "percent": 40, "currency": None,
            "period_start": "2026-11-01T00:00:00Z", "resets_at": "2026-12-01T00:00:00Z",
        },
    }  # fmt: skip
    one = f"{ROUTE}{made['id']}/"
    assert integrator.get(one) == (200, made)
    assert integrator.get("entitlements/acme/tickets_resolved/")[1]["limit"] == "10"
    status, changed = integrator.patch(
        one, {"quantity": None, "amount": "16", "kind": "soft", "remind_at": [90, 50]}
    )
    assert (status, changed["quantity"], changed["amount"], changed["remind_at"]) == (
        200,
        None,
        "16.00",
        [50, 90],
    )
    assert (changed["standing"]["used"], changed["standing"]["remaining"]) == ("8.00", "8.00")
    assert (changed["standing"]["percent"], changed["standing"]["currency"]) == (50, "USD")
    assert integrator.delete(one) == 204
    assert integrator.delete(one) == 404
    assert not UsageLimit.objects.exists()
    assert integrator.get("entitlements/acme/tickets_resolved/")[1]["limits"] == []


def test_the_same_again_is_the_same_limit_and_leaves_no_history(
    integrator: Integrator, acme: Customer
) -> None:
    made = integrator.post(ROUTE, UNITS)[1]
    assert integrator.post(ROUTE, UNITS | {"remind_at": [100, 80, 50]}) == (200, made)
    one = f"{ROUTE}{made['id']}/"
    assert integrator.patch(one, {"quantity": "10.0", "customer": "acme"}) == (200, made)
    assert UsageLimit.history.count() == 1
    status, refused = integrator.post(ROUTE, UNITS | {"quantity": "11"})
    assert (status, refused["error"]["code"], list(refused["error"]["fields"])) == (
        409,
        "limit_exists",
        ["meter"],
    )
    assert f"number {made['id']}. Change that one." in refused["error"]["message"]
    assert UsageLimit.objects.get().quantity == 10


def test_its_history_says_who_set_changed_and_removed_it_and_outlives_it(
    integrator: Integrator, acme: Customer
) -> None:
    made = integrator.post(ROUTE, UNITS)[1]
    one = f"{ROUTE}{made['id']}/"
    fields = {"quantity": "20", "kind": "soft", "remind_at": ""}
    assert sign_in("Billing clerk").post(
        reverse("admin:billing_usagelimit_change", args=[made["id"]]), fields
    ).status_code == 302  # fmt: skip
    integrator.delete(one)
    status, answer = integrator.get(f"{one}history/")
    assert status == 200
    told = [
        (each["action"], each["by"].partition(" (")[0], each["quantity"], each["kind"], each["remind_at"])
        for each in answer["results"]
    ]
    assert told == [
        ("removed", "API key integration", "20", "soft", []),
        ("changed", "billing-clerk", "20", "soft", []),
        ("set", "API key integration", "10", "hard", [50, 80, 100]),
    ]
    assert integrator.get(f"{ROUTE}999/history/")[0] == 404
    assert integrator.get(f"{ROUTE}{made['id']}/history/", page="1")[0] == 400


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"quantity": None}, "", "in units or in money, one of the two"),
        ({"amount": "5"}, "", "in units or in money, one of the two"),
        ({"quantity": "-1"}, "", "A limit is 0 or more"),
        ({"quantity": "1e30"}, "quantity", ""),
        ({"quantity": None, "amount": "5.005"}, "amount", "Amounts in USD have at most 2 decimals"),
        ({"quantity": None, "amount": "1e20"}, "amount", ""),
        ({"quantity": None, "amount": "NaN"}, "amount", ""),
        ({"remind_at": [50, 50]}, "remind_at", "A percentage is named twice"),
        ({"remind_at": [0]}, "remind_at.0", ""),
        ({"remind_at": list(range(1, 22))}, "remind_at", ""),
        ({"kind": "firm"}, "kind", ""),
        ({"customer": "nobody"}, "customer", ""),
        ({"meter": "nothing"}, "meter", ""),
        ({"set_by": "customer"}, "set_by", "Unknown field"),
        ({"colour": "red"}, "colour", "Unknown field"),
    ],
)
def test_what_cannot_be_a_limit_is_refused_by_name(
    integrator: Integrator, acme: Customer, fields: dict[str, Any], field: str, sentence: str
) -> None:
    status, answer = integrator.post(ROUTE, UNITS | fields)
    assert status == 400, answer
    assert not field or list(answer["error"]["fields"]) == [field]
    assert sentence in str(answer)
    assert not UsageLimit.objects.exists()


def test_a_refused_change_writes_nothing_and_a_customers_own_limit_can_only_be_taken_away(
    integrator: Integrator, acme: Customer
) -> None:
    made = integrator.post(ROUTE, UNITS)[1]
    assert integrator.patch(f"{ROUTE}{made['id']}/", {"amount": "5"})[0] == 400
    assert integrator.patch(f"{ROUTE}{made['id']}/", {"customer": "other"})[0] == 400
    own = set_limit(acme, Meter.objects.get(), set_by=LimitSetter.CUSTOMER, quantity=Decimal(8), amount=None)
    status, answer = integrator.patch(f"{ROUTE}{own.pk}/", {"quantity": "9"})
    assert (status, answer["error"]["code"]) == (409, "limit_refused")
    assert list(UsageLimit.objects.order_by("pk").values_list("quantity", flat=True)) == [10, 8]
    assert integrator.get(f"{ROUTE}{own.pk}/history/")[1]["results"][0]["by"] == "the customer"
    assert integrator.delete(f"{ROUTE}{own.pk}/") == 204


def test_the_list_is_filtered_and_takes_as_many_queries_for_many_as_for_one(
    integrator: Integrator, acme: Customer
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert integrator.get(ROUTE)[0] == 200
        return len(captured)

    integrator.post(ROUTE, UNITS)
    queries()
    before = queries()
    for code in ("b", "c", "d"):
        make_subscription(make_customer(code))
        integrator.post(ROUTE, UNITS | {"customer": code, "kind": "soft"})
    assert queries() == before
    for parameters, codes in (
        ({"customer": "b"}, ["b"]),
        ({"kind": "hard"}, ["acme"]),
        ({"set_by": "customer"}, []),
        ({"meter": "nothing"}, []),
    ):
        rows = integrator.get(ROUTE, **parameters)[1]["results"]
        assert [row["customer"] for row in rows] == codes
    assert integrator.get(ROUTE, colour="red")[0] == 400


def test_only_a_key_that_manages_sets_limits(fresh: None, acme: Customer) -> None:
    for scope, status in (("read", 200), ("ingest", 403)):
        key = Integrator(scope)
        assert key.get(ROUTE)[0] == status
        assert key.post(ROUTE, UNITS)[0] == 403
    assert not UsageLimit.objects.exists()


def test_a_second_limit_in_the_form_is_refused_in_words(integrator: Integrator, acme: Customer) -> None:
    integrator.post(ROUTE, UNITS)
    sent = {
        "customer": acme.pk,
        "meter": Meter.objects.get().pk,
        "kind": "hard",
        "amount": "5",
        "remind_at": "50",
    }
    page = sign_in("Billing clerk").post(reverse("admin:billing_usagelimit_add"), sent)
    assert "There is a limit for this customer and meter already. Change that one." in text_of(page)


@pytest.mark.django_db(transaction=True)
def test_of_parallel_answers_one_sets_the_limit_and_the_others_are_told() -> None:
    make_meter()
    acme, meter = make_customer(), Meter.objects.get()

    def work(n: int) -> str:
        try:
            _, is_new = add_limit(acme, meter, LimitTerms(quantity=Decimal(5 + n % 2)))
        except LimitExists:
            return "exists"
        return "new" if is_new else "same"

    told = at_once(*(partial(work, n) for n in range(6)))
    assert sorted(told) == ["exists"] * 3 + ["new"] + ["same"] * 2
