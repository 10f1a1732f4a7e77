"""`POST /api/v1/events/`: what is taken, what is answered, what is refused."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest

from metering.models import Event, EventBatch
from tests.factories import event, make_customer, make_meter
from tests.integrator import Integrator


@pytest.fixture(autouse=True)
def story(db: None) -> None:
    make_meter(dimensions=["channel"])
    make_customer()


def stored() -> int:
    return Event.objects.count()


def test_one_event_is_answered_as_in_the_contract(integrator: Integrator) -> None:
    sent = event(
        "evt-1", value="1", subject="ticket-4711", workload="support_bot", dimensions={"channel": "email"}
    )
    assert integrator.post("events/", sent) == (
        200,
        {
            "accepted": 1,
            "duplicates": 0,
            "conflicts": 0,
            "unmatched": 0,
            "rejected": 0,
            "results": [{"index": 0, "key": "evt-1", "status": "accepted"}],
        },
    )
    row = Event.objects.select_related("workload").get()
    assert (row.value, row.subject, row.dimensions) == (Decimal(1), "ticket-4711", {"channel": "email"})
    assert row.workload is not None
    assert row.workload.name == "support_bot"


def test_each_event_of_a_list_has_its_own_result(integrator: Integrator) -> None:
    integrator.post("events/", event("again"))
    integrator.post("events/", event("other"))
    batch = [
        event("new"),
        event("again"),
        event("other", value="2"),
        event("lost", customer="nobody"),
        event("bad", occurred_at="yesterday"),
    ]
    status, answer = integrator.post("events/", batch)
    assert status == 200
    assert {name: answer[name] for name in answer if name != "results"} == {
        "accepted": 1,
        "duplicates": 1,
        "conflicts": 1,
        "unmatched": 1,
        "rejected": 1,
    }
    assert [each["status"] for each in answer["results"]] == [
        "accepted",
        "duplicate",
        "conflict",
        "unmatched",
        "rejected",
    ]
    assert [each["index"] for each in answer["results"]] == [0, 1, 2, 3, 4]
    assert answer["results"][4]["code"] == "invalid_occurred_at"
    assert answer["results"][4]["field"] == "occurred_at"
    assert "RFC 3339" in answer["results"][4]["message"]


def test_the_same_120_tickets_sent_twice_count_once(integrator: Integrator) -> None:
    batch = [event(f"evt-{n}") for n in range(120)]
    assert integrator.post("events/", batch)[1]["accepted"] == 120
    status, again = integrator.post("events/", batch)
    assert (status, again["duplicates"], again["accepted"]) == (200, 120, 0)
    assert stored() == 120


def test_a_batch_of_100_lists_every_result(integrator: Integrator) -> None:
    _, answer = integrator.post("events/", [event(f"evt-{n}") for n in range(100)])
    assert len(answer["results"]) == 100


def test_a_batch_above_100_lists_only_what_was_not_accepted(integrator: Integrator) -> None:
    batch = [event(f"evt-{n}") for n in range(101)]
    batch[7]["value"] = "many"
    _, answer = integrator.post("events/", batch)
    assert [(each["index"], each["status"]) for each in answer["results"]] == [(7, "rejected")]
    assert (answer["accepted"], answer["rejected"]) == (100, 1)


def test_an_empty_list_is_a_batch_that_writes_nothing(integrator: Integrator) -> None:
    status, answer = integrator.post("events/", [])
    assert (status, answer["accepted"], answer["results"]) == (200, 0, [])
    assert EventBatch.objects.count() == 0


# ---- keys --------------------------------------------------------------------------------------------


def test_a_single_event_takes_its_key_from_the_header(integrator: Integrator) -> None:
    sent = event("x")
    del sent["key"]
    status, answer = integrator.post("events/", sent, Idempotency_Key="from-header")
    assert (status, answer["results"][0]) == (200, {"index": 0, "key": "from-header", "status": "accepted"})
    assert integrator.post("events/", sent, Idempotency_Key="from-header")[1]["duplicates"] == 1


def test_the_key_in_the_event_wins_over_the_header(integrator: Integrator) -> None:
    _, answer = integrator.post("events/", event("own"), Idempotency_Key="from-header")
    assert answer["results"][0]["key"] == "own"


def test_the_header_gives_no_key_to_a_list(integrator: Integrator) -> None:
    sent = event("x")
    del sent["key"]
    _, answer = integrator.post("events/", [sent], Idempotency_Key="from-header")
    assert (answer["results"][0]["status"], answer["results"][0]["code"]) == ("rejected", "key_required")
    assert stored() == 0


def test_a_missing_key_is_rejected_by_name(integrator: Integrator) -> None:
    sent = event("x")
    del sent["key"]
    status, answer = integrator.post("events/", sent)
    assert (status, answer["rejected"]) == (200, 1)
    assert answer["results"][0] == {
        "index": 0,
        "key": None,
        "status": "rejected",
        "code": "key_required",
        "message": "key is missing. Send a key of your own that names this event for ever.",
        "field": "key",
    }


@pytest.mark.parametrize("header", ["", "k" * 256, "tab\tkey", "\xff\xfe"])
def test_a_header_that_is_no_key_is_rejected(integrator: Integrator, header: str) -> None:
    sent = event("x")
    del sent["key"]
    status, answer = integrator.post("events/", sent, Idempotency_Key=header)
    assert (status, answer["rejected"], stored()) == (200, 1, 0)


def test_a_header_key_in_utf8_is_kept_as_it_was_meant(integrator: Integrator) -> None:
    sent = event("x")
    del sent["key"]
    as_servers_see_it = "Größe-1".encode().decode("latin-1")
    _, answer = integrator.post("events/", sent, Idempotency_Key=as_servers_see_it)
    assert answer["results"][0] == {"index": 0, "key": "Größe-1", "status": "accepted"}


def test_keys_are_unique_within_their_source(integrator: Integrator) -> None:
    integrator.post("events/", event("evt-1"))
    assert Integrator("ingest", source="import").post("events/", event("evt-1"))[1]["accepted"] == 1
    assert Integrator("ingest", source="api").post("events/", event("evt-1"))[1]["duplicates"] == 1


# ---- single events that are wrong -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"occurred_at": "2026-13-01T00:00:00Z"}, "invalid_occurred_at"),
        ({"occurred_at": "2026-10-03T10:00:00"}, "invalid_occurred_at"),
        ({"occurred_at": 1759485600}, "invalid_occurred_at"),
        ({"occurred_at": "2024-10-03T10:00:00Z"}, "too_old"),
        ({"occurred_at": "2026-11-20T13:00:01Z"}, "too_far_ahead"),
        ({"value": "NaN"}, "invalid_value"),
        ({"value": "Infinity"}, "invalid_value"),
        ({"value": "1" * 40}, "invalid_value"),
        ({"value": "1e400"}, "invalid_value"),
        ({"value": True}, "invalid_value"),
        ({"value": []}, "invalid_value"),
        ({"key": ""}, "invalid_key"),
        ({"key": 7}, "invalid_key"),
        ({"key": "a\x00b"}, "invalid_text"),
        ({"meter": None}, "invalid_meter"),
        ({"customer": {}}, "invalid_customer"),
        ({"dimensions": {"channel": 5}}, "invalid_dimensions"),
        ({"dimensions": []}, "invalid_dimensions"),
        ({"subject": 4711}, "invalid_subject"),
        ({"colour": "red"}, "unknown_field"),
    ],
)
def test_a_wrong_event_is_rejected_with_its_code_and_costs_no_other(
    integrator: Integrator, change: dict[str, Any], code: str
) -> None:
    status, answer = integrator.post("events/", [event("wrong") | change, event("right")])
    assert status == 200
    assert (answer["results"][0]["status"], answer["results"][0]["code"]) == ("rejected", code)
    assert answer["results"][0]["message"]
    assert answer["results"][1]["status"] == "accepted"
    assert list(Event.objects.values_list("key", flat=True)) == ["right"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ('"value": "1", "value": "100"', "value"),
        ('"value": 5, "value": null', "value"),
        ('"value": "1", "\\u0076alue": "100"', "value"),
        ('"value" : "1", "value"\t: "100"', "value"),
        ('"value": "1", "value" : "100"', "value"),  # as many `":` as there are different names
        ('"value": "1", "value" \t: "100"', "value"),
        ('"meter": "other"', "meter"),
        ('"dimensions": {"channel": "email", "channel": "chat"}', "dimensions.channel"),
        ('"dimensions": null, "dimensions": {"channel": "chat"}', "dimensions"),
        ('"subject": "a\\":null", "subject": "b"', "subject"),
        ('"workload": "x:null", "subject": "a", "subject": "b"', "subject"),
    ],
)
@pytest.mark.parametrize("form", ["one", "list", "lines"])
def test_a_field_sent_twice_is_rejected_and_costs_no_other(
    integrator: Integrator, more: str, field: str, form: str
) -> None:
    wrong = json.dumps(event("wrong"))[:-1] + f", {more}}}"
    right = json.dumps(event("right"))
    if form == "one":
        _, answer = integrator.send("events/", wrong)
    elif form == "list":
        _, answer = integrator.send("events/", f"[{wrong}, {right}]")
    else:
        _, answer = integrator.send("events/", f"{wrong}\n{right}", "application/x-ndjson")
    told = answer["results"][0]
    assert (told["status"], told["key"], told["field"]) == ("rejected", "wrong", field), told
    assert (told["code"], told["message"]) == ("repeated_field", f"{field} is sent twice. Send it once.")
    assert list(Event.objects.values_list("key", flat=True)) == ([] if form == "one" else ["right"])


@pytest.mark.parametrize(
    "more",
    [
        {"value": None, "subject": None, "dimensions": None, "reverses": None},
        {"subject": 'say "value": null', "workload": '":', "dimensions": {'a":': ':null, "b": null'}},
        {"subject": "Frage: größer", "dimensions": {"ü": ": null"}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_nulls_and_texts_that_look_like_json_are_no_fields_sent_twice(
    integrator: Integrator, more: dict[str, Any], indent: int | None
) -> None:
    batch = json.dumps([event("odd") | more, event("even")], indent=indent)
    assert integrator.send("events/", batch)[1]["accepted"] == 2
    for huge in ("1e999", "1" * 5000):
        sent = json.dumps([event("huge") | more, event("even")]).replace("}", f', "value": {huge}}}', 1)
        assert integrator.send("events/", sent)[1]["results"][0]["status"] == "rejected"
    compact = json.dumps(event("tight") | more, separators=(",", ":"), ensure_ascii=False)
    assert integrator.send("events/", compact)[1]["accepted"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": ""}, "key: it is empty; expected a text of 1 or more characters."),
        ({"key": "k" * 256}, "key: it is too long; expected 255 characters at most."),
        ({"subject": 4711}, "subject: expected text."),
        ({"meter": None}, "meter: expected text."),
        ({"dimensions": []}, 'dimensions: expected texts by name, such as {"channel": "email"}.'),
        ({"dimensions": {"channel": 5}}, 'dimensions: expected texts by name, such as {"channel": "email"}.'),
        ({"dimensions": {"": "x"}}, "dimensions: expected names of 1 to 63 characters."),
        ({"reverses": "evt-1"}, 'reverses: expected {"key": "evt-1"} or {"subject": "ticket-4711"}.'),
        (
            {"occurred_at": "2026-11-20T13:00:01Z"},
            "occurred_at is more than 1 hour ahead; the latest accepted is 2026-11-20T13:00:00Z.",
        ),
    ],
)
def test_a_wrong_event_is_told_in_plain_words_what_to_send(
    integrator: Integrator, change: dict[str, Any], message: str
) -> None:
    assert integrator.post("events/", event("wrong") | change)[1]["results"][0]["message"] == message
    _, answer = integrator.post("events/", [1])
    assert answer["results"][0]["message"] == "An event is a JSON object with named fields."


def test_a_single_wrong_event_is_a_processed_batch(integrator: Integrator) -> None:
    status, answer = integrator.post("events/", event("wrong", colour="red"))
    assert (status, answer["rejected"], answer["results"][0]["field"]) == (200, 1, "colour")
    assert integrator.post("events/", {})[1]["rejected"] == 1
    assert stored() == 0


@pytest.mark.parametrize("item", [1, "text", None, True, [], [[]], 1.5])
def test_an_item_that_is_no_object_is_rejected_in_its_place(integrator: Integrator, item: Any) -> None:
    status, answer = integrator.post("events/", [item, event("right")])
    assert (status, answer["accepted"], answer["rejected"]) == (200, 1, 1)


def test_a_number_is_read_exactly_from_its_text(integrator: Integrator) -> None:
    body = json.dumps(event("evt-1")).replace("}", ', "value": 0.100000000000000005}')
    integrator.send("events/", body)
    assert Event.objects.get().value == Decimal("0.100000000000000005")


def test_a_lone_surrogate_rejects_its_event_only(integrator: Integrator) -> None:
    body = json.dumps([event("\ud800"), event("right")])
    status, answer = integrator.send("events/", body)
    assert (status, answer["accepted"], answer["rejected"]) == (200, 1, 1)


# ---- bodies that are no events --------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"null",
        b"true",
        b"5",
        b'"text"',
        b"{",
        b"[",
        b'[{"key": "a"',
        b'{"key": "a"} {"key": "b"}',
        b"[NaN]",
        b"not json",
        b"\xff\xfe",
        '[{"key": "é"}]'.encode("latin-1"),
        "[]".encode("utf-16"),
        b"[" * 1000,
        b"[" * 1000 + b"]" * 1000,
        b'{"dimensions":' * 1000 + b"1" + b"}" * 1000,
    ],
)
def test_a_body_that_is_neither_event_nor_list_is_refused_whole(integrator: Integrator, body: bytes) -> None:
    status, answer = integrator.send("events/", body)
    assert status == 400
    assert answer["error"]["code"] == "parse_error"
    assert answer["error"]["message"]
    assert EventBatch.objects.count() == 0


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "x",
    ],
)
def test_another_content_type_is_refused(integrator: Integrator, content_type: str) -> None:
    status, answer = integrator.send("events/", json.dumps(event("evt-1")), content_type=content_type)
    assert (status, answer["error"]["code"]) == (415, "unsupported_media_type")
    assert stored() == 0


def test_a_charset_or_a_byte_order_mark_makes_no_difference(integrator: Integrator) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(event("evt-1")).encode()
    status, answer = integrator.send("events/", body, content_type="application/json; charset=utf-8")
    assert (status, answer["accepted"]) == (200, 1)


def test_more_than_10000_events_are_too_many(integrator: Integrator) -> None:
    status, answer = integrator.send("events/", b"[" + b"{}," * 10_000 + b"{}]")
    assert (status, answer["error"]["code"]) == (413, "too_large")
    assert "10,000" in answer["error"]["message"]
    assert integrator.send("events/", b"[" + b"{}," * 9_999 + b"{}]")[1]["rejected"] == 10_000


def test_a_list_of_millions_is_refused_before_it_takes_memory(integrator: Integrator) -> None:
    assert integrator.send("events/", b"[" + b"1," * 1_500_000 + b"1]")[0] == 413


def test_a_body_above_10_mebibytes_is_too_large(integrator: Integrator) -> None:
    status, answer = integrator.send("events/", b"[" + b" " * (10 * 1024 * 1024) + b"]")
    assert (status, answer["error"]["code"]) == (413, "too_large")


# ---- gzip ---------------------------------------------------------------------------------------------


def test_a_gzip_body_is_unpacked(integrator: Integrator) -> None:
    body = gzip.compress(json.dumps([event("evt-1")]).encode())
    status, answer = integrator.send("events/", body, Content_Encoding="gzip")
    assert (status, answer["accepted"]) == (200, 1)


def test_a_gzip_bomb_is_too_large(integrator: Integrator) -> None:
    bomb = gzip.compress(b"[" + b" " * (200 * 1024 * 1024) + b"]")
    assert len(bomb) < 1024 * 1024
    status, answer = integrator.send("events/", bomb, Content_Encoding="gzip")
    assert (status, answer["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([event("evt-1")]).encode(),
        gzip.compress(json.dumps([event("evt-1")]).encode())[:-9],
        gzip.compress(b"[]") + gzip.compress(b"[]"),
        b"\x1f\x8b",
    ],
    ids=["not packed", "cut off", "two members", "only the magic number"],
)
def test_a_broken_gzip_body_is_refused(integrator: Integrator, body: bytes) -> None:
    status, answer = integrator.send("events/", body, Content_Encoding="gzip")
    assert (status, answer["error"]["code"]) == (400, "parse_error")
    assert stored() == 0


def test_another_packing_is_refused(integrator: Integrator) -> None:
    assert integrator.send("events/", b"[]", Content_Encoding="br")[0] == 415


# ---- who may ------------------------------------------------------------------------------------------


def test_only_a_key_with_the_ingest_scope_may_send(integrator: Integrator) -> None:
    assert Integrator("ingest").post("events/", event("evt-1"))[0] == 200
    for scope in ("read", "manage"):
        status, answer = Integrator(scope).post("events/", event("evt-2"))
        assert (status, answer["error"]["code"]) == (403, "scope_missing")
    assert stored() == 1


def test_reading_events_there_is_not_offered(integrator: Integrator) -> None:
    assert integrator.get("events/")[0] == 405


def test_the_route_works_without_its_slash_and_never_redirects(integrator: Integrator) -> None:
    status, answer = integrator.post("events", event("evt-1"))
    assert (status, answer["accepted"], stored()) == (200, 1, 1)


def test_an_unknown_query_parameter_is_refused(integrator: Integrator) -> None:
    status, answer = integrator.post("events/?dry_run=1", event("evt-1"))
    assert (status, list(answer["error"]["fields"]), stored()) == (400, ["dry_run"], 0)


def test_a_batch_takes_the_same_few_queries_whatever_its_size(
    integrator: Integrator, django_assert_max_num_queries: Any
) -> None:
    integrator.post("events/", event("warm"))
    with django_assert_max_num_queries(4):
        integrator.post("events/", [event(f"evt-{n}") for n in range(1000)])
