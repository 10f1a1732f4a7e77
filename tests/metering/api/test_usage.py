"""`GET /api/v1/usage/`: totals, points, groups, filters, zones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import event, make_customer, make_meter, send
from tests.integrator import Integrator


@pytest.fixture(autouse=True)
def story(db: None, fresh: None) -> None:
    make_meter(dimensions=["channel", "region"])
    make_customer()
    make_customer("berlin", timezone="Europe/Berlin")


OCTOBER = {"meter": "tickets_resolved", "from": "2026-10-01", "to": "2026-11-01"}


def test_120_tickets_are_usage_120_in_the_shape_of_the_contract(integrator: Integrator) -> None:
    send(*(event(f"evt-{n}") for n in range(120)))
    status, answer = integrator.get("usage/", customer="acme", **OCTOBER)
    assert status == 200
    assert (answer["meter"], answer["unit"]) == ("tickets_resolved", "ticket")
    assert answer["groups"] == [{"group": {}, "total": "120", "points": []}]


def test_no_usage_is_a_zero_not_an_empty_answer(integrator: Integrator) -> None:
    assert integrator.get("usage/", **OCTOBER)[1]["groups"] == [{"group": {}, "total": "0", "points": []}]


def test_decimals_carry_no_trailing_zeros(integrator: Integrator) -> None:
    send(event("a", value="0.250"), event("b", value="0.25"), event("c", value="100.00"))
    assert integrator.get("usage/", **OCTOBER)[1]["groups"][0]["total"] == "100.5"


def test_days_without_events_are_zero_points(integrator: Integrator) -> None:
    send(
        event("a", occurred_at="2026-10-01T00:00:00Z"), event("b", occurred_at="2026-10-03T23:59:59.999999Z")
    )
    _, answer = integrator.get("usage/", **(OCTOBER | {"to": "2026-10-05", "interval": "day"}))
    assert answer["groups"][0]["points"] == [
        {"start": "2026-10-01T00:00:00Z", "value": "1"},
        {"start": "2026-10-02T00:00:00Z", "value": "0"},
        {"start": "2026-10-03T00:00:00Z", "value": "1"},
        {"start": "2026-10-04T00:00:00Z", "value": "0"},
    ]


def test_the_end_is_not_part_of_the_time(integrator: Integrator) -> None:
    send(
        event("a", occurred_at="2026-10-31T23:59:59.999999Z"), event("b", occurred_at="2026-11-01T00:00:00Z")
    )
    assert integrator.get("usage/", **OCTOBER)[1]["groups"][0]["total"] == "1"


def test_days_begin_in_the_customers_zone_or_the_one_asked_for(integrator: Integrator) -> None:
    send(event("a", customer="berlin", occurred_at="2026-09-30T22:30:00Z"))  # 00:30 on 1 October in Berlin
    asked: dict[str, Any] = OCTOBER | {"customer": "berlin"}
    assert integrator.get("usage/", **asked)[1]["groups"][0]["total"] == "1"
    assert integrator.get("usage/", **(asked | {"timezone": "UTC"}))[1]["groups"][0]["total"] == "0"
    _, answer = integrator.get("usage/", **(asked | {"interval": "day", "to": "2026-10-02"}))
    assert answer["groups"][0]["points"] == [{"start": "2026-09-30T22:00:00Z", "value": "1"}]


def test_without_times_it_is_the_running_month(integrator: Integrator) -> None:
    send(event("a", occurred_at="2026-10-31T12:00:00Z"), event("b", occurred_at="2026-11-02T12:00:00Z"))
    _, answer = integrator.get("usage/", meter="tickets_resolved")
    assert (answer["from"], answer["to"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
    assert answer["groups"][0]["total"] == "1"


def test_groups_by_several_names_and_largest_first(integrator: Integrator) -> None:
    send(
        event("a", dimensions={"channel": "email"}),
        event("b", dimensions={"channel": "chat"}, customer="berlin"),
        event("c", dimensions={"channel": "chat"}, customer="berlin"),
    )
    status, answer = integrator.get("usage/", group_by=["channel", "customer"], **OCTOBER)
    assert status == 200
    assert [(each["group"], each["total"]) for each in answer["groups"]] == [
        ({"channel": "chat", "customer": "berlin"}, "2"),
        ({"channel": "email", "customer": "acme"}, "1"),
    ]


def test_filters_keep_events_with_one_of_the_values(integrator: Integrator) -> None:
    send(*(event(key, dimensions={"region": key}) for key in ("eu", "us", "asia")))
    asked = OCTOBER | {"filter.region": "eu"}
    assert integrator.get("usage/", **asked)[1]["groups"][0]["total"] == "1"
    assert (
        integrator.get("usage/", **(asked | {"filter.region": ["eu", "us"]}))[1]["groups"][0]["total"] == "2"
    )
    assert integrator.get("usage/", **(OCTOBER | {"filter.customer": "acme"}))[1]["groups"][0]["total"] == "3"


def test_the_largest_groups_alone_with_their_points_and_how_many_were_left_out(
    integrator: Integrator,
) -> None:
    channels = ("email", "chat", "chat", "phone", "phone", "phone")
    send(
        *(
            event(f"evt-{n}", dimensions={"channel": channel}, occurred_at=f"2026-10-0{n + 1}T00:00:00Z")
            for n, channel in enumerate(channels)
        )
    )
    asked = OCTOBER | {"to": "2026-10-07", "group_by": "channel", "top": "2"}
    _, answer = integrator.get("usage/", **asked)
    assert [(each["group"]["channel"], each["total"]) for each in answer["groups"]] == [
        ("phone", "3"),
        ("chat", "2"),
    ]
    assert answer["left_out"] == 1
    _, daily = integrator.get("usage/", **(asked | {"interval": "day"}))
    assert [[point["value"] for point in each["points"]] for each in daily["groups"]] == [
        ["0", "0", "0", "1", "1", "1"],
        ["0", "1", "1", "0", "0", "0"],
    ]
    assert integrator.get("usage/", **(asked | {"top": "3"}))[1]["left_out"] == 0


def test_top_of_several_names_keeps_pairs_not_each_name(integrator: Integrator) -> None:
    pairs = [("email", "eu")] * 3 + [("chat", "us")] * 2 + [("email", "us")]
    send(
        *(event(f"evt-{n}", dimensions={"channel": c, "region": r}) for n, (c, r) in enumerate(pairs)),
    )
    asked = OCTOBER | {"group_by": ["channel", "region"], "top": "2", "interval": "month"}
    _, answer = integrator.get("usage/", **asked)
    assert [tuple(each["group"].values()) for each in answer["groups"]] == [("email", "eu"), ("chat", "us")]


def test_usage_is_a_table_when_csv_is_asked_for(integrator: Integrator) -> None:
    send(
        event("a", dimensions={"channel": "=cmd()"}),
        event("b", dimensions={"channel": "chat, long"}, value="2.50"),
        event("c"),
    )
    asked = OCTOBER | {"group_by": "channel"}
    status, table = integrator.get("usage/", format="csv", **asked)
    assert (status, table.decode()) == (200, 'channel,total\r\n"chat, long",2.5\r\n,1\r\n\'=cmd(),1\r\n')
    points = asked | {"from": "2026-10-02", "to": "2026-10-04", "interval": "day", "top": "1"}
    assert integrator.get("usage/", format="csv", **points)[1].decode().splitlines() == [
        "channel,start,value",
        '"chat, long",2026-10-02T00:00:00Z,0',
        '"chat, long",2026-10-03T00:00:00Z,2.5',
    ]
    answer = integrator.client.get("/api/v1/usage/", OCTOBER, headers={"Accept": "text/csv"})
    assert answer.content == b"total\r\n4.5\r\n"
    assert 'filename="usage-tickets_resolved.csv"' in answer["Content-Disposition"]
    status, error = integrator.get("usage/", format="csv", meter="calls")
    assert (status, list(error["error"]["fields"])) == (400, ["meter"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"top": "3"}, "top"),
        ({"top": "0", "group_by": "channel"}, "top"),
        ({"top": "1001", "group_by": "channel"}, "top"),
        ({"top": "two", "group_by": "channel"}, "top"),
        ({"format": "xml"}, "format"),
        ({"meter": ""}, "meter"),
        ({"meter": "calls"}, "meter"),
        ({"customer": "nobody"}, "customer"),
        ({"from": "yesterday"}, "from"),
        ({"from": "0001-01-01"}, "from"),
        ({"to": "9999-12-31T23:59:59Z"}, "to"),
        ({"to": "2026-10-01"}, "from"),
        ({"interval": "year"}, "interval"),
        ({"interval": "hour", "from": "2000-01-01"}, "from"),
        ({"group_by": "colour"}, "group_by"),
        ({"group_by": ["channel", "channel"]}, "group_by"),
        ({"filter.colour": "red"}, "filter.colour"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"costumer": "acme"}, "costumer"),
        ({"customer": ["acme", "berlin"]}, "customer"),
        ({"customer": "a\x00b"}, "customer"),
        ({"filter.region": "a\x00b"}, "filter.region"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    integrator: Integrator, change: dict[str, Any], named: str
) -> None:
    status, answer = integrator.get("usage/", **(OCTOBER | change))
    assert status == 400
    assert list(answer["error"]["fields"]) == [named]
    assert answer["error"]["message"]


def test_more_points_than_an_answer_holds_are_refused_before_they_are_measured(
    integrator: Integrator, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr("metering.api.usage.MAX_VALUES", 100)
    send(*(event(f"evt-{n}", subject=f"ticket-{n}") for n in range(4)))
    by_day = OCTOBER | {"interval": "day", "group_by": "subject"}
    assert integrator.get("usage/", **(by_day | {"to": "2026-10-26"}))[0] == 200  # 4 x 25 = 100
    with django_assert_max_num_queries(3):
        status, answer = integrator.get("usage/", **by_day)  # 4 x 31 = 124
    assert (status, list(answer["error"]["fields"])) == (400, ["group_by"])


def test_instants_with_an_offset_are_read(integrator: Integrator) -> None:
    status, answer = integrator.get("usage/", **(OCTOBER | {"from": "2026-10-01T02:00:00+02:00"}))
    assert (status, answer["from"]) == (200, "2026-10-01T00:00:00Z")


def test_reading_needs_read_or_manage(integrator: Integrator) -> None:
    assert Integrator("read").get("usage/", **OCTOBER)[0] == 200
    assert Integrator("manage").get("usage", **OCTOBER)[0] == 200
    assert Integrator("ingest").get("usage/", **OCTOBER)[0] == 403


def test_a_series_takes_the_same_few_queries_whatever_its_length(
    integrator: Integrator, django_assert_max_num_queries: Any
) -> None:
    integrator.get("usage/", **OCTOBER)
    with django_assert_max_num_queries(5):
        integrator.get("usage/", customer="acme", interval="hour", group_by="channel", **OCTOBER)
