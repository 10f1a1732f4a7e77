"""Requests to `POST events/` in all its formats, wrong in every way a client, a proxy or an attacker can make them."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.factories import event

JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
CLOUD, CLOUD_BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
HEADER = b"key,meter,customer,occurred_at,value,subject,workload,dimensions.channel\n"
RARE = 400  # how many requests come between two that cost megabytes
TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "x\udfff",
    "\u202e",
    "\ufeff",
    "x" * 256,
    "é" * 300,
    "'; DROP TABLE",
    "{}",
]
TOKENS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e-400",
    "0x10",
    "01",
    "+1",
    "1_000",
    ".5",
    "5.",
    "--1",
    "9" * 5000,
    "0." + "1" * 5000,
    "1e999999999",
    "-0",
    "true",
    "null",
    "undefined",
    "'single'",
    '"',
    '"\\ud800"',
    '"\\u0000"',
    '"\\x"',
    "[]",
    "{}",
    "[[]]",
    '{"a":{"b":{}}}',
    "\\",
    "",
]
WRONG: list[Any] = [None, True, -1, 1.5, 10**40, [], {}, [[]], {"a": 1}, *TEXTS]


@dataclass(frozen=True, slots=True)
class Malformed:
    kind: str
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def malformed_requests(count: int, *, seed: int) -> Iterator[Malformed]:
    """Give that many requests, the same for the same seed."""
    chance = random.Random(seed)
    for place in range(count):
        if place % RARE == RARE // 2:
            yield LARGE[place // RARE % len(LARGE)]()
        else:
            yield chance.choice(KINDS)(chance, place)


def _events(chance: random.Random, place: int) -> list[dict[str, Any]]:
    return [
        event(f"evt-{place}-{n}", value="1", subject="t-1", dimensions={"channel": "email"})
        for n in range(chance.randrange(1, 4))
    ]


def _cloud_event(place: int, **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"evt-{place}",
        "source": "/helpdesk",
        "type": "tickets_resolved",
        "subject": "acme",
        "time": "2026-10-03T10:00:00Z",
        "data": {"value": "1", "dimensions": {"channel": "email"}},
    } | changes


def _sound(chance: random.Random, place: int) -> tuple[bytes, str]:
    """A body without a fault, in any format."""
    events = _events(chance, place)
    cell = b",tickets_resolved,acme,2026-10-03T10:00:00Z,1,t-1,bot,email"
    return chance.choice(
        [
            (json.dumps(events).encode(), JSON),
            (json.dumps(events[0]).encode(), JSON),
            ("\n".join(map(json.dumps, events)).encode(), NDJSON),
            (HEADER + b"\n".join(f"evt-{place}-{n}".encode() + cell for n in range(3)), CSV),
            (json.dumps(_cloud_event(place)).encode(), CLOUD),
            (json.dumps([_cloud_event(place)]).encode(), CLOUD_BATCH),
        ]
    )


def truncated(chance: random.Random, place: int) -> Malformed:
    body, content_type = _sound(chance, place)
    return Malformed("truncated", body[: chance.randrange(len(body))], content_type)


def flipped(chance: random.Random, place: int) -> Malformed:
    body, content_type = _sound(chance, place)
    wrong = bytearray(body)
    for _ in range(chance.randrange(1, 8)):
        wrong[chance.randrange(len(wrong))] = chance.randrange(256)
    return Malformed("flipped bytes", bytes(wrong), content_type)


def noise(chance: random.Random, place: int) -> Malformed:
    content_type = _sound(chance, place)[1]
    return Malformed("noise", chance.randbytes(chance.randrange(300)), content_type)


def nested(chance: random.Random, place: int) -> Malformed:
    depth = chance.choice([100, 1_000, 5_000])
    opened, closed = chance.choice([(b"[", b"]"), (b'{"dimensions":', b"}"), (b'[{"a":', b"}]")])
    body = opened * depth + b"1" + closed * chance.choice([depth, 0, depth - 1])
    if chance.random() < 0.5:
        body = json.dumps(event(f"evt-{place}", dimensions="@")).encode().replace(b'"@"', body)
    return Malformed("nested", body, chance.choice([JSON, NDJSON, CLOUD, CLOUD_BATCH]))


def odd_token(chance: random.Random, place: int) -> Malformed:
    body, content_type = _sound(chance, place)
    target = chance.choice(
        [b'"1"', b'"acme"', b'"email"', b'"2026-10-03T10:00:00Z"', b",1,", b'"t-1"', b"key"]
    )
    return Malformed("odd token", body.replace(target, chance.choice(TOKENS).encode()), content_type)


def wrong_value(chance: random.Random, place: int) -> Malformed:
    sent = _events(chance, place)
    chance.choice(sent)[chance.choice([*sent[0], "colour", "\ud800", "a\x00"])] = chance.choice(WRONG)
    body = json.dumps(sent, ensure_ascii=chance.random() < 0.5).encode(errors="surrogatepass")
    return Malformed("wrong value", body)


def wrong_element(chance: random.Random, place: int) -> Malformed:
    return Malformed("wrong element", json.dumps([chance.choice(WRONG), *_events(chance, place)]).encode())


def repeated_name(chance: random.Random, place: int) -> Malformed:
    body = json.dumps(event(f"evt-{place}")).encode()
    again = chance.choice(
        [b'"key":"other"', b'"meter":7', b'"value":"1","value":"2"', b'"dimensions":{"a":"1","a":"2"}']
    )
    return Malformed("repeated name", body[:-1] + b"," + again + b"}")


def wrong_cloud_event(chance: random.Random, place: int) -> Malformed:
    names = [*_cloud_event(place), "data_base64", "datacontenttype", "Colour", "value"]
    sent = _cloud_event(place, **{chance.choice(names): chance.choice(WRONG)})
    as_list = chance.random() < 0.5
    body = json.dumps([sent] if as_list else sent).encode()
    return Malformed("wrong CloudEvent", body, chance.choice([CLOUD, CLOUD_BATCH]))


def wrong_headers(chance: random.Random, place: int) -> Malformed:
    headers = {f"ce-{name}": str(text) for name, text in _cloud_event(place).items() if name != "data"}
    headers[chance.choice([*headers, "ce-value", "ce-data", "ce-é"])] = chance.choice(
        ["", "%FF", "%", "\x00", "é", "\udcff", "x" * 5_000, "1e400", "\t"]
    )
    body = chance.choice([b"", b"{", b"null", b'{"value": "1"}', b'{"value": NaN}', b"[1]", b"\xff"])
    return Malformed("wrong headers", body, chance.choice([JSON, "", "text/xml"]), headers)


def wrong_table(chance: random.Random, place: int) -> Malformed:
    cells = [f"evt-{place}", "tickets_resolved", "acme", "2026-10-03T10:00:00Z", "1", "t-1", "bot", "email"]
    cells[chance.randrange(len(cells))] = chance.choice(
        ['"', 'a"b', '"a"b', ",", "\x00", "\ud800", "x" * 200_000, "NaN", "1e400", "=cmd()", "\r", "'"]
    )
    line = ",".join(cells).encode(errors="surrogatepass")
    header = chance.choice(
        [HEADER, HEADER, b"", b"\n", HEADER[3:], HEADER.replace(b",", b";"), b'"' + HEADER, b"\xff\n"]
    )
    return Malformed("wrong table", header + b"\n".join([line] * 3), CSV)


def wrong_type(chance: random.Random, place: int) -> Malformed:
    body, _ = _sound(chance, place)
    types = [
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "x",
        "",
        "/",
        ";",
        "application/x-www-form-urlencoded",
        "application/cloudevents+xml",
        "application/json; charset=utf-16",
        CSV,
        CLOUD,
        CLOUD_BATCH,
        NDJSON,
        JSON,
    ]
    return Malformed("wrong type", body, chance.choice(types))


def wrong_encoding(chance: random.Random, place: int) -> Malformed:
    body, content_type = _sound(chance, place)
    encoding = chance.choice(["utf-16", "utf-32", "utf-16-be", "cp037", "utf-7"])
    return Malformed("wrong encoding", body.decode().encode(encoding), content_type)


def wrong_packing(chance: random.Random, place: int) -> Malformed:
    body, content_type = _sound(chance, place)
    packed = gzip.compress(body, 1)
    wrong = chance.choice(
        [
            body,
            packed[: chance.randrange(len(packed))],
            packed + packed,
            packed + b"x",
            gzip.compress(packed),
            b"\x1f\x8b",
        ]
    )
    packing = chance.choice(["gzip", "gzip", "gzip", "GZIP ", "br", "deflate", "gzip, gzip", "\xff"])
    return Malformed("wrong packing", wrong, content_type, {"Content-Encoding": packing})


def bomb() -> Malformed:
    packed = gzip.compress(b"[" + b" " * (40 * 1024 * 1024) + b"]")
    return Malformed("gzip bomb", packed, headers={"Content-Encoding": "gzip"})


def bomb_of_lines() -> Malformed:
    packed = gzip.compress(b"{}\n" * (10 * 1024 * 1024))
    return Malformed("gzip bomb", packed, NDJSON, {"Content-Encoding": "gzip"})


def million_elements() -> Malformed:
    return Malformed("a million elements", b"[" + b"1," * 999_999 + b"1]")


def million_lines() -> Malformed:
    return Malformed("a million lines", b"1\n" * 1_000_000, NDJSON)


def million_columns() -> Malformed:
    return Malformed("a million columns", b"key," * 1_000_000, CSV)


def million_dimensions() -> Malformed:
    dimensions = b",".join(b'"%d":"1"' % n for n in range(500_000))
    return Malformed("many dimensions", b'{"key":"a","dimensions":{' + dimensions + b"}}")


KINDS: list[Callable[[random.Random, int], Malformed]] = [
    truncated,
    flipped,
    noise,
    nested,
    odd_token,
    wrong_value,
    wrong_element,
    repeated_name,
    wrong_cloud_event,
    wrong_headers,
    wrong_table,
    wrong_type,
    wrong_encoding,
    wrong_packing,
]
LARGE: list[Callable[[], Malformed]] = [
    bomb,
    million_elements,
    bomb_of_lines,
    million_lines,
    million_columns,
    million_dimensions,
]
