"""Set-up of meters, customers and workloads over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from customers.models import Customer
from metering.models import Event, Meter
from tests.factories import event, make_customer, make_meter, send
from tests.integrator import Integrator

METER = {
    "code": "tickets_resolved",
    "label": "Tickets Resolved",
    "type": "count",
    "dimensions": ["channel"],
    "description": "A ticket the assistant solved alone.",
}
CUSTOMER = {
    "code": "acme",
    "name": "Acme Inc.",
    "email": "billing@acme.example",
    "timezone": "America/New_York",
    "currency": "USD",
    "address": "1 Main Street\nSpringfield",
    "tax_id": "US-1",
    "traits": {"tier": "gold", "seats": 5, "share": 0.5},
}


def test_a_meter_is_created_listed_and_read(integrator: Integrator) -> None:
    status, made = integrator.post("meters/", METER)
    assert status == 201
    assert METER.items() <= made.items()
    assert made["status"] == "active"
    assert integrator.get("meters/tickets_resolved/") == (200, made)
    listed = integrator.get("meters/")[1]
    assert (listed["results"], listed["next"]) == ([made], None)


def test_a_code_is_made_from_the_label_or_name(integrator: Integrator) -> None:
    assert integrator.post("meters/", {"label": "Tickets Resolved"})[1]["code"] == "tickets_resolved"
    assert integrator.post("customers/", {"name": "Acme Inc."})[1]["code"] == "acme_inc"
    status, answer = integrator.post("customers/", {"name": "株式会社"})
    assert (status, list(answer["error"]["fields"])) == (400, ["code"])


def test_a_customer_is_created_and_read(integrator: Integrator) -> None:
    status, made = integrator.post("customers/", CUSTOMER)
    assert status == 201
    assert CUSTOMER.items() <= made.items()
    assert integrator.get("customers/acme")[1] == made


@pytest.mark.parametrize(("route", "body"), [("meters/", METER), ("customers/", CUSTOMER)])
def test_a_code_that_is_taken_is_a_conflict(integrator: Integrator, route: str, body: dict[str, Any]) -> None:
    integrator.post(route, body)
    status, answer = integrator.post(route, body)
    assert (status, answer["error"]["code"]) == (409, "already_exists")
    assert list(answer["error"]["fields"]) == ["code"]
    assert len(integrator.get(route)[1]["results"]) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"created_at": "2026-01-01T00:00:00Z"}, "created_at"),
        ({"code": ""}, "code"),
        ({"code": "two words"}, "code"),
        ({"code": "x" * 201}, "code"),
        ({"code": None}, "code"),
        ({"label": ""}, "label"),
        ({"label": None}, "label"),
        ({"type": "sums"}, "type"),
        ({"type": []}, "type"),
        ({"dimensions": "channel"}, "dimensions"),
        ({"dimensions": ["two words"]}, "dimensions.0"),
        ({"dimensions": ["a", "a"]}, "dimensions"),
        ({"dimensions": [None]}, "dimensions.0"),
    ],
)
def test_a_wrong_field_of_a_meter_is_refused_by_name(
    integrator: Integrator, change: dict[str, Any], named: str
) -> None:
    status, answer = integrator.post("meters/", METER | change)
    assert status == 400
    assert list(answer["error"]["fields"]) == [named]
    assert answer["error"]["message"].startswith(named)
    assert Meter.objects.count() == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"timezone": "Mars"}, "timezone"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "ZZZ"}, "currency"),  # a code in form, of no currency
        ({"currency": "XAU"}, "currency"),  # gold has no minor unit
        ({"email": "nobody"}, "email"),
        ({"name": "  "}, "name"),
        ({"traits": []}, "traits"),
        ({"traits": {"n": 1e-7, "long": 0.1}} | {"nmae": "x"}, "nmae"),
    ],
)
def test_a_wrong_field_of_a_customer_is_refused_by_name(
    integrator: Integrator, change: dict[str, Any], named: str
) -> None:
    status, answer = integrator.post("customers/", CUSTOMER | change)
    assert status == 400
    assert list(answer["error"]["fields"]) == [named]
    assert Customer.objects.count() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"code": "a", "code": "b", "name": "A"}',
        b'{"name": NaN}',
        b'{"name": "\\ud800"}',
        b'{"name": "a\\u0000b"}',
        b'{"traits": ' + b'{"a": ' * 60 + b"1" + b"}" * 61,
        b'{"traits": ' + b"[" * 100_000,
        b'{"traits": {"n": 1e999999999999999999999}, "name": "A"}',
        b'{"traits": {"n": 1e400}, "name": "A"}',
        b'{"traits": {"n": 0.12345678901234567890123}, "name": "A"}',
        b'{"traits": {"n": ' + b"1" * 5000 + b'}, "name": "A"}',
        b"\xff",
    ],
)
def test_a_body_that_cannot_be_read_is_refused(integrator: Integrator, body: bytes) -> None:
    status, answer = integrator.send("customers/", body)
    assert status == 400
    assert answer["error"]["message"]
    assert Customer.objects.count() == 0


def test_events_sent_before_count_once_meter_and_customer_exist(
    integrator: Integrator, django_capture_on_commit_callbacks: Any
) -> None:
    send(*(event(f"evt-{n}") for n in range(3)))
    with django_capture_on_commit_callbacks(execute=True):
        integrator.post("meters/", METER)
    assert Event.objects.filter(customer=None).count() == 3
    with django_capture_on_commit_callbacks(execute=True):
        integrator.post("customers/", CUSTOMER)
    answer = integrator.get("usage/", meter="tickets_resolved", **{"from": "2026-10-01"})[1]
    assert answer["groups"][0]["total"] == "3"


def test_texts_of_a_meter_can_be_changed_but_not_its_code_or_status_back_to_draft(
    integrator: Integrator,
) -> None:
    integrator.post("meters/", METER)
    status, changed = integrator.patch(
        "meters/tickets_resolved/", {"label": "Resolved", "dimensions": ["a", "b"]}
    )
    assert (status, changed["label"], changed["dimensions"]) == (200, "Resolved", ["a", "b"])
    for change in ({"code": "other"}, {"status": "draft"}):
        status, answer = integrator.patch("meters/tickets_resolved/", change)
        assert (status, list(answer["error"]["fields"])) == (400, list(change))
    assert integrator.patch("meters/tickets_resolved/", {"code": "tickets_resolved"})[0] == 200
    assert Meter.objects.get().type == "count"


def test_a_customers_name_can_be_changed_but_not_its_code(integrator: Integrator) -> None:
    integrator.post("customers/", CUSTOMER)
    assert integrator.patch("customers/acme/", {"name": "Acme Ltd."})[1]["name"] == "Acme Ltd."
    status, answer = integrator.patch("customers/acme/", {"code": "other"})
    assert (status, list(answer["error"]["fields"])) == (400, ["code"])


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "sum", "factor": "0.01", "divisor": "3600", "rounding": {"function": "up", "digits": 2}},
        {"type": "percentile", "percentile": "95"},
        {"type": "max", "window": "day"},
        {"type": "unique", "value_dimension": "user"},
        {"type": "weighted_sum", "timeout_hours": "0.5"},
        {"type": "average", "filters": {"channel": ["email", "chat"]}, "allow_negative": False},
        {"type": "latest"},
        {"type": "min"},
    ],
)
def test_every_type_of_meter_is_taken_and_given_back(
    integrator: Integrator, definition: dict[str, Any]
) -> None:
    status, made = integrator.post("meters/", METER | definition)
    assert (status, integrator.get("meters/tickets_resolved/")[1]) == (201, made)
    assert definition.items() <= made.items()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"type": "percentile"}, "percentile"),
        ({"type": "percentile", "percentile": "0"}, "percentile"),
        ({"type": "percentile", "percentile": "101"}, "percentile"),
        ({"percentile": "95"}, "percentile"),
        ({"window": "day"}, "window"),
        ({"type": "max", "window": "week"}, "window"),
        ({"timeout_hours": "1"}, "timeout_hours"),
        ({"value_dimension": "user"}, "value_dimension"),
        ({"factor": "0"}, "factor"),
        ({"factor": "NaN"}, "factor"),
        ({"factor": "1_000"}, "factor"),
        ({"factor": True}, "factor"),
        ({"divisor": "-1"}, "divisor"),
        ({"divisor": "1e400"}, "divisor"),
        ({"divisor": "1" * 30}, "divisor"),
        ({"factor": None}, "factor"),
        ({"rounding": "up"}, "rounding"),
        ({"rounding": {"function": "sideways"}}, "rounding.function"),
        ({"rounding": {"function": "up", "digits": 19}}, "rounding.digits"),
        ({"rounding": {"function": "up", "digits": 1.5}}, "rounding.digits"),
        ({"rounding": {"function": "up", "places": 1}}, "rounding.places"),
        ({"allow_negative": "maybe"}, "allow_negative"),
        ({"filters": {"channel": 5}}, "filters"),
        ({"filters": {"two words": ["x"]}}, "filters"),
        ({"filters": ["x"]}, "filters"),
        ({"filters": {"channel": [0.5]}}, "filters"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused_by_name(
    integrator: Integrator, change: dict[str, Any], named: str
) -> None:
    status, answer = integrator.post("meters/", METER | change)
    assert (status, list(answer["error"]["fields"])) == (400, [named]), answer
    assert Meter.objects.count() == 0


def test_a_definition_can_be_changed_until_there_are_events(integrator: Integrator) -> None:
    integrator.post("meters/", METER)
    status, changed = integrator.patch(
        "meters/tickets_resolved/", {"type": "sum", "rounding": {"function": "up"}}
    )
    assert (status, changed["type"], changed["rounding"]) == (200, "sum", {"function": "up", "digits": 0})
    make_customer()
    send(event("evt-1", value="1"))
    for change in ({"type": "max"}, {"rounding": None}, {"factor": "2"}):
        status, answer = integrator.patch("meters/tickets_resolved/", change)
        assert (status, answer["error"]["code"]) == (409, "meter_frozen")
    same = {"type": "sum", "factor": "1.0", "rounding": {"function": "up", "digits": 0}, "label": "Solved"}
    assert integrator.patch("meters/tickets_resolved/", same)[1]["label"] == "Solved"


def test_workloads_may_be_nested_but_not_in_a_circle(integrator: Integrator) -> None:
    assert integrator.post("workloads/", {"code": "bots", "name": "Bots"})[0] == 201
    _, made = integrator.post("workloads/", {"code": "support_bot", "name": "Support bot", "parent": "bots"})
    assert made["parent"] == "bots"
    status, answer = integrator.patch("workloads/bots/", {"parent": "support_bot"})
    assert (status, list(answer["error"]["fields"])) == (400, ["parent"])
    assert integrator.post("workloads/", {"name": "X", "parent": "nothing"})[0] == 400
    assert [each["code"] for each in integrator.get("workloads/", parent="bots")[1]["results"]] == [
        "support_bot"
    ]


def test_lists_come_in_pages_and_next_leads_through_all(integrator: Integrator) -> None:
    for n in range(5):
        make_meter(f"m{n}")
    _, page = integrator.get("meters/", page_size=2)
    seen = [each["code"] for each in page["results"]]
    while page["next"]:
        _, page = integrator.answer(integrator.client.get(page["next"]))
        seen += [each["code"] for each in page["results"]]
    assert seen == ["m0", "m1", "m2", "m3", "m4"]


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"page_size": 0}, 400),
        ({"page_size": "many"}, 400),
        ({"page_size": 1001}, 400),
        ({"page": 9}, 404),
        ({"page": "x"}, 404),
        ({"colour": "red"}, 400),
        ({"type": "sums"}, 400),
        ({"code": "a\x00b"}, 400),
    ],
)
def test_a_wrong_list_parameter_is_refused(
    integrator: Integrator, parameters: dict[str, Any], status: int
) -> None:
    assert integrator.get("meters/", **parameters)[0] == status


def test_lists_are_filtered(integrator: Integrator) -> None:
    make_meter("a", type="sum")
    make_meter("b")
    assert [each["code"] for each in integrator.get("meters/", type="sum")[1]["results"]] == ["a"]
    make_customer("x", name="Xavier")
    make_customer("y", name="Yolanda")
    assert [each["code"] for each in integrator.get("customers/", name="oland")[1]["results"]] == ["y"]


def test_there_is_nothing_behind_an_unknown_code(integrator: Integrator) -> None:
    for route in (
        "meters/none/",
        "customers/none/",
        "workloads/none/",
        "meters/%00/",
        "meters/a b/",
        "nothing/",
    ):
        status, answer = integrator.get(route)
        assert (status, answer["error"]["code"]) == (404, "not_found")


def test_setting_up_needs_manage_and_reading_read_or_manage(integrator: Integrator) -> None:
    assert Integrator("manage").post("meters/", METER)[0] == 201
    for scope in ("ingest", "read"):
        assert Integrator(scope).post("meters/", METER | {"code": "x"})[0] == 403
    assert Integrator("read").get("meters/")[0] == 200
    assert Integrator("ingest").get("meters/")[0] == 403


def test_the_history_names_the_key_that_made_a_change(integrator: Integrator) -> None:
    integrator.post("customers/", CUSTOMER)
    integrator.patch("customers/acme/", {"name": "Acme Ltd."})
    last = Customer.objects.get().history.first()
    assert (last.name, last.history_user) == ("Acme Ltd.", None)
    assert last.history_change_reason == f"API key integration ({integrator.key.partition('.')[0]})"


def test_nothing_is_deleted_over_http(integrator: Integrator) -> None:
    make_meter()
    assert integrator.client.delete("/api/v1/meters/tickets_resolved/").status_code == 405


def test_an_outcome_meter_says_what_counts(integrator: Integrator) -> None:
    integrator.post("meters/", METER | {"code": "calls"})
    outcomes = {"once_per_subject": "ever", "verification_hours": "72", "evidence_meter": "calls"}
    status, made = integrator.post("meters/", METER | outcomes)
    assert status == 201
    assert outcomes.items() <= made.items()


def test_what_is_an_attempt_may_change_at_any_time_and_its_history_stays(integrator: Integrator) -> None:
    for code in ("conversations", "calls"):
        integrator.post("meters/", METER | {"code": code})
    outcomes = {"once_per_subject": "ever", "attempts_meter": "conversations"}
    made = integrator.post("meters/", METER | outcomes)[1]
    assert made["attempts_meter"] == "conversations"
    route = f"meters/{made['code']}/"
    make_customer()
    send(event("e", subject="t-1"))
    assert (
        integrator.patch(route, {"verification_hours": "24"})[0] == 409
    )  # it has events: it counts as it does
    assert integrator.patch(route, {"attempts_meter": "calls"})[1]["attempts_meter"] == "calls"
    assert integrator.patch(route, {"attempts_meter": None})[1]["attempts_meter"] is None
    history = Meter.objects.get(code=made["code"]).history.order_by("history_id")
    assert [each.attempts_meter and each.attempts_meter.code for each in history] == [
        "conversations", "calls", None,
    ]  # fmt: skip


def test_only_an_outcome_meter_has_attempts_and_not_itself(integrator: Integrator) -> None:
    integrator.post("meters/", METER | {"code": "calls"})
    status, answer = integrator.post("meters/", METER | {"attempts_meter": "calls"})
    assert (status, list(answer["error"]["fields"])) == (400, ["attempts_meter"])
    made = integrator.post("meters/", METER | {"once_per_subject": "ever"})[1]
    route = f"meters/{made['code']}/"
    assert integrator.patch(route, {"attempts_meter": made["code"]})[0] == 400
    assert integrator.patch(route, {"attempts_meter": "nothing"})[0] == 400
    integrator.patch(route, {"attempts_meter": "calls"})
    # No result is counted any more, so nothing is an attempt.
    status, answer = integrator.patch(route, {"once_per_subject": "never"})
    assert (status, list(answer["error"]["fields"])) == (400, ["attempts_meter"])
    meter = Meter.objects.get(code=made["code"])
    for fields in ({"attempts_meter": meter}, {"once_per_subject": "never"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Meter.objects.filter(pk=meter.pk).update(**fields)


@pytest.mark.parametrize(
    "field",
    [
        {"once_per_subject": "always"},
        {"once_per_subject": "ever", "type": "sum"},
        {"verification_hours": "72", "type": "max"},
        {"verification_hours": "-1"},
        {"evidence_meter": "nothing"},
        {"attempts_meter": "nothing"},
    ],
)
def test_an_outcome_that_cannot_be_counted_is_refused_by_name(
    integrator: Integrator, field: dict[str, Any]
) -> None:
    status, answer = integrator.post("meters/", METER | field)
    assert (status, list(answer["error"]["fields"])) == (400, [next(iter(field))])
    assert not Meter.objects.exists()


def test_settings_that_mean_nothing_may_be_sent(integrator: Integrator) -> None:
    neutral = {"filters": None, "once_per_subject": "never", "verification_hours": 0, "rounding": {}}
    assert integrator.post("meters/", METER | neutral)[0] == 201


def test_a_list_takes_the_same_queries_whatever_its_length(
    integrator: Integrator, django_assert_num_queries: Any
) -> None:
    integrator.get("workloads/")
    for n in range(20):
        integrator.post("workloads/", {"name": f"W {n}", "parent": "w_0" if n else None})
    with django_assert_num_queries(2):
        integrator.get("workloads/")


def test_a_meter_without_settings_shows_what_holds_then(integrator: Integrator) -> None:
    settings = {
        "window": "",
        "value_dimension": "",
        "percentile": None,
        "timeout_hours": None,
        "filters": {},
        "factor": "1",
        "divisor": "1",
        "rounding": None,
        "allow_negative": None,
        "once_per_subject": "never",
        "verification_hours": None,
        "evidence_meter": None,
        "attempts_meter": None,
    }
    made = integrator.post("meters/", METER)[1]
    assert settings.items() <= made.items()
