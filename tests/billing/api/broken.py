"""Requests to every described route that no well-behaved client sends, as hypothesis strategies."""

from __future__ import annotations

import copy
import gzip
import json
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

Draw = Callable[..., Any]
NUMBER = "\ufffd number"  # stands for a number as it is written, which a JSON writer would not write
LITERALS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e-400",
    "1e999999999999",
    "0x10",
    "1" * 5000,
    "-0",
    "1.0",
    "01",
]
TEXTS = [
    "", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "é" * 300, "x" * 100_000, "\u202e", "null", "-", "{}", "\n",
    "NaN", "Infinity", "1e400", "1e-400", "٣", "1_0", " 1", "--1", "0x10", "1" * 400, "0.1", "-1", "-0.01",
    "2026-02-30", "0000-00-00", "9999-12-31", "0001-01-01", "2026-10-03T10:00:00Z", "2026-13-01T00:00:00Z", "now",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-10-03 10:00", "20261003", "a@b", "http://", "USD",
    "http://[::1", "https://" + "a" * 300 + ".example", "../..",
    "%00", "'; DROP TABLE x; --", "=1+1", "acme", "support",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, 10**18, 10**30, -(2**63), 2**31, [], {}, [[]], [None], {"a": {"b": []}}, [1, "x"],
    {"": ""}, {"\x00": 1}, {"\ud800": 1}, ["x"] * 300, list(range(10_001)), *TEXTS,
    *(f"{NUMBER}{each}" for each in LITERALS),
]  # fmt: skip
TYPES = [
    "text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "multipart/form-data", "", "nonsense", "application/json; charset=utf-16", "application/json; charset=nonsense",
    "application/x-ndjson", "text/csv", "application/cloudevents+json", "application/merge-patch+json", "\xff",
]  # fmt: skip
HEADERS: list[dict[str, str]] = [
    {"Idempotency-Key": ""}, {"Idempotency-Key": "k" * 300}, {"Idempotency-Key": "\xff\xfe"},
    {"Idempotency-Key": "once"},
    {"Content-Encoding": "gzip"}, {"Content-Encoding": "br"}, {"Content-Encoding": "gzip, gzip"},
    {"Content-Encoding": "\xff"}, {"Accept": "text/html"}, {"Accept": "nonsense"}, {"Accept": "\xff;q=x"},
    {"Accept-Language": "de"}, {"X-HTTP-Method-Override": "DELETE"}, {"Range": "bytes=0-1"}, {"Expect": "x"},
    {"Transfer-Encoding": "chunked"}, {"If-None-Match": "*"}, {"Cookie": "sessionid=x"},
    {"Authorization": "Bearer"}, {"Authorization": "Bearer x.y"}, {"X-API-KEY": "\x00"}, {"Host": "evil.example"},
]  # fmt: skip
PARTS = [
    "x", "0", "1", "-1", "9" * 18, "9" * 19, "9" * 400, "x" * 3_000, "%00", "%ff", "%ED%A0%80", "é", "a%2Fb", ".", "..",
    "%20", "%0A", "1.0", "0x1", "INV-2026-000001", "٣", "acme", "%F0%9F%98%80", "a;b", "a:b", "*",
]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"]
PARAMETERS = [
    "page",
    "page_size",
    "nonsense",
    "format",
    "\x00",
    "a[]",
    "customer",
    "source",
    "filter.x",
    "filter.",
]
BOMB = gzip.compress(b"[" + b" " * (11 * 1024 * 1024))


@dataclass(slots=True)
class Operation:
    """A described route: its method and path, names of things that exist for the path, and its documented bodies."""

    method: str
    path: str
    names: dict[str, Any]
    bodies: list[Any]
    parameters: list[str]


@dataclass(slots=True)
class Sent:
    """A request as it goes out, and what was broken in it."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@st.composite
def broken_requests(draw: Draw, operations: list[Operation]) -> Sent:
    """A request to a route with one to three things wrong."""
    operation = draw(st.sampled_from(operations))
    names = {name: urllib.parse.quote(str(value), safe="") for name, value in operation.names.items()}
    sent = Sent(operation.method, "")
    body = copy.deepcopy(draw(st.sampled_from(operation.bodies))) if operation.bodies else None
    query: list[tuple[str, str]] = []
    slash = True
    writes = operation.method in ("POST", "PATCH")
    ways = [
        "query",
        "header",
        "method",
        "slash",
        *(["path"] * 3 if names else []),
        *(["value"] * 12 if body else []),
    ]
    ways += ["raw", "type", "packed"] if writes else ["query"] * 4
    packed = None
    for way in draw(st.lists(st.sampled_from(ways), min_size=1, max_size=3)):
        match way:
            case "value":
                body = _broken(draw, body)
            case "path" if names:
                names[draw(st.sampled_from(sorted(names)))] = draw(st.sampled_from(PARTS))
            case "query":
                name = draw(st.sampled_from([*operation.parameters * 3, *PARAMETERS]))
                value = draw(
                    st.sampled_from([each for each in VALUES if isinstance(each, str | int | float)])
                )
                query += [(name, str(value))] * draw(st.integers(1, 2))
            case "header":
                sent.headers |= draw(st.sampled_from(HEADERS))
            case "method":
                sent.method = draw(st.sampled_from(METHODS))
            case "slash":
                slash = False
            case "type":
                sent.content_type = draw(st.sampled_from(TYPES))
            case "raw" | "packed":
                packed = way
    text = _written(body)
    if packed == "raw":
        text = draw(_raw(text))
    elif packed == "packed":
        sent.headers["Content-Encoding"] = "gzip"
        text = draw(_packed(text))
    sent.body = text
    path = operation.path
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", str(value))
    asked = urllib.parse.urlencode(query, errors="surrogatepass")
    sent.path = (path if slash else path.rstrip("/")) + (f"?{asked}" if asked else "")
    return sent


def _broken(draw: Draw, body: Any) -> Any:
    """A body with one value, anywhere in it, replaced, taken out, added or doubled; or put where none belongs."""
    way = draw(st.sampled_from(["replace"] * 6 + ["remove", "add", "twice", "wrap", "deep"]))
    if way == "wrap":
        return draw(st.sampled_from([[body], [], "x", 1, None, {"body": body}]))
    if way == "deep":
        nested: Any = 1
        named = draw(st.booleans())
        for _ in range(draw(st.sampled_from([45, 60, 300]))):
            nested = {"a": nested} if named else [nested]
        return _at(draw, body, lambda holder, place: holder.__setitem__(place, nested))
    if way == "remove":
        return _at(draw, body, lambda holder, place: holder.pop(place))
    value = draw(st.sampled_from(VALUES))
    if way == "replace":
        return _at(draw, body, lambda holder, place: holder.__setitem__(place, value))
    name = draw(
        st.sampled_from(["colour", "", "id", "__proto__", "x" * 3_000, "\x00", "preview", "key", "currency"])
    )
    if not isinstance(body, dict):
        return body
    if way == "twice" and body:
        name = draw(st.sampled_from(sorted(body)))
        return {**body, Twice(name): value}
    return {**body, name: value}


class Twice(str):
    """A name that stands in an object a second time."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash((str(self), "twice"))

    def __eq__(self, other: object) -> bool:
        return self is other


def _at(draw: Draw, body: Any, change: Callable[[Any, Any], Any]) -> Any:
    places: list[tuple[Any, Any]] = []
    look = [body]
    while look:
        holder = look.pop()
        pairs = (
            holder.items()
            if isinstance(holder, dict)
            else enumerate(holder)
            if isinstance(holder, list)
            else ()
        )
        for place, value in list(pairs)[:50]:
            places.append((holder, place))
            if len(places) < 200:
                look.append(value)
    if places:
        change(*draw(st.sampled_from(places)))
    return body


def _written(body: Any) -> bytes:
    if body is None:
        return b""
    text = json.dumps(body)
    for literal in LITERALS:
        text = text.replace(json.dumps(f"{NUMBER}{literal}"), literal)
    return text.encode()


def _raw(text: bytes) -> st.SearchStrategy[bytes]:
    kinds = [
        b"", b" ", b"\xef\xbb\xbf", b"\xef\xbb\xbf" + text, text[: len(text) // 2], text + b"}",
        text.decode().encode("utf-16"),
        b"\xff" + text, b"[" * 100_000, b'{"a":' * 100_000, b"null", b'"x"', b"{}", b"[]", b"\x00",
        b"a=1&b=2", text * 2,
        text.replace(b'"', b"'"),
    ]  # fmt: skip
    return st.one_of(st.sampled_from(kinds), st.binary(max_size=40))


def _packed(text: bytes) -> st.SearchStrategy[bytes]:
    packed = gzip.compress(text)
    kinds = [
        text,
        packed,
        packed[:-4],
        packed[:12],
        packed * 2,
        packed + b"x",
        gzip.compress(packed),
        BOMB,
        b"\x1f\x8b",
    ]
    return st.sampled_from(kinds)
