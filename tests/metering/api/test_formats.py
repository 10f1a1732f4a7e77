"""`POST /api/v1/events/` in the formats of others: CloudEvents, newline-delimited JSON, CSV."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from metering.models import Event, EventBatch
from tests.factories import NOW, event, make_customer, make_meter
from tests.integrator import Integrator

CLOUD = "application/cloudevents+json"
CLOUD_BATCH = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
HEADER = "key,meter,customer,occurred_at,value,dimensions.channel\n"


@pytest.fixture(autouse=True)
def story(db: None) -> None:
    make_meter(dimensions=["channel"])
    make_meter("minutes", type="sum")
    make_customer()


def cloud_event(name: str, **changes: Any) -> dict[str, Any]:
    """One resolved ticket of Acme as a CloudEvent."""
    return {
        "specversion": "1.0",
        "id": name,
        "source": "/helpdesk",
        "type": "tickets_resolved",
        "subject": "acme",
        "time": "2026-10-03T10:00:00Z",
    } | changes


def send_cloud(integrator: Integrator, sent: dict[str, Any], **headers: str) -> tuple[int, Any]:
    return integrator.send("events/", json.dumps(sent), content_type=CLOUD, **headers)


def rows() -> list[tuple[str, str]]:
    return list(Event.objects.order_by("source", "key").values_list("source", "key"))


# ---- CloudEvents, structured ---------------------------------------------------------------------------


def test_attributes_of_a_cloud_event_become_fields_of_the_event(integrator: Integrator) -> None:
    data = {"value": "2.50", "workload": "support_bot", "dimensions": {"channel": "email"}}
    sent = cloud_event("evt-1", data=data, datacontenttype="application/json", traceparent="00-abc-01")
    status, answer = send_cloud(integrator, sent)
    assert (status, answer["accepted"], answer["results"][0]["key"]) == (200, 1, "evt-1")
    row = Event.objects.select_related("meter", "customer", "workload").get()
    assert (row.source, row.key, row.meter.code, row.customer.code) == (
        "/helpdesk",
        "evt-1",
        "tickets_resolved",
        "acme",
    )
    assert (row.value, row.subject, row.workload.name) == (Decimal("2.50"), None, "support_bot")
    assert row.dimensions == {"channel": "email"}
    assert row.occurred_at == datetime(2026, 10, 3, 10, tzinfo=UTC)


def test_subject_is_the_subject_where_the_data_names_the_customer(integrator: Integrator) -> None:
    sent = cloud_event("evt-1", subject="ticket-4711", data={"customer": "acme"})
    assert send_cloud(integrator, sent)[0] == 200
    row = Event.objects.select_related("customer").get()
    assert (row.customer.code, row.subject) == ("acme", "ticket-4711")


def test_id_is_unique_within_its_source(integrator: Integrator) -> None:
    for source in ("/helpdesk", "/chat", "/helpdesk"):
        send_cloud(integrator, cloud_event("evt-1", source=source))
    integrator.post("events/", event("evt-1"))
    assert rows() == [("/chat", "evt-1"), ("/helpdesk", "evt-1"), ("api", "evt-1")]


def test_an_event_without_time_happened_when_it_came_first(integrator: Integrator) -> None:
    sent = cloud_event("evt-1", time=None)
    assert send_cloud(integrator, sent)[1]["accepted"] == 1
    with time_machine.travel(NOW + timedelta(minutes=5), tick=False):
        assert send_cloud(integrator, sent)[1]["duplicates"] == 1
    assert Event.objects.get().occurred_at == NOW


def test_data_in_base64_is_read_like_any_other(integrator: Integrator) -> None:
    packed = base64.b64encode(b'{"value": "3"}').decode()
    assert send_cloud(integrator, cloud_event("evt-1", data_base64=packed))[0] == 200
    assert Event.objects.get().value == Decimal(3)


def test_an_unknown_customer_is_kept_and_counts_later(integrator: Integrator) -> None:
    status, answer = send_cloud(integrator, cloud_event("evt-1", subject="nobody"))
    assert (status, answer["unmatched"]) == (200, 1)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"specversion": "0.3"}, "invalid_specversion", "specversion"),
        ({"specversion": None}, "invalid_specversion", "specversion"),
        ({"id": ""}, "invalid_id", "id"),
        ({"id": "a\x00"}, "invalid_text", "key"),
        ({"source": ""}, "invalid_source", "source"),
        ({"source": "s" * 101}, "invalid_source", "source"),
        ({"type": 7}, "invalid_type", "type"),
        ({"subject": None}, "customer_required", "subject"),
        ({"time": "yesterday"}, "invalid_occurred_at", "occurred_at"),
        ({"time": "2024-10-03T10:00:00Z"}, "too_old", "occurred_at"),
        ({"data": {"quantity": 1}}, "unknown_field", "data.quantity"),
        ({"data": {"value": "many"}}, "invalid_value", "data.value"),
        ({"data": {"value": "NaN"}}, "invalid_value", "value"),
        ({"data": {"dimensions": {"channel": 5}}}, "invalid_dimensions", "data.dimensions"),
        ({"data": "text"}, "invalid_data", "data"),
        ({"data": "<x/>", "datacontenttype": "text/xml"}, "invalid_data", "datacontenttype"),
        ({"data_base64": "?"}, "invalid_data", "data_base64"),
        ({"data_base64": "/w=="}, "invalid_data", "data"),
        ({"data": {}, "data_base64": "e30="}, "invalid_data", "data_base64"),
        ({"data": {"customer": "acme", "subject": "t-1"}}, "ambiguous_subject", "subject"),
        ({"value": "5"}, "unknown_field", "value"),
        ({"customer": "acme"}, "unknown_field", "customer"),
        ({"occurred_at": "2026-10-03T10:00:00Z"}, "unknown_field", "occurred_at"),
        ({"type": "minutes"}, "value_required", "value"),
        ({"type": "minutes", "data": None}, "value_required", "value"),
    ],
)
def test_a_wrong_cloud_event_is_told_by_the_status_and_leaves_nothing(
    integrator: Integrator, changes: dict[str, Any], code: str, field: str
) -> None:
    status, answer = send_cloud(integrator, cloud_event("evt-1", **changes))
    assert (status, answer["error"]["code"], list(answer["error"]["fields"])) == (400, code, [field])
    assert answer["error"]["message"]
    assert not Event.objects.exists()
    assert not EventBatch.objects.exists()


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('"id": "evt-1"', '"id": "evt-0", "id": "evt-1"', "id"),
        ('"value": "1"', '"value": "1", "value": "9"', "data.value"),
    ],
)
def test_an_attribute_or_a_field_of_data_sent_twice_is_refused(
    integrator: Integrator, old: str, new: str, field: str
) -> None:
    sent = json.dumps(cloud_event("evt-1", data={"value": "1"}))
    assert old in sent
    _, answer = integrator.send("events/", sent.replace(old, new), CLOUD)
    assert (answer["error"]["code"], list(answer["error"]["fields"])) == ("repeated_field", [field])
    assert not Event.objects.exists()


def test_a_missing_attribute_is_named(integrator: Integrator) -> None:
    sent = cloud_event("evt-1")
    del sent["source"]
    status, answer = send_cloud(integrator, sent)
    assert (status, answer["error"]["code"]) == (400, "source_required")


def test_another_content_under_the_same_id_is_refused(integrator: Integrator) -> None:
    send_cloud(integrator, cloud_event("evt-1"))
    status, answer = send_cloud(integrator, cloud_event("evt-1", data={"value": "2"}))
    assert (status, answer["error"]["code"]) == (400, "key_conflict")
    assert Event.objects.get().value is None


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"7", b"[" * 2000, b"\xff"])
def test_a_body_that_is_no_cloud_event_is_refused(integrator: Integrator, body: bytes) -> None:
    status, answer = integrator.send("events/", body, content_type=CLOUD)
    assert (status, answer["error"]["code"]) == (400, "parse_error")


# ---- CloudEvents, batched ------------------------------------------------------------------------------


def test_a_wrong_cloud_event_costs_the_others_of_its_batch_nothing(integrator: Integrator) -> None:
    sent = [
        cloud_event("a", source="/chat"),
        cloud_event("bad", specversion="2"),
        cloud_event("b"),
        cloud_event("c", source="/chat"),
        7,
    ]
    status, answer = integrator.send("events/", json.dumps(sent), content_type=CLOUD_BATCH)
    assert (status, answer["accepted"], answer["rejected"]) == (200, 3, 2)
    assert [(each["index"], each["status"]) for each in answer["results"]] == [
        (0, "accepted"),
        (1, "rejected"),
        (2, "accepted"),
        (3, "accepted"),
        (4, "rejected"),
    ]
    assert rows() == [("/chat", "a"), ("/chat", "c"), ("/helpdesk", "b")]


def test_a_batch_of_cloud_events_is_a_list(integrator: Integrator) -> None:
    status, answer = integrator.send("events/", json.dumps(cloud_event("a")), content_type=CLOUD_BATCH)
    assert (status, answer["error"]["code"]) == (400, "parse_error")
    assert integrator.send("events/", b"[]", content_type=CLOUD_BATCH)[0] == 200


def test_a_batch_comes_from_100_sources_at_most(integrator: Integrator) -> None:
    sent = [cloud_event("a", source=f"/{n}") for n in range(101)]
    status, _ = integrator.send("events/", json.dumps(sent), content_type=CLOUD_BATCH)
    assert (status, Event.objects.count()) == (413, 0)
    assert integrator.send("events/", json.dumps(sent[:100]), content_type=CLOUD_BATCH)[1]["accepted"] == 100


# ---- CloudEvents, binary -------------------------------------------------------------------------------


def binary_headers(**changes: str) -> dict[str, str]:
    named = {
        "ce_specversion": "1.0",
        "ce_id": "evt-1",
        "ce_source": "/helpdesk",
        "ce_type": "tickets_resolved",
        "ce_subject": "acme",
        "ce_time": "2026-10-03T10:00:00Z",
    } | changes
    return {name: text for name, text in named.items() if text != ""}


def test_binary_mode_has_attributes_in_headers_and_data_in_the_body(integrator: Integrator) -> None:
    body = json.dumps({"value": "2", "dimensions": {"channel": "chat"}})
    status, answer = integrator.send("events/", body, **binary_headers(ce_traceparent="00-1"))
    assert (status, answer["accepted"]) == (200, 1)
    row = Event.objects.get()
    assert (row.source, row.key, row.value) == ("/helpdesk", "evt-1", Decimal(2))
    assert row.dimensions == {"channel": "chat"}
    assert send_cloud(integrator, cloud_event("evt-1", data=json.loads(body)))[1]["duplicates"] == 1


def test_binary_mode_without_data_has_an_empty_body(integrator: Integrator) -> None:
    assert integrator.send("events/", b"", **binary_headers())[1]["accepted"] == 1


def test_header_texts_are_percent_decoded(integrator: Integrator) -> None:
    make_customer("groesse")
    integrator.send("events/", b"", **binary_headers(ce_id="Gr%C3%B6%C3%9Fe%201", ce_subject="groesse"))
    assert Event.objects.get().key == "Größe 1"


@pytest.mark.parametrize(
    ("changes", "body", "code"),
    [
        ({"ce_specversion": ""}, b"", "specversion_required"),
        ({"ce_id": ""}, b"", "id_required"),
        ({"ce_id": "%FF"}, b"", "invalid_text"),
        ({"ce_value": "5"}, b"", "unknown_field"),
        ({"ce_datacontenttype": "text/xml"}, b"", "unknown_field"),
        ({}, b"{", "invalid_data"),
        ({}, b"\xff", "invalid_data"),
        ({}, b"[" * 5000, "invalid_data"),
        ({}, b"[]", "invalid_data"),
        ({}, b'{"colour": "red"}', "unknown_field"),
    ],
)
def test_a_wrong_binary_cloud_event_is_refused(
    integrator: Integrator, changes: dict[str, str], body: bytes, code: str
) -> None:
    status, answer = integrator.send("events/", body, **binary_headers(**changes))
    assert (status, answer["error"]["code"]) == (400, code)
    assert not Event.objects.exists()


def test_binary_data_of_another_type_is_refused(integrator: Integrator) -> None:
    status, answer = integrator.send("events/", b"<x/>", content_type="text/xml", **binary_headers())
    assert (status, answer["error"]["code"]) == (400, "invalid_data")


# ---- newline-delimited JSON ----------------------------------------------------------------------------


def test_each_line_of_json_has_its_own_result(integrator: Integrator) -> None:
    lines = [
        json.dumps(event("a")).encode(),
        b"",
        b'{"key": "cut',
        b"\xff",
        json.dumps(event("b", colour="red")).encode(),
        json.dumps(event("c")).encode() + b"\r",
        b"[" * 5000,
    ]
    status, answer = integrator.send("events/", b"\n".join(lines) + b"\n", content_type=NDJSON)
    assert (status, answer["accepted"], answer["rejected"]) == (200, 2, 4)
    assert [(each["index"], each["status"]) for each in answer["results"]] == [
        (0, "accepted"),
        (2, "rejected"),
        (3, "rejected"),
        (4, "rejected"),
        (5, "accepted"),
        (6, "rejected"),
    ]
    assert rows() == [("api", "a"), ("api", "c")]


@pytest.mark.parametrize("content_type", [NDJSON, CSV])
def test_a_body_without_a_line_is_refused(integrator: Integrator, content_type: str) -> None:
    for body in (b"", b"\n \n"):
        status, answer = integrator.send("events/", body, content_type=content_type)
        assert (status, answer["error"]["code"]) == (400, "parse_error")


def test_more_than_10000_lines_are_too_many(integrator: Integrator) -> None:
    assert integrator.send("events/", b"{}\n" * 10_001, content_type=NDJSON)[0] == 413
    assert integrator.send("events/", b"{}\n" * 10_000, content_type=NDJSON)[1]["rejected"] == 10_000
    assert integrator.send("events/", b"1\n" * 4_000_000, content_type=NDJSON)[0] == 413


# ---- CSV -----------------------------------------------------------------------------------------------


def test_each_row_of_csv_is_an_event(integrator: Integrator) -> None:
    body = (
        "\ufeffkey,meter,customer,occurred_at,value,subject,workload,dimensions.channel,dimensions.region\r\n"
        'evt-1,tickets_resolved,acme,2026-10-03T10:00:00Z,1.5,"ticket, ""4711""",support_bot,email,\r\n'
        "evt-2,tickets_resolved,acme,2026-10-03T10:00:00Z,,,,,\r\n"
    )
    status, answer = integrator.send("events/", body, content_type="text/csv; charset=utf-8")
    assert (status, answer["accepted"]) == (200, 2)
    first, second = Event.objects.select_related("workload").order_by("key")
    assert (first.value, first.subject, first.workload.name) == (
        Decimal("1.5"),
        'ticket, "4711"',
        "support_bot",
    )
    assert first.dimensions == {"channel": "email"}
    assert (second.value, second.subject, second.workload, second.dimensions) == (None, None, None, None)


def test_a_wrong_row_costs_the_others_nothing_and_is_found_by_its_place(integrator: Integrator) -> None:
    good = "tickets_resolved,acme,2026-10-03T10:00:00Z,1,email"
    body = HEADER.encode() + b"\n".join(
        [
            f"a,{good}".encode(),
            b'"b,' + good.encode(),
            f"c,{good},more".encode(),
            b"\xff,",
            b"",
            f",{good}".encode(),
            f"d,{good}".replace(",1,", ",one,").encode(),
            f"e,{good}".encode(),
        ]
    )
    status, answer = integrator.send("events/", body, content_type=CSV)
    assert (status, answer["accepted"], answer["rejected"]) == (200, 2, 5)
    assert [(each["index"], each["key"], each.get("code")) for each in answer["results"]] == [
        (0, "a", None),
        (1, None, "invalid_csv"),
        (2, "c", "invalid_csv"),
        (3, None, "invalid_text"),
        (5, None, "key_required"),
        (6, "d", "invalid_value"),
        (7, "e", None),
    ]


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("key,meter,customer,occurred_at,colour", "colour"),
        ("key,meter,customer", "occurred_at"),
        ("meter,customer,occurred_at", "key"),
        ("key,meter,customer,occurred_at,key", "key"),
        ("key,meter,customer,occurred_at,dimensions.", "dimensions."),
        ("key;meter;customer;occurred_at", "key;meter;customer;occurred_at"),
        ('"key', None),
    ],
)
def test_a_header_that_names_no_events_is_refused_by_its_column(
    integrator: Integrator, header: str, field: str | None
) -> None:
    status, answer = integrator.send("events/", f"{header}\na,b,c,d,e\n", content_type=CSV)
    assert (status, answer["error"]["code"]) == (400, "unreadable_header")
    assert list(answer["error"]["fields"]) == ([field] if field else [])
    assert not EventBatch.objects.exists()


# ---- packed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (CLOUD, json.dumps(cloud_event("evt-1"))),
        (CLOUD_BATCH, json.dumps([cloud_event("evt-1")])),
        (NDJSON, json.dumps(event("evt-1"))),
        (CSV, HEADER + "evt-1,tickets_resolved,acme,2026-10-03T10:00:00Z,1,email"),
    ],
)
def test_every_format_may_be_packed_within_the_limit(
    integrator: Integrator, content_type: str, body: str
) -> None:
    packed = gzip.compress(body.encode())
    answer = integrator.send("events/", packed, content_type=content_type, Content_Encoding="gzip")
    assert (answer[0], answer[1]["accepted"]) == (200, 1)
    bomb = gzip.compress(body.encode() + b" " * (11 * 1024 * 1024))
    assert integrator.send("events/", bomb, content_type=content_type, Content_Encoding="gzip")[0] == 413


def test_a_line_with_two_faults_is_rejected_like_one_with_one(integrator: Integrator) -> None:
    body = b'{"key": 7, "meter": "\xff"}\n' + json.dumps(event("right")).encode()
    status, answer = integrator.send("events/", body, content_type=NDJSON)
    assert (status, answer["accepted"], answer["rejected"]) == (200, 1, 1)
