"""Bodies that no well-behaved client sends, the same for the same seed: what `POST events/` has to survive."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.factories import event

TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "é" * 300,
    "x" * 5000,
    "\u202e",
    "null",
    "-",
    "{}",
]
NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e-400",
    "1" * 40,
    "0x10",
    "1_0",
    "1e999999999999",
    "٣",
    "--1",
]
VALUES: list[Any] = [None, True, False, 0, -1, 1.5, 10**30, [], {}, [[]], {"a": {"b": []}}, *TEXTS, *NUMBERS]
TIMES = [
    "2026-10-03",
    "2026-02-30T00:00:00Z",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "now",
    "1e9",
    "",
]
TYPES = [
    "text/plain",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "",
    "nonsense",
    "application/json; charset=utf-16",
    "application/x-ndjson",
    "text/csv",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
]
HEADERS = [
    {"Idempotency-Key": ""},
    {"Idempotency-Key": "k" * 300},
    {"Idempotency-Key": "\xff\xfe"},
    {"Idempotency-Key": "Größe".encode().decode("latin-1")},
    {"Content-Encoding": "gzip"},
    {"Content-Encoding": "br"},
    {"Content-Encoding": "gzip, gzip"},
    {"Content-Type": "\xff"},
    {"ce-id": "1"},
    {"ce-specversion": "1.0", "ce-id": "\xff", "ce-source": "/s", "ce-type": "tickets_resolved"},
]


@dataclass(frozen=True, slots=True)
class Sent:
    """A body, its content type, and headers beside the key."""

    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def malformed(count: int, *, seed: int) -> Iterator[Sent]:
    chance = random.Random(seed)
    for number in range(count):
        yield chance.choice(KINDS)(chance, f"evt-{seed}-{number}")


def _wrong_event(chance: random.Random, key: str) -> dict[str, Any]:
    sent: dict[str, Any] = event(key, value="1", subject="s", workload="w", dimensions={"channel": "email"})
    for _ in range(chance.randint(1, 3)):
        name = chance.choice([*sent, "colour", *TEXTS])
        change = chance.random()
        if change < 0.2:
            sent.pop(name, None)
        elif name == "occurred_at":
            sent[name] = chance.choice([*TIMES, *VALUES])
        elif name == "dimensions" and change < 0.8:
            sent[name] = {
                chance.choice(TEXTS): chance.choice(VALUES) for _ in range(chance.choice([1, 3, 60]))
            }
        else:
            sent[name] = chance.choice(VALUES)
    return sent


def _single(chance: random.Random, key: str) -> Sent:
    return Sent(json.dumps(_wrong_event(chance, key)).encode())


def _batch(chance: random.Random, key: str) -> Sent:
    batch = []
    for n in range(5):
        name = f"{key}-{n}"
        batch.append(chance.choice([_wrong_event(chance, name), chance.choice(VALUES), event(name)]))
    return Sent(json.dumps(batch, ensure_ascii=chance.random() < 0.5).encode(errors="surrogatepass"))


def _cut(chance: random.Random, key: str) -> Sent:
    body = json.dumps([event(key, subject="é"), event(key + "b")], ensure_ascii=False).encode()
    return Sent(body[: chance.randrange(len(body))])


def _flipped(chance: random.Random, key: str) -> Sent:
    body = bytearray(json.dumps([event(key), event(key + "b")]).encode())
    for _ in range(chance.randint(1, 5)):
        body[chance.randrange(len(body))] = chance.randrange(256)
    return Sent(bytes(body))


def _deep(chance: random.Random, key: str) -> Sent:
    depth = chance.choice([50, 1_000, 100_000])
    opened, closed = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    nest = opened * depth + b"1" + closed * depth * chance.randint(0, 1)
    inside = b'[{"key": "%b", "dimensions": %b}]' % (key.encode(), nest)
    return Sent(chance.choice([nest, inside]))


def _literal(chance: random.Random, key: str) -> Sent:
    text = json.dumps(event(key, value="1")).replace('"1"', chance.choice(NUMBERS))
    return Sent(chance.choice([f"[{text}]", text]).encode())


def _twice(chance: random.Random, key: str) -> Sent:
    name = chance.choice(["key", "meter", "value", "dimensions", "colour"])
    text = json.dumps(event(key, value="1"))
    return Sent(f'{text[:-1]}, "{name}": {json.dumps(chance.choice(VALUES))}}}'.encode())


def _noise(chance: random.Random, key: str) -> Sent:
    kinds = [b"", b" ", b"\xef\xbb\xbf", chance.randbytes(50), "[]".encode("utf-16"), b"[]]", b"[,]", b"{}{}"]
    return Sent(chance.choice(kinds))


def _typed(chance: random.Random, key: str) -> Sent:
    return Sent(json.dumps(chance.choice([event(key), [event(key)]])).encode(), chance.choice(TYPES))


def _headed(chance: random.Random, key: str) -> Sent:
    sent = event(key)
    del sent["key"]
    headers = chance.choice(HEADERS)
    return Sent(json.dumps(sent).encode(), headers={n: v for n, v in headers.items() if n != "Content-Type"})


def _packed(chance: random.Random, key: str) -> Sent:
    body = json.dumps([event(key)]).encode()
    packed = gzip.compress(body)
    kinds: list[Callable[[], bytes]] = [
        lambda: body,
        lambda: packed[: chance.randrange(len(packed))],
        lambda: packed + packed,
        lambda: packed + b"x",
        lambda: zlib.compress(body),
        lambda: gzip.compress(packed),
        lambda: gzip.compress(b"[" + b" " * (11 * 1024 * 1024)),
        lambda: packed[:10] + chance.randbytes(20),
    ]
    return Sent(chance.choice(kinds)(), headers={"Content-Encoding": "gzip"})


KINDS: list[Callable[[random.Random, str], Sent]] = [
    _single,
    _single,
    _batch,
    _batch,
    _cut,
    _flipped,
    _deep,
    _literal,
    _twice,
    _noise,
    _typed,
    _headed,
    _packed,
]
