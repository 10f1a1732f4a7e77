"""A sender of events that costs as little as possible, because it shares the processors with what it measures.

A process of its own: reads a job as one line of JSON, makes everything it will send, says "ready", waits for "go", and
writes what was acknowledged. One thread serves all its connections, which stay open.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

ANSWER = 65536


def new_keys(count: int, *, ordered: bool) -> list[str]:
    """Random keys (UUID version 4), or keys in the order of time (version 7)."""
    if not ordered:
        return [str(uuid.UUID(bytes=os.urandom(16), version=4)) for _ in range(count)]
    now = time.time_ns() // 1_000_000
    numbers = [
        (now + n // 100) << 80 | 0x7 << 76 | n % 100 << 64 | random.getrandbits(62) for n in range(count)
    ]
    return [str(uuid.UUID(int=number & ~(0x3 << 62) | 0x2 << 62)) for number in numbers]


def events(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Events of the last hours: tokens of one of the customers, by model."""
    now = datetime.now(UTC)
    return [
        {
            "key": key,
            "meter": "llm_tokens",
            "customer": f"customer-{random.randrange(job['customers']) + 1}",
            "value": str(random.randrange(1000)),
            "occurred_at": (now - timedelta(milliseconds=10 * n)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "dimensions": {"model": "abc"[n % 3]},
        }
        for n, key in enumerate(new_keys(job["events"], ordered=job["ordered"]))
    ]


def requests(job: dict[str, Any]) -> list[bytes]:
    made, size = events(job), job["batch"]
    head = (
        f"POST /api/v1/events/ HTTP/1.1\r\nHost: 127.0.0.1:{job['port']}\r\nAuthorization: Bearer {job['key']}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()
    bodies = [
        json.dumps(made[first] if size == 1 else made[first : first + size], separators=(",", ":")).encode()
        for first in range(0, len(made), size)
    ]
    return [head + b"%d\r\n\r\n" % len(body) + body for body in bodies]


class Connection:
    """One connection: sends a request, reads the whole answer, takes the next."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        self.began = time.monotonic()
        self.got = b""
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Give the answer once all of it is here."""
        part = self.socket.recv(ANSWER)
        if not part:
            raise SystemExit(f"The server closed a connection in the middle of an answer: {self.got[:500]!r}")
        self.got += part
        head, found, body = self.got.partition(b"\r\n\r\n")
        if not found:
            return None
        lower = head.lower()
        place = lower.index(b"content-length:") + 15
        if len(body) < int(lower[place:].split(b"\r\n", 1)[0]):
            return None
        self.closing = b"connection: close" in lower
        return self.got


def send_all(job: dict[str, Any], prepared: list[bytes]) -> tuple[int, list[float]]:
    """Send everything; give how many events were acknowledged, and the seconds of each request."""
    waiting: Iterator[bytes] = iter(prepared)
    expected = job["expected"].encode()
    acknowledged, latencies = 0, []
    with selectors.DefaultSelector() as selector:
        left = 0
        for _ in range(job["connections"]):
            request = next(waiting, None)
            if request is None:
                break
            each = Connection(job["port"])
            selector.register(each.socket, selectors.EVENT_READ, each)
            each.send(request)
            left += 1
        while left:
            for ready, _ in selector.select():
                each = ready.data
                answer = each.receive()
                if answer is None:
                    continue
                latencies.append(time.monotonic() - each.began)
                if expected not in answer:
                    raise SystemExit(f"Not the answer expected: {answer[:2000]!r}")
                acknowledged += job["batch"]
                request = next(waiting, None)
                if request is None:
                    selector.unregister(each.socket)
                    each.socket.close()
                    left -= 1
                    continue
                if each.closing:  # the server takes turns with its workers after so many requests
                    selector.unregister(each.socket)
                    each.socket.close()
                    each.connect()
                    selector.register(each.socket, selectors.EVENT_READ, each)
                each.send(request)
    return acknowledged, latencies


def copy_lines(job: dict[str, Any]) -> list[bytes]:
    """The same events as rows of the table, in the text that COPY reads."""
    batch, now = uuid.uuid4(), datetime.now(UTC).isoformat()
    return [
        (
            f"{each['key']}\tapi\t{each['key']}\t{batch}\t{job['meter_id']}\t"
            f"{job['first_customer'] - 1 + int(each['customer'][9:])}\t{each['value']}\t{each['occurred_at']}\t{now}\t"
            f"{json.dumps(each['dimensions'])}\n"
        ).encode()
        for each in events(job)
    ]


COPY = (
    "COPY bench_copy (id, source, key, batch_id, meter_id, customer_id, value, occurred_at, received_at, dimensions)"
    " FROM STDIN"
)


def main() -> None:
    job = json.loads(sys.stdin.readline())
    if job["way"] == "copy":
        import psycopg

        lines = copy_lines(job)
        texts = [b"".join(lines[first : first + 1000]) for first in range(0, len(lines), 1000)]
        with psycopg.connect(job["dsn"]) as connection:
            print("ready", flush=True)
            sys.stdin.readline()
            began = time.monotonic()
            with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                for text in texts:
                    copy.write(text)
            connection.commit()
            ended = time.monotonic()
        count, latencies = len(lines), []
    else:
        prepared = requests(job)
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        count, latencies = send_all(job, prepared)
        ended = time.monotonic()
    print(json.dumps({"began": began, "ended": ended, "events": count, "latencies": latencies}), flush=True)


if __name__ == "__main__":
    main()
